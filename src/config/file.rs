//! The configuration file as it is written: its keys, the types of their values, and what `[defaults]` adds.
//! docs/jobs.md tells what the keys mean.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize as Derive;
use serde::de::{Deserialize, Deserializer, Error as DeError, Visitor};
use toml::Spanned;

use super::hooks::HookCommand;
use super::location;
use crate::cli::{self, LogFormat};
use crate::format::{Rate, parse_duration};
use crate::plan::{Format, MaxDelete, PerClass, Periods, Zone};
use crate::remote::bootstrap::HelperFrom;
use crate::remote::target::Target;

/// All of it.
#[derive(Debug, Derive)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What jobs leave open.
    #[serde(default)]
    pub defaults: Table,
    /// The jobs by their names.
    #[serde(default)]
    pub job: BTreeMap<Spanned<String>, Table>,
}

/// A job, or what is left open by jobs.
#[derive(Debug, Clone, Default, Derive)]
#[serde(
    rename_all = "kebab-case",
    deny_unknown_fields,
    expecting = "a table: [defaults] or [job.NAME], and its keys below"
)]
pub struct Table {
    pub source: Option<Source>,
    pub sources: Option<Vec<Source>>,
    pub targets: Option<Vec<Text<Target>>>,
    #[serde(default)]
    pub snapshot: Snapshot,
    pub keep: Option<Keep>,
    pub keep_targets: Option<Keep>,
    pub time_zone: Option<Text<Zone>>,
    pub only_named_targets: Option<bool>,
    pub delete_missing: Option<cli::DeleteMissing>,
    pub grace: Option<Time>,
    pub max_delete: Option<MaxDelete>,
    pub follow_renames: Option<bool>,
    pub include: Option<Vec<String>>,
    pub exclude: Option<Vec<String>>,
    pub depth: Option<usize>,
    pub recursive: Option<bool>,
    pub skip_empty: Option<bool>,
    /// Whether several snapshots at a time are received from a source on another host.
    pub trust_source: Option<bool>,
    pub allow_unencrypted: Option<bool>,
    pub allow_unproven_bookmarks: Option<bool>,
    #[serde(default)]
    pub ssh: Ssh,
    pub source_ssh: Option<Ssh>,
    pub direct: Option<bool>,
    pub forward_agent: Option<bool>,
    pub channels: Option<Channels>,
    pub bwlimit: Option<Text<Rate>>,
    pub retries: Option<u32>,
    pub retry_max_wait: Option<Time>,
    pub stall_timeout: Option<Time>,
    pub wait_lock: Option<Time>,
    pub log: Option<PathBuf>,
    pub log_format: Option<LogFormat>,
    pub state_dir: Option<PathBuf>,
    pub job_timeout: Option<Time>,
    pub pre_snapshot: Option<HookCommand>,
    pub post_snapshot: Option<HookCommand>,
    pub pre_push: Option<HookCommand>,
    pub post_push: Option<HookCommand>,
    pub on_success: Option<HookCommand>,
    pub on_failure: Option<HookCommand>,
    pub hook_timeout: Option<Time>,
}

/// How snapshots are taken.
#[derive(Debug, Clone, Default, Derive)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, expecting = "a table: snapshot = { enabled = false }")]
pub struct Snapshot {
    pub enabled: Option<bool>,
    pub format: Option<Text<Format>>,
    pub local_time: Option<bool>,
    pub if_changed: Option<bool>,
}

/// What stays when snapshots are pruned.
#[derive(Debug, Clone, Default, Derive)]
#[serde(deny_unknown_fields, expecting = "a table: keep = { grid = \"24h,7d\" }")]
pub struct Keep {
    pub classes: Option<Text<PerClass>>,
    pub last: Option<usize>,
    pub grid: Option<Text<Periods>>,
}

/// The way to the other hosts.
#[derive(Debug, Clone, Default, Derive)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, expecting = "a table: ssh = { port = 2222 }")]
pub struct Ssh {
    pub port: Option<std::num::NonZeroU16>,
    pub identity: Option<PathBuf>,
    pub config: Option<PathBuf>,
    pub options: Option<Vec<String>>,
    pub remote_zfsync: Option<String>,
    pub remote_zfs: Option<String>,
    pub helper: Option<Text<HelperFrom>>,
}

/// Text that is parsed at once, so that an error knows its line.
#[derive(Debug, Clone)]
pub struct Text<T>(pub T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

/// A dataset of this machine, or of another host.
#[derive(Debug, Clone)]
pub struct Source(pub Target);

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        location(&String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

/// A span of time, as `5min`.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeText)
    }
}

/// Reads one. A number alone gets the words that it gets in quotes.
struct TimeText;

impl Visitor<'_> for TimeText {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: DeError>(self, text: &str) -> Result<Time, E> {
        parse_duration(text).map(Time).map_err(|why| E::custom(format!("{text:?}: {why}")))
    }

    fn visit_i64<E: DeError>(self, number: i64) -> Result<Time, E> {
        parse_duration(&number.to_string()).map(Time).map_err(|why| E::custom(format!("{number}: {why}")))
    }
}

/// So many streams.
#[derive(Debug, Clone, Copy)]
pub struct Channels(pub u16);

impl<'de> Deserialize<'de> for Channels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u16::deserialize(deserializer)? {
            number @ 1..=64 => Ok(Self(number)),
            number => Err(D::Error::custom(format!("{number} is not in the range from 1 to 64"))),
        }
    }
}

macro_rules! filled {
    ($own:ident, $defaults:ident: $($key:ident)*) => {
        $(if $own.$key.is_none() { $own.$key.clone_from(&$defaults.$key); })*
    };
}

impl Table {
    /// With the defaults for what it leaves open. Lists, `keep` and `keep-targets` are taken as a whole.
    #[must_use]
    pub fn or(mut self, defaults: &Self) -> Self {
        if self.source.is_none() && self.sources.is_none() {
            filled!(self, defaults: source sources);
        }
        filled!(self, defaults: time_zone delete_missing grace max_delete follow_renames);
        filled!(self, defaults: direct forward_agent channels bwlimit retries retry_max_wait stall_timeout wait_lock job_timeout);
        filled!(self, defaults: log log_format state_dir);
        filled!(self, defaults: targets keep keep_targets only_named_targets include exclude depth recursive skip_empty trust_source allow_unencrypted
            allow_unproven_bookmarks);
        filled!(self, defaults: pre_snapshot post_snapshot pre_push post_push on_success on_failure hook_timeout);
        let (own, theirs) = (&mut self.snapshot, &defaults.snapshot);
        filled!(own, theirs: enabled format local_time if_changed);
        let (own, theirs) = (&mut self.ssh, &defaults.ssh);
        own.fill(theirs);
        match (&mut self.source_ssh, &defaults.source_ssh) {
            (Some(own), Some(theirs)) => own.fill(theirs),
            (own @ None, theirs) => own.clone_from(theirs),
            (Some(_), None) => {}
        }
        self
    }
}

impl Ssh {
    fn fill(&mut self, defaults: &Self) {
        filled!(self, defaults: port identity config options remote_zfsync remote_zfs helper);
    }
}
