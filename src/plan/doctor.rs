//! What could make a first replication fail, known before it: facts of both ends become findings, each with what to do.

mod dataset;
mod host;
mod planned;

use std::time::Duration;

use serde::Serialize;

use super::HostRole;
pub use planned::{Planned, Reasons, Refused, Runner};
use zfs::name::DatasetName;
use zfs::{Allow, Examination, Hello};

/// How good a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// As it should be.
    Ok,
    /// It can't be told.
    Unknown,
    /// A run works, but not for all that may come.
    Warning,
    /// A run fails.
    Failure,
}

/// What was found out about one point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The point.
    pub check: &'static str,
    /// How good it is.
    pub mark: Mark,
    /// What it is, in one sentence.
    pub words: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// One end, as far as it could be looked at.
#[derive(Debug, Clone)]
pub struct EndFacts {
    /// Which.
    pub role: HostRole,
    /// What its host is called.
    pub host: String,
    /// What it is about, if anything was named.
    pub dataset: Option<DatasetName>,
    /// What its helper must be allowed to do, beyond its side's own work.
    pub needs: Vec<Allow>,
    /// The host that it connects to by itself.
    pub direct: Option<String>,
    /// How it is reached, where it is another host.
    pub connection: Option<ConnectionFacts>,
    /// What its helper says of itself.
    pub hello: Hello,
    /// What there is.
    pub examined: Examined,
}

/// What has become of the question what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Examined {
    /// It was answered.
    Found(Box<Examination>),
    /// The helper is older, and doesn't know the question.
    Older,
    /// It was refused, or nobody answered: why.
    Failed(String),
    /// It couldn't be asked, as there is no connection, or no helper: why.
    Unreachable(String),
}

/// What was seen of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// How long ssh took to log in.
    pub login: Duration,
    /// How it did that, in ssh's words: `publickey`, `password`, ...
    pub method: Option<String>,
    /// The cipher.
    pub cipher: Option<String>,
    /// How long the helper took to greet.
    pub greeting: Duration,
    /// Which end its helper serves.
    pub serves: HostRole,
    /// How many sessions were granted at the same time, and how many were asked for.
    pub sessions: (usize, usize),
    /// How long a request and its reply take.
    pub round_trip: Option<Duration>,
    /// How far its clock is ahead of this machine's, in seconds.
    pub clock: Option<i64>,
}

/// Both ends, as far as they were named.
#[derive(Debug, Clone)]
pub struct Ends {
    /// SOURCE.
    pub source: Option<EndFacts>,
    /// TARGET.
    pub target: Option<EndFacts>,
}

/// Both ends with what is to be said of them.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// Each end with its findings.
    pub ends: Vec<(EndFacts, Vec<Finding>)>,
}

impl Diagnosis {
    /// What comes of these facts. `version`: our own.
    #[must_use]
    pub fn of(ends: Ends, version: &str) -> Self {
        let Ends { source, target } = ends;
        let of = |end: &EndFacts, other: Option<&EndFacts>| {
            let mut findings = host::findings(end, version);
            findings.extend(dataset::findings(end, other));
            findings
        };
        let for_source = source.as_ref().map(|end| of(end, target.as_ref()));
        let for_target = target.as_ref().map(|end| of(end, source.as_ref()));
        let ends = source.zip(for_source).into_iter().chain(target.zip(for_target)).collect();
        Self { ends }
    }

    /// Whether nothing was checked, as none of what was named could be reached.
    #[must_use]
    pub fn is_unreached(&self) -> bool {
        self.ends.iter().all(|(end, _)| matches!(end.examined, Examined::Unreachable(_)))
    }

    /// All findings.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.ends.iter().flat_map(|(_, findings)| findings)
    }

    /// How many findings have this mark.
    #[must_use]
    pub fn count(&self, mark: Mark) -> usize {
        self.findings().filter(|finding| finding.mark == mark).count()
    }
}

impl EndFacts {
    /// Whether the dataset is outside of what the helper is restricted to.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        let roots = &self.hello.roots;
        let within = |dataset: &DatasetName| roots.is_empty() || roots.iter().any(|root| dataset.is_within(root));
        self.dataset.as_ref().is_some_and(|dataset| !within(dataset))
    }

    fn found(&self) -> Option<&Examination> {
        match &self.examined {
            Examined::Found(found) => Some(found),
            _ => None,
        }
    }
}

impl Finding {
    fn new(check: &'static str, mark: Mark, words: impl Into<String>) -> Self {
        Self { check, mark, words: words.into(), advice: None }
    }

    fn ok(check: &'static str, words: impl Into<String>) -> Self {
        Self::new(check, Mark::Ok, words)
    }

    fn unknown(check: &'static str, words: impl Into<String>) -> Self {
        Self::new(check, Mark::Unknown, words)
    }

    fn warning(check: &'static str, words: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..Self::new(check, Mark::Warning, words) }
    }

    fn failure(check: &'static str, words: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..Self::new(check, Mark::Failure, words) }
    }
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
pub(crate) mod tests;
