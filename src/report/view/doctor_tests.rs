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
    insta::assert_snapshot!(shown(both(), false), @r"
    source t/a on this machine
      OK   OpenZFS      2.3.9-1
      OK   pool         t is ONLINE
      OK   dataset      t/a exists
      OK   permissions  root has all permissions
      OK   encryption   not encrypted
    target b/a on beta
      OK   ssh          logged in after 0.3 s by publickey; cipher aes128-gcm@openssh.com
      OK   helper       zfsync 1.0.0 runs as root, and answered after 0.1 s
      OK   sessions     10 of 10 sessions over one connection
      OK   round trip   0.6 ms for a request and its reply
      OK   clock        the clocks agree
      OK   OpenZFS      2.3.9-1
      OK   pool         b is ONLINE
      OK   dataset      b/a will be created below b
      OK   permissions  root has all permissions
      OK   encryption   b is not encrypted
      OK   features     the pool has all features that streams from the source's pool may need
      OK   space        8.00 GiB available; the source uses 1.00 GiB with all its snapshots
      OK   mount        b/a will not be mounted (canmount=noauto); its mount point would be /b/a
    no problems found
    ");
}

#[test]
fn what_is_wrong_stands_with_what_to_do() {
    let mut target = end(HostRole::Receiver, "b/a");
    let connection = target.connection.as_mut().unwrap();
    (connection.clock, connection.round_trip) = (Some(7200), None);
    connection.cipher = None;
    target.examined = Examined::Failed("one\nand\u{1b}[2J another".into());
    insta::assert_snapshot!(shown(Ends { source: None, target: Some(target) }, false), @r"
    target b/a on beta
      OK   ssh          logged in after 0.3 s by publickey
      OK   helper       zfsync 1.0.0 runs as root, and answered after 0.1 s
      OK   sessions     10 of 10 sessions over one connection
      ?    round trip   there was no reply
      WARN clock        its clock is 2 h 0 min ahead of this machine's
                        -> snapshots are named and kept by date: synchronize both clocks with NTP
      FAIL examination  the host could not be examined: one
                        and\u{1b}[2J another
                        -> see what 'zfs list' and 'zpool status' say on beta
      ?    OpenZFS      zfs version reports no version
    a run would fail: 1 failure, 1 warning, 2 not checked
    ");
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

#[test]
fn no_line_is_longer_than_the_page() {
    let mut target = end(HostRole::Receiver, "b/a");
    target.connection.as_mut().unwrap().clock = Some(7200);
    for width in 40..120 {
        let mut out = Vec::new();
        let page = Page { width: Some(width), ..PLAIN };
        let found = Diagnosis::of(Ends { source: None, target: Some(target.clone()) }, "1.0.0");
        view(found, false)(page, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let long = text.lines().find(|line| line.len() > width);
        assert_eq!(long.filter(|line| line.contains("-> ")), None, "{width}");
    }
}
