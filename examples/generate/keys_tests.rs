//! The keys against what the file's parser takes and does.

use std::collections::BTreeSet;
use std::io::Write as _;

use super::*;
use zfsync::config::{CronJob, read_jobs};

fn keys() -> impl Iterator<Item = &'static Key> {
    GROUPS.iter().flat_map(|group| group.keys)
}

fn read(text: &str) -> Result<Vec<CronJob>, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    read_jobs(file.path()).map_err(|error| error.to_string())
}

/// A job in which a key has a value, or is left out, with what that key needs beside it.
fn job(key: &str, value: Option<&str>) -> Result<Vec<CronJob>, String> {
    let starts = |keys: &[&str]| keys.iter().any(|start| key.starts_with(start));
    let remote = starts(&["trust-source", "source-ssh", "direct", "forward-agent"]);
    let beside = [
        ("source = 'root@web:tank/data'", remote),
        ("source = 'tank/data'", !remote && key != "source" && key != "sources"),
        ("targets = ['backup:pool/data']", !starts(&["targets"])),
        ("keep.last = 5", !starts(&["keep."])),
        ("delete-missing = 'both'", starts(&["grace", "max-delete"])),
        ("direct = true", starts(&["forward-agent"])),
        ("log = '/var/log/x'", starts(&["log-format"])),
    ];
    let beside = beside.iter().filter(|(_, needed)| *needed).map(|(beside, _)| *beside);
    let line = value.map(|value| format!("{key} = {value}")).unwrap_or_default();
    read(&["[job.x]"].into_iter().chain(beside).chain([line.as_str(), ""]).collect::<Vec<_>>().join("\n"))
}

#[test]
fn each_example_is_taken_and_each_default_changes_nothing() {
    for Key { name, default, example, .. } in keys() {
        let of = |value| job(name, value).map(|jobs| masked(&format!("{jobs:?}")));
        let with = of(Some(example)).unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Value(value) = default {
            let (without, default) = (of(None).unwrap(), of(Some(value)).unwrap());
            assert_eq!(default, without, "{name} = {value}");
            assert_ne!(with, default, "{name}: the example changes nothing");
        }
    }
}

/// Without the numbers of runs, which are random.
fn masked(text: &str) -> String {
    let mut parts = text.split(" run: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once(',').map_or("", |(_, rest)| rest))
}

#[test]
fn each_key_of_the_parser_is_there() {
    let names: BTreeSet<&str> = keys().map(|key| key.name).collect();
    assert_eq!(names.len(), keys().count(), "a key is there twice");
    let source = include_str!("../../src/config/file.rs");
    for (structure, prefixes) in
        [("Table", &[""][..]), ("Snapshot", &["snapshot."]), ("Keep", &["keep.", "keep-targets."]), ("Ssh", &["ssh."])]
    {
        let body = source.split(&format!("pub struct {structure} {{")).nth(1).unwrap().split("\n}").next().unwrap();
        let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
        for field in fields.map(|field| field.replace('_', "-")) {
            let table = names.iter().any(|name| name.starts_with(&format!("{field}.")));
            for prefix in prefixes {
                assert!(
                    table || names.contains(format!("{prefix}{field}").as_str()),
                    "{prefix}{field} is not described"
                );
            }
        }
    }
}

#[test]
fn the_example_is_a_file() {
    assert_eq!(read(EXAMPLE).unwrap().len(), 2);
}
