//! Tests of the listing parsers.

use proptest::prelude::*;

use super::*;

fn source(text: &str) -> Result<Vec<Inventory>, ParseError> {
    read_source(text.as_bytes(), &"p/s".parse().unwrap())
}

fn names(all: &[Inventory]) -> Vec<&str> {
    all.iter().map(|one| one.path.as_str()).collect()
}

#[test]
fn gathers_a_tree_whose_lines_lie_apart() {
    let all = source("p/s\t1\t10\np/s@ two  blanks \t2\t30\np/s@one\t3\t20\n").unwrap();
    assert_eq!(names(&all), [""]);
    let snapshots: Vec<_> = all[0].snapshots.iter().map(|v| (v.name, v.guid.0, v.txg.0)).collect();
    assert_eq!(snapshots, [("one", 3, 20), (" two  blanks ", 2, 30)]);

    let text = "p/s\t1\t1\np/s#mark\t7\t3\np/s/a\t2\t2\np/s/a b\t3\t2\np/s/a b@x\t4\t5\np/s/a/c\t5\t2\np/s/a-b\t8\t2\n\
                p/s/a@y\t6\t9\np/s@z\t7\t3\np/s/%recv\t1\t1\np/s/a@%t\t1\t1\n";
    let all = source(text).unwrap();
    assert_eq!(names(&all), ["", "a", "a/c", "a b", "a-b"]);
    assert_eq!(all[0].bookmarks.newest().unwrap().name, "mark");
    assert_eq!(all[0].snapshots.newest().unwrap().guid, Guid(7));
    assert_eq!(all[1].snapshots.newest().unwrap().name, "y");
    assert_eq!(all[3].snapshots.newest().unwrap().name, "x");
    assert!(all[2].snapshots.is_empty());
}

#[test]
fn says_what_is_wrong_with_a_line() {
    for (line, what) in [
        ("p/s\t1", "three fields"),
        ("p/s\t1\t2\t3", "three fields"),
        ("p//s\t1\t2", "not valid"),
        ("p/s@\t1\t2", "not valid"),
        ("p/s@a@b\t1\t2", "not valid"),
        ("p/s\tx\t2", "GUID"),
        ("p/s\t1\t-", "createtxg"),
        ("p/other\t1\t2", "below the source"),
        ("", "three fields"),
    ] {
        let error = source(&format!("{line}\n")).unwrap_err().to_string();
        assert!(error.contains(what), "{line:?}: {error}");
    }
    let long = format!("{}\n", "ä".repeat(40_000));
    assert!(source(&long).unwrap_err().to_string().len() < 400);
    assert!(read_source(&b"p/s\xff\t1\t2\n"[..], &"p/s".parse().unwrap()).is_err());
}

#[test]
fn a_last_line_without_line_feed_is_damaged() {
    // The number may have been 42.
    let error = source("p/s\t1\t2\np/s@a\t3\t4").unwrap_err().to_string();
    assert!(error.contains("ends within a line") && error.contains("p/s@a"), "{error}");
    assert_eq!(source("p/s\t1\t2\np/s@a\t3\t4\n").unwrap()[0].snapshots.len(), 1);
}

#[test]
fn a_listing_with_a_line_twice_is_damaged() {
    let marks = "p/s\t1\t2\np/s@a\t3\t4\np/s@b\t5\t6\np/s#a\t3\t4\np/s#c\t3\t4\n";
    assert_eq!(source(marks).unwrap()[0].bookmarks.len(), 2);
    for twice in ["p/s@a\t3\t4\n", "p/s@b\t5\t6\n", "p/s#a\t3\t4\n"] {
        let error = source(&format!("{marks}{twice}")).unwrap_err().to_string();
        assert!(error.contains("listed twice"), "{error}");
    }
}

#[test]
fn reads_facts() {
    let text =
        "b\tfilesystem\t-\t-\tyes\t0\t512\nb/v\tvolume\t1-abc-def\tb/v\t-\t1\t-\nb/v/%recv\tvolume\t-\t-\t-\t1\t-\n";
    let all = read_facts(text.as_bytes()).unwrap();
    let (b, v) = ("b".parse().unwrap(), "b/v".parse().unwrap());
    assert_eq!(
        all,
        [
            Facts {
                name: b,
                kind: Kind::Filesystem,
                token: None,
                encryption: Encryption::Off,
                root_up: 0,
                mounted: true,
                unborn: false,
                written: Some(512),
            },
            Facts {
                name: v,
                kind: Kind::Volume,
                token: Some(crate::name::ResumeToken("1-abc-def".into())),
                encryption: Encryption::Root,
                root_up: 0,
                mounted: false,
                unborn: true,
                written: None,
            },
        ]
    );
    let inherited = read_facts(&b"b/e/k/x\tfilesystem\t-\tb/e\tno\t0\t0\n"[..]).unwrap();
    assert_eq!((inherited[0].encryption, inherited[0].root_up), (Encryption::Inherited, 2));
    assert!(read_facts(&b"b\tsnapshot\t-\t-\t-\t0\t0\n"[..]).is_err());
}

#[test]
fn a_feature_that_is_not_known_is_disabled() {
    let text =
        "size\t1\nfeature@large_blocks\tactive\nfeature@embedded_data\tenabled\nfeature@lz4_compress\tdisabled\n";
    assert_eq!(disabled_features(text.as_bytes()).unwrap(), ["lz4_compress", "zstd_compress", "encryption"]);
}

#[test]
fn counts_objects() {
    assert_eq!(user_objects(&b"POSIX User\t0\t6\nPOSIX User\t1000\t2\n"[..]).unwrap(), Some(vec![(0, 6), (1000, 2)]));
    assert_eq!(user_objects(&b"POSIX User\t0\t-\n"[..]).unwrap(), None);
    assert_eq!(user_objects(&b""[..]).unwrap(), Some(vec![]));
    assert!(user_objects(&b"x\n"[..]).is_err());
}

proptest! {
    #[test]
    fn whatever_comes_gives_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_source(&bytes[..], &"p/s".parse().unwrap());
        let _ = read_facts(&bytes[..]);
        let _ = disabled_features(&bytes[..]);
        let _ = user_objects(&bytes[..]);
    }

    #[test]
    fn likely_lines_give_a_result(text in "(p/s(/[a -]{0,3}){0,2}[@#%]?[a ]{0,2}\t[0-9]{0,3}\t[0-9]{0,3}\n){0,8}") {
        if let Ok(all) = source(&text) {
            let paths = names(&all);
            for (index, path) in paths.iter().enumerate() {
                prop_assert!(!paths[index + 1..].contains(path));
                if let Some(parent) = all[index].path.parent() {
                    prop_assert!(!paths[index..].contains(&parent.as_str()));
                }
            }
        }
    }
}
