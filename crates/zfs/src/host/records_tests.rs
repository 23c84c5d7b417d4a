//! What records tell is the same whether a dataset is asked for alone or with its tree; zfs is played by a script.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::name::Guid;
use crate::{Away, Tags, session_line};

/// Notes each call, and answers from files. No dataset's own name is that of another's file.
const SCRIPT: &str = r#"
    for last; do :; done
    echo "zfs $*" >>"$dir/calls"
    case "$*" in
    "get -Hp -s local,inherited "*) cat "$dir/$last/alone" ;;
    "get -Hp -r "*" $unreadable") echo "cannot open '$unreadable/3': I/O error" >&2; exit 1 ;;
    "get -Hp -r "*) cat "$dir/$last/below" ;;
    esac"#;

/// A host with these datasets and what was set on them.
struct Played {
    dir: tempfile::TempDir,
    zfs: Zfs,
}

impl Played {
    fn new(datasets: &[DatasetName], set: &[(&str, &str, &str)], unreadable: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for dataset in datasets {
            let place = dir.path().join(dataset.as_str());
            fs::create_dir_all(&place).unwrap();
            let (mut alone, mut below) = (String::new(), String::new());
            for (on, name, value) in set {
                let is_local = *on == dataset.as_str();
                let source = if is_local { "local".into() } else { format!("inherited from {on}") };
                let on: DatasetName = on.parse().unwrap();
                if dataset.is_within(&on) {
                    writeln!(alone, "{name}\t{source}\t{value}").unwrap();
                }
                if on.is_within(dataset) {
                    writeln!(below, "{on}\t{name}\t{value}").unwrap();
                }
            }
            write(&place, "alone", &alone);
            write(&place, "below", &below);
        }
        let script = format!("dir='{}'; unreadable='{unreadable}'; {SCRIPT}", dir.path().display());
        let session = ("sh".into(), vec!["-c".into(), session_line().into()]);
        write(dir.path(), "played", &script);
        let words = ["sh".to_owned(), dir.path().join("played").display().to_string()].into();
        let zfs = Zfs::on(Away::new(session, words, Arc::default(), || {}));
        Self { dir, zfs }
    }

    /// What the records of each of these tell, and how many processes that took.
    fn ask(&self, datasets: &[DatasetName]) -> (Vec<Told>, usize) {
        write(self.dir.path(), "calls", "");
        let records = Records::default();
        let told = datasets.iter().map(|dataset| told(records.of(&self.zfs, dataset).unwrap())).collect();
        (told, fs::read_to_string(self.dir.path().join("calls")).unwrap().lines().count())
    }

    /// The same, each of them alone.
    fn ask_alone(&self, datasets: &[DatasetName]) -> Vec<Told> {
        datasets.iter().map(|dataset| told(Records::default().of(&self.zfs, dataset).unwrap())).collect()
    }
}

/// Properties, each with the newest bookmark of its target, in no order.
type Told = Vec<(String, Option<String>)>;

fn told(records: Vec<(String, Option<Tag>)>) -> Told {
    let tagged = |(name, tag): (String, Option<Tag>)| (name, tag.map(|tag| format!("{tag:?}")));
    let mut all: Told = records.into_iter().map(tagged).collect();
    all.sort();
    all
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

fn name(name: &str) -> DatasetName {
    name.parse().unwrap()
}

/// `b/t`, and so many below it.
fn tree(many: usize) -> Vec<DatasetName> {
    let below = (0..many).map(|n| name(&format!("b/t/{n}")));
    [name("b/t")].into_iter().chain(below).collect()
}

const HERE: &str = r#"{"host":"beta:22","dataset":"c/t","pool":7,"selected":[{"exclude":["2"]}]}"#;
const ABOVE: &str = r#"{"host":"gamma:22","dataset":"c","pool":8}"#;
const ITS_OWN: &str = r#"{"host":"delta:22","dataset":"c/9","pool":9}"#;

#[test]
fn a_tree_is_read_at_once_and_tells_the_same() {
    let set = [
        ("b", "zfsync:target-2", ABOVE),
        ("b", "compression", "zstd"),
        ("b/t", "zfsync:target-1", HERE),
        ("b/t/9", "zfsync:target-3", ITS_OWN),
        ("b/t/11", "zfsync:target-4", "{\"of\":\"a newer version\"}"),
        ("b/t/11", "zfsync:received", "1-1f"),
    ];
    let mut processes = Vec::new();
    for many in [20, 200] {
        let all = tree(many);
        let played = Played::new(&all, &set, "nothing");
        let (found, calls) = played.ask(&all);
        assert_eq!(found, played.ask_alone(&all));
        let names = |at: usize| found[at + 1].iter().map(|(name, _)| &name[name.len() - 1..]).collect::<String>();
        assert_eq!(["1", "2", "9", "11", "12"].map(|at| names(at.parse().unwrap())), ["12", "2", "123", "124", "12"]);
        let tag = Tags::new("beta:22", Guid(7)).of(&name("c/t/12"));
        assert_eq!(found[13][0], ("zfsync:target-1".into(), Some(format!("{tag:?}"))));
        assert_eq!(found[12][2], ("zfsync:target-4".into(), None));
        processes.push(calls);
    }
    assert_eq!(processes, [ALONE + 2; 2]);
}

#[test]
fn a_few_datasets_of_a_large_tree_are_asked_for_alone() {
    let all = tree(ALONE);
    let played = Played::new(&all, &[("b/t", "zfsync:target-1", HERE)], "nothing");
    assert_eq!(played.ask(&all[1..]).1, ALONE);
    // The top comes last: what was read below it is not enough.
    let all: Vec<_> = tree(20).into_iter().rev().chain([name("b")]).collect();
    let played = Played::new(&all, &[("b", "zfsync:target-2", ABOVE), ("b/t", "zfsync:target-1", HERE)], "nothing");
    let (found, calls) = played.ask(&all);
    assert_eq!(found, played.ask_alone(&all));
    assert_eq!(calls, ALONE + 2 + 2);
}

#[test]
fn a_tree_that_cannot_be_read_is_asked_for_one_by_one() {
    let all = tree(20);
    let played = Played::new(&all, &[("b/t", "zfsync:target-1", HERE)], "b/t");
    let (found, calls) = played.ask(&all);
    assert_eq!(found, played.ask_alone(&all));
    assert_eq!(calls, all.len() + 2);
}

#[test]
fn a_forged_line_hides_no_record() {
    let nothing = r#"{"host":"beta:22","dataset":"c/t","pool":7,"selected":[{"exclude":["**"]}]}"#;
    let value = format!("x\nb/t/8\tzfsync:target-1\t{nothing}");
    let all = tree(20);
    let played = Played::new(&all, &[("b/t", "zfsync:target-1", HERE), ("b/t/6", "user:own", &value)], "nothing");
    let (found, _) = played.ask(&all);
    let tag = Tags::new("beta:22", Guid(7)).of(&name("c/t/8"));
    assert_eq!(found[9], [("zfsync:target-1".into(), Some(format!("{tag:?}")))]);
}

#[test]
fn a_damaged_record_is_one() {
    for damage in ["{\nx", "{\tx", "\n", ""] {
        // On the dataset itself, and above it.
        let set = [
            ("b", "zfsync:target-2", damage),
            ("b/t/8", "zfsync:target-1", damage),
            ("b/t/9", "zfsync:target-1", HERE),
        ];
        let all = tree(20);
        let played = Played::new(&all, &set, "nothing");
        let (found, _) = played.ask(&all);
        assert_eq!(found, played.ask_alone(&all), "{damage:?}");
        let damaged = [("zfsync:target-1".into(), None), ("zfsync:target-2".into(), None)];
        assert_eq!(found[9], damaged, "{damage:?}");
        assert_eq!(found[8], damaged[1..], "{damage:?}");
    }
}
