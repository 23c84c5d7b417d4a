use super::*;
use crate::plan::doctor::tests::{both, end};
use crate::plan::doctor::{Diagnosis, Ends};

const PLAIN: Page = Page { look: Look { colour: false, utf8: false }, width: None };

fn shown(ends: Ends, json: bool) -> String {
    let mut out = Vec::new();
    view(Diagnosis::of(ends, "1.0.0"), json)(PLAIN, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_table() {
    insta::assert_snapshot!(shown(both(), false), @"");
}

#[test]
fn what_is_wrong_stands_with_what_to_do() {
    let mut target = end(HostRole::Receiver, "b/a");
    let connection = target.connection.as_mut().unwrap();
    (connection.clock, connection.round_trip) = (Some(7200), None);
    connection.cipher = None;
    target.hello.zfs_path = None;
    target.examined = Examined::Failed("one\nand\u{1b}[2J another".into());
    insta::assert_snapshot!(shown(Ends { source: None, target: Some(target) }, false), @"");
}

#[test]
fn an_object() {
    let mut ends = both();
    ends.source = None;
    let text = shown(ends, true);
    assert_eq!(text.lines().count(), 1);
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&object["schema_version"], &object["failures"], &object["warnings"]),
        (&1.into(), &0.into(), &0.into())
    );
    let end = &object["ends"][0];
    assert_eq!((&end["role"], &end["host"], &end["dataset"]), (&"target".into(), &"beta".into(), &"b/a".into()));
    assert_eq!(end["connection"]["sessions_granted"], 10);
    assert_eq!(end["findings"][0]["check"], "ssh");
    assert_eq!(end["findings"][0]["mark"], "ok");
    assert!(end["findings"][0].get("advice").is_none());
}
