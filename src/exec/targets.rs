//! Who the target is: found among those that are noted on SOURCE, and noted there.

use std::time::Duration;

use super::ask::{Asker, host_name};
use super::local;
use crate::config::PushJob;
use crate::error::StartError;
use crate::name::{DatasetName, Guid};
use crate::plan::{Identity, Negotiation, PROPERTY, Plan, Registered, Registry, Seen, Tags};
use crate::remote::ssh;
use crate::report::{Event, Reporter};
use crate::zfs::{Note, Zfs, read_settings_of};

/// So long zfs may take for a question about properties.
const LIMIT: Duration = Duration::from_secs(60);

/// Who the target is.
#[derive(Debug, Clone)]
pub struct Met {
    /// What its bookmarks on the source are called.
    pub tags: Tags,
    /// What is noted of it, while TARGET is not known to exist: its guid is what proves it later.
    pub newcomer: Option<Registered>,
}

/// What is noted of the targets of a job's SOURCE, and which of them this one is.
pub struct Targets {
    /// `None`: SOURCE's properties can't be read, and so nothing is noted either.
    noted: Option<Registry>,
    host: String,
    met: Option<Identity>,
}

impl Targets {
    /// Reads what is noted.
    pub async fn read(job: &PushJob, zfs: &Zfs) -> Self {
        let (noted, host) = tokio::join!(noted_on(zfs, &job.source), reached(job));
        let noted = noted.inspect_err(|error| tracing::info!("{error}")).ok();
        Self { noted, host, met: None }
    }

    /// Once the target has told what its pool is, its bookmarks are known.
    pub fn meet(&mut self, job: &PushJob, negotiation: &mut Negotiation) {
        if self.met.is_some() {
            return;
        }
        let Some(pool) = negotiation.pool_guid() else { return };
        let identity = self.identify(job, pool, negotiation.top_guid());
        // What the target doesn't have no bookmark makes it have: old ones can be believed by anybody.
        let old = [job.host_in_old_tags()];
        negotiation.believe(identity.target.tags().with_old(&old));
        self.met = Some(identity);
    }

    /// Which of the noted targets is on this pool, or that it is a new one.
    fn identify(&self, job: &PushJob, pool: Guid, top: Option<Guid>) -> Identity {
        let none = Registry::default();
        identify(self.noted.as_ref().unwrap_or(&none), job, &self.host, (pool, top))
    }

    /// Notes the target if something has changed. What its bookmarks are called.
    pub async fn note(
        self,
        job: &PushJob,
        zfs: &Zfs,
        negotiation: &Negotiation,
        plan: &Plan,
        reporter: &mut dyn Reporter,
    ) -> Met {
        let Some(Identity { mut target, mut noted, odd }) = self.met else {
            return Met { tags: Tags::new(&self.host, Guid(0)), newcomer: None };
        };
        let Some(registry) = self.noted.filter(|_| job.bookmarks && job.restore.is_none()) else {
            return Met { tags: target.tags(), newcomer: None };
        };
        let old = job.host_in_old_tags();
        let candidate = target.tags().with_old(std::slice::from_ref(&old));
        if registry.may_take_over(&target, &old) && negotiation.has_old_marks(&candidate) {
            target.old.push(old);
            noted = false;
        }
        // What has nothing of SOURCE, and gets nothing, may have been named by mistake.
        let is_one = registry.iter().any(|one| one.id() == target.id()) || negotiation.is_served(plan);
        let failure = if noted || job.dry_run || !is_one { None } else { write(zfs, &job.source, &target).await.err() };
        // One that is odd and noted is one too many.
        let is_noted = failure.is_none() && is_one && !(noted && odd.is_some());
        if let Some(text) = failure.or(odd).filter(|_| is_one) {
            reporter.event(&Event::Notice { dataset: None, text });
        }
        Met { tags: target.tags(), newcomer: Some(target).filter(|target| target.top.is_none() && is_noted) }
    }
}

/// Notes the guid of a TARGET that the run has made. Where that fails the next run does it.
pub async fn note_top(zfs: &Zfs, target: Registered, mut asker: Asker<'_>) {
    let (source, name) = (asker.job.source.clone(), [target.dataset.to_string()]);
    let found = asker.ask(&name).await.unwrap_or_default();
    let [(_, top, _)] = found[..] else { return };
    if let Err(words) = write(zfs, &source, &Registered { top: Some(top), ..target }).await {
        tracing::info!("{words}");
    }
}

/// The same for whoever has asked the target in a way of its own.
pub fn identify(registry: &Registry, job: &PushJob, host: &str, (pool, top): (Guid, Option<Guid>)) -> Identity {
    registry.identify(&Seen {
        written: job.target.to_string(),
        host: host.to_owned(),
        dataset: job.target.dataset.clone(),
        pool,
        top,
        now: jiff::Timestamp::now().as_second(),
        selected: job.filter.given(),
    })
}

/// How a job's host is reached, for [`Registered::host`].
pub async fn reached(job: &PushJob) -> String {
    match &job.target.host {
        Some(host) => ssh::reached(host, &job.ssh).await,
        None => String::new(),
    }
}

async fn write(zfs: &Zfs, source: &DatasetName, target: &Registered) -> Result<(), String> {
    let value = serde_json::to_string(target).map_err(|error| error.to_string())?;
    let command = zfs.set_property(&target.property(), &value, source);
    said(command).await.map(drop).map_err(|words| {
        format!(
            "the target can't be noted on {source}, so that only its bookmarks keep what it may need: {words}\n  grant it (zfs allow USER \
             userprop {source}) or use --no-bookmark"
        )
    })
}

/// Drops a target's note.
pub async fn drop_note(zfs: &Zfs, source: &DatasetName, target: &Registered) -> Result<(), String> {
    said(zfs.drop_property(&target.property(), source)).await.map(drop)
}

async fn said(command: std::process::Command) -> Result<Vec<u8>, String> {
    let output = local::output(command, Some(LIMIT)).await.map_err(|error| error.to_string())?;
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(output.stdout) } else { Err(words) }
}

/// Whether zfsync has received into this very dataset.
pub async fn received(zfs: &Zfs, dataset: &DatasetName) -> Result<bool, StartError> {
    let failed = |words: String| StartError::List { dataset: dataset.to_string(), words };
    let noted = said(zfs.own_property(Note::Received.property(), dataset)).await.map_err(failed)?;
    Ok(!noted.trim_ascii().is_empty())
}

/// The targets that are noted on this very dataset.
pub async fn noted_on(zfs: &Zfs, source: &DatasetName) -> Result<Registry, StartError> {
    let failed = |words: String| StartError::List { dataset: source.to_string(), words };
    let own = said(zfs.own_properties(source)).await.map_err(failed)?;
    let text = String::from_utf8_lossy(&own);
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    Ok(Registry::read(lines.filter(|(property, _)| property.starts_with(PROPERTY))))
}

/// The targets that are noted on a dataset, on those above, and on those below; each with the one on which it is noted.
pub async fn noted_around(zfs: &Zfs, top: &DatasetName) -> Result<Vec<(DatasetName, Registered)>, StartError> {
    let failed = |words: String| StartError::List { dataset: top.to_string(), words };
    let below = said(zfs.settings_below(top)).await.map_err(failed)?;
    let above = said(zfs.inherited_properties(top)).await.map_err(failed)?;
    let above = String::from_utf8_lossy(&above);
    let above = above.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let (property, value) = (fields.next()?, fields.next()?);
        let from = fields.next()?.strip_prefix("inherited from ")?.parse().ok()?;
        Some((from, property.to_owned(), value.to_owned()))
    });
    let all = above.chain(read_settings_of(&below, PROPERTY));
    let noted = |(on, property, value): (DatasetName, String, String)| {
        let read = Registry::read([(property.as_str(), value.as_str())]);
        read.iter().next().map(|target| (on, target.clone()))
    };
    Ok(all.filter_map(noted).collect())
}

/// What is said of a target that is needed and was not asked.
pub fn label(source: &DatasetName, target: &Registered) -> String {
    format!("{} (not asked; zfsync forget {source} {} if it is no more)", target.written, target.id())
}

/// What is said of the counterpart of a dataset.
pub fn counterpart(job: &PushJob, target: &DatasetName) -> String {
    match job.target.host {
        Some(_) => format!("{}:{target}", host_name(job)),
        None => target.to_string(),
    }
}
