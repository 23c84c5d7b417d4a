//! What the source's host tells of a push that it carries out, a line each.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::error::{Exit, Signal};
use crate::plan::LastResult;
use crate::report::event::ResolvedConflicts;
use crate::report::view::dry_run::PlanRow;
use crate::report::{DatasetEnd, Event, Summary};
use zfs::text::sanitise;

/// One line of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// Something has happened.
    Event(#[serde(serialize_with = "with_rest", deserialize_with = "event")] Event),
    /// A dataset has ended.
    Dataset(Ended),
    /// A part of the plan of a dry run.
    Row(#[serde(serialize_with = "with_withheld", deserialize_with = "row")] PlanRow),
    /// All is over.
    Over(Over),
}

/// Something that is in the public JSON, too, with what isn't.
#[derive(Serialize, Deserialize)]
struct With<T, R> {
    #[serde(flatten)]
    public: T,
    #[serde(flatten)]
    rest: R,
}

/// Of a [`Summary`].
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Rest {
    #[serde(skip_serializing_if = "is_none")]
    resolved: ResolvedConflicts,
    #[serde(skip_serializing_if = "is_none")]
    withheld: Option<String>,
    #[serde(skip_serializing_if = "is_none")]
    kept: u64,
}

/// Of a [`PlanRow`].
#[derive(Serialize, Deserialize)]
struct Withheld {
    #[serde(default, skip_serializing_if = "is_none")]
    withheld: bool,
}

fn is_none<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn with_rest<S: Serializer>(event: &Event, serializer: S) -> Result<S::Ok, S::Error> {
    let rest = match event {
        Event::Finished(Summary { resolved, withheld, kept, .. }) => {
            Rest { resolved: *resolved, withheld: withheld.clone(), kept: *kept }
        }
        _ => Rest::default(),
    };
    With { public: event, rest }.serialize(serializer)
}

fn event<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Event, D::Error> {
    let With { mut public, rest } = With::<Event, Rest>::deserialize(deserializer)?;
    if let Event::Finished(summary) = &mut public {
        (summary.resolved, summary.withheld, summary.kept) = (rest.resolved, rest.withheld, rest.kept);
    }
    Ok(public)
}

fn with_withheld<S: Serializer>(row: &PlanRow, serializer: S) -> Result<S::Ok, S::Error> {
    With { public: row, rest: Withheld { withheld: row.withheld } }.serialize(serializer)
}

fn row<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PlanRow, D::Error> {
    let With { public, rest } = With::<PlanRow, Withheld>::deserialize(deserializer)?;
    Ok(PlanRow { withheld: rest.withheld, ..public })
}

/// A [`DatasetEnd`] of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    dataset: String,
    target: String,
    result: LastResult,
    updated: bool,
    error: Option<String>,
    newest: Option<String>,
}

/// How it has ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Over {
    /// As the exit code says.
    pub exit: u8,
    /// Why it could not start.
    pub error: Option<String>,
    /// Whether the target's host couldn't be reached from there.
    #[serde(default)]
    pub unreached: bool,
}

impl Told {
    /// What a line says, with all text made harmless, and for a reader here. What is about the run as a whole, and so bears no dataset's name,
    /// gets the host's in front: it is that host's word.
    pub fn read(line: &[u8], host: &str) -> Result<Self, String> {
        let mut value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        harmless(&mut value);
        let mut told = serde_json::from_value(value).map_err(|error| sanitise(&error.to_string()).into_owned())?;
        match &mut told {
            Self::Event(Event::Problem { text } | Event::Notice { dataset: None, text }) => {
                *text = format!("{host}: {}", seen_from_here(text, host));
            }
            Self::Event(
                Event::Notice { text, .. }
                | Event::StepFailed { error: text, .. }
                | Event::DatasetFailed { error: text, .. },
            )
            | Self::Over(Over { error: Some(text), .. }) => *text = seen_from_here(text, host),
            Self::Event(Event::Finished(summary)) => {
                summary.failures.iter_mut().for_each(|(_, error)| *error = seen_from_here(error, host));
            }
            _ => {}
        }
        Ok(told)
    }
}

/// What zfsync says there of the machine that it runs on is said of the host here.
fn seen_from_here(text: &str, host: &str) -> String {
    text.replace("this machine", host)
}

fn harmless(value: &mut Value) {
    match value {
        Value::String(text) => *text = sanitise(text).into_owned(),
        Value::Array(values) => values.iter_mut().for_each(harmless),
        Value::Object(fields) => fields.values_mut().for_each(harmless),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Ended {
    pub fn of(end: &DatasetEnd<'_>) -> Self {
        Self {
            dataset: end.dataset.to_owned(),
            target: end.target.to_owned(),
            result: end.result,
            updated: end.updated,
            error: end.error.map(ToOwned::to_owned),
            newest: end.newest.map(ToOwned::to_owned),
        }
    }

    pub fn as_end(&self) -> DatasetEnd<'_> {
        DatasetEnd {
            dataset: &self.dataset,
            target: &self.target,
            result: self.result,
            updated: self.updated,
            error: self.error.as_deref(),
            newest: self.newest.as_deref(),
        }
    }
}

impl Over {
    /// The end that a push can come to with such a code.
    pub fn exit(&self) -> Option<Exit> {
        let ends = [
            Exit::InSync,
            Exit::Failed,
            Exit::Usage,
            Exit::NotStarted,
            Exit::Locked,
            Exit::Interrupted(Signal::Interrupt),
            Exit::Interrupted(Signal::Terminate),
        ];
        // What has not even started is no success, whatever is said.
        ends.into_iter().find(|end| end.code() == self.exit).filter(|end| self.error.is_none() || *end != Exit::InSync)
    }
}
