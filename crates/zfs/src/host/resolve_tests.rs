//! What comes back after a dataset was set aside is recorded as a copy, as it was; zfs is played by a script.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::carry_out;
use crate::name::Guid;
use crate::{Away, Failure, Resolution, Restore, Zfs, session_line};

/// Notes the words of a call, and says what zfs would: of a copy that lacks nothing but its source since some time.
const SCRIPT: &str = r#"
    line="zfs $*"
    printf '%s\n' "$line" >>"$dir/calls"
    case $line in
    "$refused") echo "$words" >&2; exit 1 ;;
    "zfs list "*" b/x.aside"*) printf 'b/x.aside\tfilesystem\t-\t-\tno\t0\t0\n' ;;
    "zfs list "*) printf 'b/x@s\t7\t8\t0\t-\n' ;;
    "zfs get "*)
        printf 'zfsync:received\tlocal\t1-1f\nzfsync:target-7\tlocal\t{}\nzfsync:missing-since\tlocal\t17\n'
        printf 'volmode\tlocal\tnone\nreadonly\tlocal\ton\ncompression\tlocal\tgzip\nzfsync:target-8\tinherited from b\t{}\n' ;;
    esac"#;

/// Zfs refuses those calls that this shell pattern fits, in these words.
fn set_aside(dir: &Path, refused: &str, words: &str) -> Result<Option<String>, Failure> {
    set_aside_at(false, dir, refused, words)
}

fn set_aside_at(top: bool, dir: &Path, refused: &str, words: &str) -> Result<Option<String>, Failure> {
    let script = SCRIPT.replace("\"$refused\")", "$refused)");
    let script = format!("dir='{}'; refused='{refused}'; words=\"{words}\"{script}", dir.display());
    let session = ("sh".into(), vec!["-c".into(), session_line().into()]);
    let program = dir.join("played");
    fs::write(&program, script).unwrap();
    let words = ["sh".to_owned(), program.display().to_string()].into();
    let zfs = Zfs::on(Away::new(session, words, Arc::default(), || {}));
    let restore = vec![Restore { dataset: "b/x".parse().unwrap(), snapshot: "s".parse().unwrap(), guid: Guid(7) }];
    let (dataset, aside) = ("b/x".parse().unwrap(), "b/x.aside".parse().unwrap());
    carry_out(&zfs, &Resolution::SetAside { dataset, aside, restore, top }, false)
}

/// The calls that change something once the dataset has its new name.
fn changes(dir: &Path) -> Vec<String> {
    let calls = fs::read_to_string(dir.join("calls")).unwrap();
    let renamed = calls.lines().skip_while(|call| *call != "zfs rename b/x b/x.aside").skip(1);
    let changes = renamed.filter(|call| !call.starts_with("zfs list") && !call.starts_with("zfs get"));
    changes.map(ToOwned::to_owned).collect()
}

const RECORDED: &str = "zfs clone -o canmount=noauto -o zfsync:received=1-1f -o zfsync:target-7={} -o volmode=none -o readonly=on b/x.aside@s b/x";
const OWN: &str = "zfs clone -o canmount=noauto -o zfsync:received=1-1f -o zfsync:target-7={} b/x.aside@s b/x";
const BARE: &str = "zfs clone -o canmount=noauto b/x.aside@s b/x";
const PROMOTED: &str = "zfs promote b/x";

#[test]
fn what_comes_back_is_recorded_as_the_copy_it_is() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(set_aside(dir.path(), "never", ""), Ok(None));
    assert_eq!(changes(dir.path()), [RECORDED, PROMOTED]);
    // zfs takes no property twice.
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(set_aside_at(true, dir.path(), "never", ""), Ok(None));
    let top = "zfs clone -o readonly=on -o canmount=noauto -o zfsync:received=1-1f -o zfsync:target-7={} -o volmode=none b/x.aside@s b/x";
    assert_eq!(changes(dir.path()), [top, PROMOTED]);
}

#[test]
fn records_that_cannot_be_kept_are_told_and_cost_nothing_else() {
    for (refused, tried, lacks) in [
        ("*zfsync:received=*", vec![RECORDED, OWN, BARE, PROMOTED], "zfsync's records, volmode, readonly"),
        ("*zfs?get*", vec![BARE, PROMOTED], "zfsync's records"),
        // Who was granted less before isn't worse off.
        ("*volmode=*", vec![RECORDED, OWN, PROMOTED], "volmode, readonly"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let warning = set_aside(dir.path(), refused, "cannot do that: permission denied").unwrap().unwrap();
        assert_eq!(changes(dir.path()), tried, "{refused}");
        let told = format!("b/x has come back without {lacks}, which b/x.aside has: ");
        assert!(warning.starts_with(&told) && warning.contains("permission denied"), "{warning}");
    }
}

#[test]
fn what_cannot_be_unmounted_is_told_with_what_to_do() {
    for (words, advice) in [
        ("cannot unmount '/b/x/old': no such pool or dataset", "unmount it on its host first: zfs unmount '/b/x/old'"),
        ("cannot unmount '/b/x/old': pool or dataset is busy", "fuser -vm '/b/x/old'"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let why = set_aside(dir.path(), "*rename*", words).unwrap_err().words;
        assert!(why.starts_with(words) && why.contains(advice), "{why}");
        assert_eq!(why.contains("zfs unmount"), advice.contains("zfs unmount"), "{why}");
        assert!(changes(dir.path()).is_empty(), "it went on");
    }
}
