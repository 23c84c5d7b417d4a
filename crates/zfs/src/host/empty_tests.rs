//! Whether a dataset is empty, where `zfs` answers differently from one moment to the next.

use std::path::Path;

use super::*;
use crate::testing::write_script;

/// A `zfs` that runs the script, beside what it needs there.
fn played(dir: &Path, script: &str) -> Zfs {
    let program = dir.join("zfs");
    write_script(&program, &format!("#!/bin/sh\ncd '{}'\n{script}", dir.display()));
    Zfs::at(program)
}

/// A filesystem that is unmounted while it is looked into, its directory removed or left: `zfs` says how many objects it has
/// before and after that.
fn looked_into_while_unmounted(dir: &Path, removed: bool, before: u8, after: u8) -> bool {
    let script = format!(
        r#"
        case "$*" in
        "list "*" b/x") if [ -e unmounted ]; then mounted=no; else mounted=yes; fi
            case "$*" in
            *" mounted b/x") echo $mounted ;;
            *snapshot*) ;;
            *) printf 'b/x	filesystem	-	-	%s	0	0
' $mounted ;;
            esac ;;
        "userspace "*) if [ -e unmounted ]; then n={after}; else n={before}; fi; printf 'POSIX User	0	%s
' $n ;;
        "get "*) echo "$PWD/mounted"; touch unmounted ;;
        esac
        "#
    );
    if !removed {
        fs::create_dir(dir.join("mounted")).unwrap();
    }
    is_empty(&played(dir, &script), &"b/x".parse().unwrap(), LET_GO_WITHIN).unwrap()
}

/// Each time that it is asked for it is mounted if it was not, and not if it was.
#[test]
fn what_is_never_twice_the_same_is_not_known_to_be_empty() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"
        case "$*" in
        "list "*snapshot*) ;;
        "list "*" mounted b/x") echo no ;;
        "list "*) if mkdir here 2>/dev/null; then mounted=yes; else rmdir here; mounted=no; fi
            echo >>asked; printf 'b/x	filesystem	-	-	%s	0	0
' $mounted ;;
        "userspace "*) printf 'POSIX User	0	1
' ;;
        "get "*) echo "$PWD/mounted" ;;
        esac
        "#;
    fs::create_dir(dir.path().join("mounted")).unwrap();
    assert!(!is_empty(&played(dir.path(), script), &"b/x".parse().unwrap(), LET_GO_WITHIN).unwrap());
    assert!(fs::read(dir.path().join("asked")).unwrap().len() > LOOKS);
}

/// `zfs userspace` fails so often at first.
fn looked_into_while_busy(times: usize, let_go_within: Duration) -> Result<bool, Failure> {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        r#"
        case "$*" in
        "list "*snapshot*) ;;
        "list "*" mounted b/x") echo no ;;
        "list "*) printf 'b/x	filesystem	-	-	no	0	0
' ;;
        "userspace "*)
            echo >>asked
            if [ $(wc -l <asked) -le {times} ]; then
                echo "cannot get used/quota for b/x: dataset is busy" >&2
                exit 1
            fi
            printf 'POSIX User	0	1
' ;;
        esac
        "#
    );
    is_empty(&played(dir.path(), &script), &"b/x".parse().unwrap(), let_go_within)
}

#[test]
fn what_is_busy_for_a_while_is_looked_into_again() {
    for times in [0, 1, LOOKS + 1] {
        assert!(looked_into_while_busy(times, LET_GO_WITHIN).unwrap(), "{times}");
    }
    let why = looked_into_while_busy(1, Duration::ZERO).unwrap_err();
    assert!(why.words.contains("dataset is busy"), "{}", why.words);
}

#[test]
fn what_is_unmounted_meanwhile_is_looked_into_again() {
    for (removed, before, after, empty) in
        [(false, 1, 1, true), (true, 1, 1, true), (false, 1, 2, false), (true, 1, 2, false)]
    {
        let dir = tempfile::tempdir().unwrap();
        let found = looked_into_while_unmounted(dir.path(), removed, before, after);
        assert_eq!(found, empty, "{removed} {before} {after}");
    }
}
