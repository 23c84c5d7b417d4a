use super::*;
use zfs::FeatureState::{Active, Disabled, Enabled, Unknown};
use zfs::{EncryptionState, Feature, FeatureState, Granted, MountState, Place, PoolState, Rights};

fn dataset(name: &str) -> DatasetName {
    name.parse().unwrap()
}

fn feature(name: &str, state: FeatureState) -> Feature {
    Feature { name: name.into(), state }
}

/// An end on which all is well.
pub fn end(role: HostRole, name: &str) -> EndFacts {
    let source = role == HostRole::Sender;
    let name = dataset(name);
    let place = Place {
        nearest: if source { Some(name.clone()) } else { name.parent() },
        features: vec![feature("large_blocks", FeatureState::Active), feature("encryption", FeatureState::Enabled)],
        available: Some(8 << 30),
        used: Some(1 << 30),
        encryption: Some(EncryptionState { root: None, encrypted: false, key_loaded: false }),
        mount: Some(MountState {
            mountpoint: "/b".into(),
            mounted: true,
            canmount: Some("on".into()),
            readonly: Some(false),
        }),
        rights: Rights::All,
        ..Place::default()
    };
    let pool = PoolState { name: name.pool().into(), health: "ONLINE".into(), readonly: false };
    let version = || Some("2.3.9-1".to_owned());
    let examination =
        Examination { userland: version(), module: version(), pools: Some(vec![pool]), place: Some(place) };
    let connection = ConnectionFacts {
        login: Duration::from_millis(320),
        method: Some("publickey".into()),
        cipher: Some("aes128-gcm@openssh.com".into()),
        greeting: Duration::from_millis(110),
        serves: role,
        sessions: (10, 10),
        round_trip: Some(Duration::from_micros(640)),
        clock: Some(0),
    };
    EndFacts {
        role,
        host: if source { "this machine".into() } else { "beta".into() },
        dataset: Some(name),
        needs: Vec::new(),
        direct: None,
        connection: (!source).then_some(connection),
        hello: Hello {
            version: "1.0.0".into(),
            zfs_path: Some("/sbin/zfs".into()),
            user: "root".into(),
            ..Hello::default()
        },
        examined: Examined::Found(Box::new(examination)),
    }
}

pub fn both() -> Ends {
    Ends { source: Some(end(HostRole::Sender, "t/a")), target: Some(end(HostRole::Receiver, "b/a")) }
}

fn examination(end: &mut EndFacts) -> &mut Examination {
    let Examined::Found(found) = &mut end.examined else { panic!("not examined") };
    found
}

fn place(end: &mut EndFacts) -> &mut Place {
    examination(end).place.as_mut().unwrap()
}

fn connection(end: &mut EndFacts) -> &mut ConnectionFacts {
    end.connection.as_mut().unwrap()
}

/// What is found of a target with a change, other than that all is well: check, mark, sentence, advice.
fn of_target(change: impl FnOnce(&mut EndFacts)) -> Vec<String> {
    let mut ends = both();
    change(ends.target.as_mut().unwrap());
    complaints(ends)
}

fn of_source(change: impl FnOnce(&mut EndFacts)) -> Vec<String> {
    let mut ends = both();
    change(ends.source.as_mut().unwrap());
    complaints(ends)
}

fn complaints(ends: Ends) -> Vec<String> {
    let found = Diagnosis::of(ends, "1.0.0");
    let line = |finding: &Finding| {
        let advice = finding.advice.as_ref().map(|advice| format!(" -> {advice}")).unwrap_or_default();
        format!("{:?} {}: {}{advice}", finding.mark, finding.check, finding.words)
    };
    found.findings().filter(|finding| finding.mark != Mark::Ok).map(line).collect()
}

/// Exactly one complaint, which begins so and has these words.
#[track_caller]
fn one(complaints: &[String], begins: &str, words: &[&str]) {
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    assert!(complaints[0].starts_with(begins), "{complaints:#?}");
    for word in words {
        assert!(complaints[0].contains(word), "no {word:?} in {complaints:#?}");
    }
}

#[test]
fn all_is_well() {
    assert_eq!(complaints(both()), Vec::<String>::new());
    assert_eq!(complaints(Ends { source: None, target: Some(end(HostRole::Receiver, "b/a")) }), Vec::<String>::new());
    let found = Diagnosis::of(both(), "1.0.0");
    let checks: Vec<&str> = found.ends[1].1.iter().map(|finding| finding.check).collect();
    assert_eq!(
        checks,
        [
            "ssh",
            "helper",
            "sessions",
            "round trip",
            "clock",
            "OpenZFS",
            "pool",
            "dataset",
            "permissions",
            "encryption",
            "features",
            "space",
            "mount"
        ]
    );
}

#[test]
fn connections() {
    let password = |end: &mut EndFacts| connection(end).method = Some("password".into());
    one(&of_target(password), "Warning ssh:", &["by password", "ssh-copy-id beta"]);
    one(&of_target(|end| connection(end).sessions = (2, 10)), "Warning sessions:", &["2 of 10", "MaxSessions", "-j 1"]);
    one(&of_target(|end| connection(end).sessions = (4, 10)), "Warning sessions:", &["-j 3"]);
    assert!(of_target(|end| connection(end).sessions = (5, 10)).is_empty());
    one(&of_target(|end| connection(end).clock = Some(-3600)), "Warning clock:", &["1 h 0 min behind", "NTP"]);
    one(&of_target(|end| connection(end).clock = Some(90)), "Warning clock:", &["1 min 30 s ahead of"]);
    assert!(of_target(|end| connection(end).clock = Some(5)).is_empty());
}

#[test]
fn helpers() {
    one(
        &of_target(|end| connection(end).serves = HostRole::Sender),
        "Failure helper:",
        &["can't recv", "authorized_keys"],
    );
    let roots = |end: &mut EndFacts| end.hello.roots = vec![dataset("b/own")];
    one(&of_target(roots), "Failure helper:", &["restricted to b/own; b/a is outside of that"]);
    assert!(of_target(|end| end.hello.roots = vec![dataset("b")]).is_empty());
    let old = of_target(|end| {
        end.examined = Examined::Older;
        (connection(end).round_trip, connection(end).clock) = (None, None);
    });
    assert!(old.len() == 5 && old.iter().all(|line| line.starts_with("Unknown")), "{old:#?}");
    let failed = of_target(|end| end.examined = Examined::Failed("it says nothing any more".into()));
    assert!(failed[0].starts_with("Failure examination:") && failed[0].contains("zpool status"), "{failed:#?}");
}

#[test]
fn versions_of_openzfs() {
    let of = |userland: Option<&str>, module: Option<&str>| {
        of_target(|end| {
            let found = examination(end);
            (found.userland, found.module) = (userland.map(Into::into), module.map(Into::into));
        })
    };
    assert!(of(Some("2.3.9-1"), Some("2.3.9-2~bpo")).is_empty());
    one(
        &of(Some("2.3.9-1"), Some("2.2.2-1")),
        "Warning OpenZFS:",
        &["command has version 2.3.9-1", "module 2.2.2-1", "reboot"],
    );
    one(&of(Some("2.0.7-1"), Some("2.0.7-1")), "Warning OpenZFS:", &["upgrade to OpenZFS 2.1"]);
    assert!(of(None, Some("2.10.0-1")).is_empty());
    one(&of(Some("2.3.9-1"), None), "Failure OpenZFS:", &["modprobe zfs"]);
    one(&of(None, None), "Unknown OpenZFS:", &[]);
    let none = of_target(|end| {
        end.hello.zfs_path = None;
        end.examined = Examined::Found(Box::default());
    });
    one(&none, "Failure OpenZFS: there is no zfs command", &["install OpenZFS on beta"]);
}

#[test]
fn pools() {
    let health = |health: &'static str| {
        move |end: &mut EndFacts| examination(end).pools.as_mut().unwrap()[0].health = health.into()
    };
    one(&of_target(health("DEGRADED")), "Warning pool:", &["b is DEGRADED", "zpool status 'b'"]);
    one(&of_source(health("SUSPENDED")), "Failure pool:", &["t is SUSPENDED"]);
    let readonly = |end: &mut EndFacts| examination(end).pools.as_mut().unwrap()[0].readonly = true;
    one(&of_target(readonly), "Failure pool:", &["read-only", "zpool export 'b'"]);
    one(&of_source(readonly), "Warning pool:", &["no bookmarks"]);
    let beside = |end: &mut EndFacts| {
        health("FAULTED")(end);
        end.dataset = None;
    };
    one(&of_target(beside), "Warning pool:", &["b is FAULTED"]);
    let gone = |end: &mut EndFacts| {
        let found = examination(end);
        found.pools = Some(Vec::new());
        found.place = Some(Place::default());
    };
    one(&of_target(gone), "Failure pool:", &["no pool 'b' is imported", "zpool import 'b'"]);
    one(
        &of_target(|end| examination(end).pools = None),
        "Failure pool: the pools can't be listed",
        &["on beta: zpool list"],
    );
}

#[test]
fn datasets() {
    one(
        &of_source(|end| place(end).nearest = Some(dataset("t"))),
        "Failure dataset:",
        &["t/a does not exist", "zfs list -r 't'"],
    );
    let unread =
        |end: &mut EndFacts| *place(end) = Place { unread: Some("permission denied".into()), ..Place::default() };
    one(&of_target(unread), "Failure dataset: b/a can't be read: permission denied", &["on beta: zfs list 'b/a'"]);
    let locked = |end: &mut EndFacts| place(end).locked = Some("alpha, process 7".into());
    one(&of_target(locked), "Warning lock:", &["alpha, process 7", "--wait-lock"]);
    let mounted = |end: &mut EndFacts| place(end).nearest = Some(dataset("b/a"));
    one(&of_target(mounted), "Warning mount:", &["b/a is mounted at /b", "readonly=on"]);
}

#[test]
fn permissions_of_users() {
    let granted = |permissions: &str| {
        let all: Vec<String> = permissions.split(',').map(ToOwned::to_owned).collect();
        move |end: &mut EndFacts| {
            end.hello.user = "repl".into();
            place(end).rights = Rights::Granted(Granted { here: all.clone(), below: all });
        }
    };
    assert!(of_target(granted("receive,create,mount,canmount,readonly,volmode,userprop")).is_empty());
    one(
        &of_target(granted("receive,create,canmount,readonly,volmode")),
        "Failure permissions: repl lacks mount,userprop on b",
        &["on beta, as root: zfs allow repl mount,userprop 'b'"],
    );
    one(&of_target(granted("receive,create,mount,canmount,readonly,volmode")), "Warning permissions:", &["userprop"]);
    // No user needs a whole pool, and what holds the target may still be missing.
    let deep = of_target(|end| {
        granted("mount")(end);
        end.dataset = Some(dataset("b/repl/x/y"));
    });
    let all = "receive,create,canmount,readonly,volmode,userprop";
    let below = format!("on beta, as root: zfs create -o canmount=off 'b/repl' && zfs allow repl {all} 'b/repl'");
    one(&deep, "Failure permissions: repl lacks receive,create", &[&below]);
    assert!(of_source(granted("send,hold,bookmark,destroy,mount,userprop")).is_empty());
    let hold = "zfs allow repl hold 't/a'";
    one(&of_source(granted("send,bookmark,destroy,mount,userprop")), "Failure permissions: repl lacks hold", &[hold]);
    let grant = "zfs allow repl bookmark,destroy,userprop 't/a'";
    one(&of_source(granted("send,hold,mount")), "Warning permissions:", &[grant]);
    one(&of_source(granted("mount")), "Failure permissions:", &["send"]);
    one(
        &of_target(|end| place(end).rights = Rights::DelegationOff),
        "Failure permissions:",
        &["zpool set delegation=on 'b'"],
    );
    one(&of_target(|end| place(end).rights = Rights::Unknown), "Unknown permissions:", &[]);
}

/// A helper that isn't trusted to replace a key reads the one that is there.
#[test]
fn raw_increments_need_a_permission_to_read_the_key() {
    let with = |exists: bool, encrypted: (Option<bool>, bool), allow: &[&str], permissions: &str| {
        let mut ends = both();
        let state = |encrypted| Some(EncryptionState { root: None, encrypted, key_loaded: false });
        match (encrypted.0, ends.source.as_mut()) {
            (Some(encrypted), Some(source)) => place(source).encryption = state(encrypted),
            _ => ends.source = None,
        }
        let target = ends.target.as_mut().unwrap();
        target.hello.user = "repl".into();
        target.hello.allow = allow.iter().map(|word| (*word).to_owned()).collect();
        let all: Vec<String> = permissions.split(',').map(ToOwned::to_owned).collect();
        let place = place(target);
        place.encryption = state(encrypted.1);
        place.rights = Rights::Granted(Granted { here: all.clone(), below: all });
        if exists {
            place.nearest = Some(dataset("b/a"));
        }
        let found = Diagnosis::of(ends, "1.0.0");
        let of_target = found.ends.into_iter().next_back().unwrap().1;
        let one = of_target.into_iter().find(|finding| finding.check == "permissions").unwrap();
        (one.mark, one.advice.unwrap_or_default())
    };
    let receive = "receive,create,mount,canmount,readonly,volmode,userprop";
    let both_encrypted = (Some(true), true);
    let lacks = |name: &str| format!("on beta, as root: zfs allow repl send '{name}'");
    assert_eq!(with(true, both_encrypted, &[], receive), (Mark::Failure, lacks("b/a")));
    assert_eq!(with(true, (None, true), &[], receive), (Mark::Failure, lacks("b/a")));
    // What is sent in full is compared with nothing.
    assert_eq!(with(false, (Some(true), false), &[], receive).0, Mark::Warning);
    for (encrypted, allow, permissions) in [
        (both_encrypted, &[][..], "receive,create,mount,canmount,readonly,volmode,userprop,send"),
        (both_encrypted, &["rekey"], receive),
        (both_encrypted, &["packages"], receive),
        ((Some(false), true), &[], receive),
        ((None, false), &[], receive),
    ] {
        assert_eq!(with(true, encrypted, allow, permissions), (Mark::Ok, String::new()), "{encrypted:?} {allow:?}");
    }
}

#[test]
fn features_that_the_target_lacks() {
    let with = |own: FeatureState, other: FeatureState, encrypted: bool| {
        let mut ends = both();
        let source = place(ends.source.as_mut().unwrap());
        source.features.push(feature("large_dnode", own));
        source.encryption = Some(EncryptionState { root: None, encrypted, key_loaded: false });
        if encrypted {
            source.features[1].state = FeatureState::Active;
        }
        let target = place(ends.target.as_mut().unwrap());
        target.features.push(feature("large_dnode", other));
        if encrypted {
            target.features[1].state = other;
        }
        complaints(ends)
    };
    assert!(with(Active, Enabled, false).is_empty());
    assert!(with(Enabled, Disabled, false).is_empty());
    one(
        &with(Active, Disabled, false),
        "Warning features: pool b lacks feature@large_dnode",
        &["on beta: zpool set feature@large_dnode=enabled 'b'"],
    );
    one(&with(Active, Unknown, false), "Warning features:", &["a newer OpenZFS on beta has large_dnode"]);
    one(&with(Enabled, Disabled, true), "Failure features: pool b lacks feature@encryption", &[]);
    assert!(with(Active, Active, true).is_empty());
}

#[test]
fn space_and_keys() {
    one(&of_target(|end| place(end).available = Some(1 << 20)), "Warning space:", &["1.00 MiB available", "1.00 GiB"]);
    one(&of_target(|end| place(end).available = None), "Unknown space:", &[]);
    one(&of_target(|end| place(end).available = Some(0)), "Failure space: 0 B available", &["free some space"]);
    let has_most = |end: &mut EndFacts| {
        let nearest = Some(dataset("b/a"));
        *place(end) =
            Place { nearest, available: Some(1 << 20), used: Some((1 << 30) - 1), mount: None, ..place(end).clone() };
    };
    assert_eq!(of_target(has_most), Vec::<String>::new());
    let locked = |end: &mut EndFacts| {
        place(end).encryption = Some(EncryptionState { root: Some(dataset("b")), encrypted: true, key_loaded: false });
    };
    one(&of_target(locked), "Failure encryption:", &["its key is not loaded", "zfs load-key 'b'"]);
    let mut ends = both();
    locked(ends.target.as_mut().unwrap());
    // Raw streams need no key.
    place(ends.source.as_mut().unwrap()).encryption =
        Some(EncryptionState { root: Some(dataset("t/a")), encrypted: true, key_loaded: false });
    assert_eq!(complaints(ends.clone()), Vec::<String>::new());
    // It isn't known what will come.
    ends.source = None;
    one(&complaints(ends), "Warning encryption:", &["zfs load-key 'b'"]);
}
