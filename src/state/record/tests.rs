//! What the record says of each ending.

use super::*;

fn dataset() -> DatasetName {
    "p/x".parse().unwrap()
}

fn portion(names: &[&str]) -> (DatasetName, Vec<(SnapshotName, Guid)>) {
    (dataset(), names.iter().zip(1..).map(|(name, guid)| (name.parse().unwrap(), Guid(guid))).collect())
}

fn things(portions: &[(DatasetName, Vec<(SnapshotName, Guid)>)]) -> Vec<Thing> {
    portions.iter().flat_map(|(dataset, some)| Thing::snapshots(dataset, some)).collect()
}

/// `phase name why` of each line.
fn read(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join(NAME)).unwrap();
    let word = |line: &serde_json::Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| format!("{} {} {}", word(&line, "phase"), word(&line, "name"), word(&line, "why"))).collect()
}

#[test]
fn a_line_says_who_what_when_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let record = Record::of(Some(dir.path()));
    let open = record.begin(Some("beta".into()), "--keep 24h", things(&[portion(&["a"])]));
    assert_eq!(open.done(), ["p/x@a"]);
    let text = std::fs::read_to_string(dir.path().join(NAME)).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let said = ["phase", "deed", "host", "name", "guid", "rule"].map(|key| line[key].as_str().unwrap().to_owned());
    assert_eq!(said, ["done", "destroy", "beta", "p/x@a", "1", "--keep 24h"]);
    assert!(line["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
    assert!(["run", "user", "command"].iter().all(|key| !line[key].as_str().unwrap().is_empty()), "{line}");
}

#[test]
fn pruning_is_told_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let portions = [portion(&["a", "b", "c"]), portion(&["d"]), portion(&["e"])];
    let open = Record::of(Some(dir.path())).begin(None, "--keep-last 1", things(&portions));
    let pruned = Pruned {
        destroyed: 1,
        pinned: vec![("b".parse().unwrap(), "is held".into())],
        absent: vec!["c".parse().unwrap()],
        ..Pruned::default()
    };
    let failure = Failure { refusal: Refusal::Permission, words: "permission denied".into() };
    // The third portion has no answer.
    assert_eq!(open.pruned(&portions, &[Ok(pruned), Err(failure)]), ["p/x@a"]);
    assert_eq!(
        read(dir.path())[5..],
        [
            "done p/x@a ",
            "kept p/x@b is held",
            "kept p/x@c it no longer existed, or was another one",
            "unclear p/x@d failed: permission denied",
            "unclear p/x@e the outcome is unknown to the run",
        ]
    );
}

#[test]
fn what_nobody_tells_the_end_of_is_unclear() {
    let dir = tempfile::tempdir().unwrap();
    let record = Record::of(Some(dir.path()));
    let rollback = || vec![Thing::moved(Deed::Rollback, &dataset(), "@a".into())];
    drop(record.begin(None, "--rollback", rollback()));
    record.begin(None, "--rollback", rollback()).refused("it is held");
    let wanted = ["begin p/x ", "unclear p/x the outcome is unknown to the run", "begin p/x ", "kept p/x it is held"];
    assert_eq!(read(dir.path()), wanted);
}

#[test]
fn a_record_that_cant_be_written_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let record = Record::of(Some(&dir.path().join("file/below")));
    assert_eq!(record.begin(None, "", things(&[portion(&["a"])])).done(), ["p/x@a"]);
    assert!(Record(None).begin(None, "", Vec::new()).done().is_empty());
}

#[test]
fn lines_are_as_the_schema_says() {
    let dir = tempfile::tempdir().unwrap();
    let record = Record::of(Some(dir.path()));
    for deed in [Deed::Destroy, Deed::Rollback, Deed::Replace, Deed::DropPartial, Deed::Rename] {
        record.begin(Some("beta".into()), "rule", vec![Thing::moved(deed, &dataset(), "to".into())]).done();
        record.begin(None, "rule", vec![Thing::dataset(deed, &dataset())]).refused("why");
    }
    record.begin(None, "rule", things(&[portion(&["a"])])).unclear("why");
    let text = std::fs::read_to_string(dir.path().join(NAME)).unwrap();
    crate::schema::cover("destruction", &crate::schema::lines(&text));
}
