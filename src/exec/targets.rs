//! Who the target is: found among those that are noted on SOURCE, and noted there.

use std::time::Duration;

use super::ask::{Asker, host_name};
use super::local;
use crate::config::PushJob;
use crate::error::StartError;
use crate::plan::{Identity, Negotiation, PROPERTY, Plan, Registered, Registry, Seen};
use crate::remote::ssh;
use crate::report::{Event, Reporter};
use zfs::name::{DatasetName, Guid};
use zfs::{Note, Tags, Zfs, read_settings_of};

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
    noted: Option<Noted>,
    host: String,
    met: Option<Identity>,
    /// It is noted above SOURCE, with all that lies below.
    is_above: bool,
}

impl Targets {
    /// Reads what is noted.
    pub async fn read(job: &PushJob, zfs: &Zfs) -> Self {
        let (noted, host) = tokio::join!(noted_on(zfs, &job.source), reached(job));
        let noted = noted.inspect_err(|error| tracing::info!("{error}")).ok();
        Self { noted, host, met: None, is_above: false }
    }

    /// Once the target has told what its pool is, its bookmarks are known.
    pub fn meet(&mut self, job: &PushJob, negotiation: &mut Negotiation) {
        if self.met.is_some() {
            return;
        }
        let Some(pool) = negotiation.pool_guid() else { return };
        let none = Noted::default();
        let noted = self.noted.as_ref().unwrap_or(&none);
        let (identity, is_above) = noted.identify(job, &self.host, (pool, negotiation.top_guid()));
        self.is_above = is_above;
        // What the target doesn't have no bookmark makes it have: old ones can be believed by anybody.
        let old = [job.host_in_old_tags()];
        negotiation.believe(identity.target.tags().with_old(&old));
        self.met = Some(identity);
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
        let Some(registry) = self.noted.filter(|_| job.bookmarks && job.restore.is_none() && !self.is_above) else {
            return Met { tags: target.tags(), newcomer: None };
        };
        let (registry, old) = (registry.own, job.host_in_old_tags());
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

/// How a job's host is reached, for [`Registered::host`].
pub async fn reached(job: &PushJob) -> String {
    match &job.target.host {
        Some(host) => ssh::reached(host, &job.ssh).await,
        None => String::new(),
    }
}

async fn write(zfs: &Zfs, source: &DatasetName, target: &Registered) -> Result<(), String> {
    let command = zfs.set_property(&target.property(), &target.value(), source);
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

/// What is noted on a dataset, and of what above it.
#[derive(Default)]
pub struct Noted {
    /// On the dataset itself.
    pub own: Registry,
    /// Above it, each with the one on which it is noted.
    pub above: Vec<(DatasetName, Registered)>,
}

impl Noted {
    /// Which of them has this pool and TARGET, or that it is a new one; and whether it is noted above SOURCE.
    pub fn identify(&self, job: &PushJob, host: &str, (pool, top): (Guid, Option<Guid>)) -> (Identity, bool) {
        let own = self.own.identify(&Seen {
            written: job.target.to_string(),
            host: host.to_owned(),
            dataset: job.target.dataset.clone(),
            pool,
            top,
            now: jiff::Timestamp::now().as_second(),
            selected: job.filter.given(),
        });
        let is_known = self.own.iter().any(|one| one.id() == own.target.id());
        match self.covering(job, host).find(|one| one.pool == pool).filter(|_| !is_known) {
            Some(above) => (Identity { target: above.clone(), noted: true, odd: None }, true),
            None => (own, false),
        }
    }

    /// How the bookmarks are called of all that were ever at a job's TARGET.
    pub fn at(&self, job: &PushJob, host: &str) -> Vec<Tags> {
        self.own.at(host, &job.target.dataset).chain(self.covering(job, host)).map(Registered::tags).collect()
    }

    /// Those that are noted above SOURCE, with all that lies below.
    fn covering(&self, job: &PushJob, host: &str) -> impl Iterator<Item = &Registered> {
        let covers = move |(on, one): &&(DatasetName, Registered)| {
            job.source.below(on).is_some_and(|path| one.covers(host, &path, &job.target.dataset))
        };
        self.above.iter().filter(covers).map(|(_, one)| one)
    }
}

/// The targets that are noted on a dataset and above it.
pub async fn noted_on(zfs: &Zfs, source: &DatasetName) -> Result<Noted, StartError> {
    let failed = |words: String| StartError::List { dataset: source.to_string(), words };
    let said = said(zfs.set_properties(source)).await.map_err(failed)?;
    let text = String::from_utf8_lossy(&said);
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let line = (fields.next()?, fields.next()?, fields.next()?);
        line.0.starts_with(PROPERTY).then_some(line)
    });
    let (own, above): (Vec<_>, Vec<_>) = lines.partition(|(_, _, from)| *from == "local");
    let above = above.into_iter().filter_map(|(property, value, from)| {
        let on = from.strip_prefix("inherited from ")?.parse().ok()?;
        Some((on, read_one(property, value)?))
    });
    let above = above.collect();
    Ok(Noted { own: Registry::read(own.into_iter().map(|(property, value, _)| (property, value))), above })
}

fn read_one(property: &str, value: &str) -> Option<Registered> {
    Registry::read([(property, value)]).iter().next().cloned()
}

/// The targets that are noted on a dataset, on those above, and on those below; each with the one on which it is noted.
pub async fn noted_around(zfs: &Zfs, top: &DatasetName) -> Result<Vec<(DatasetName, Registered)>, StartError> {
    let failed = |words: String| StartError::List { dataset: top.to_string(), words };
    let mut all = noted_on(zfs, top).await?.above;
    let below = said(zfs.settings_below(top)).await.map_err(failed)?;
    let below = read_settings_of(&below, PROPERTY).into_iter();
    all.extend(below.filter_map(|(on, property, value)| Some((on, read_one(&property, &value)?))));
    Ok(all)
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
