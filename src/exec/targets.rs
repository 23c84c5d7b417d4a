//! Who the target is: found among those that are noted on SOURCE, and noted there.

use std::collections::HashSet;
use std::time::Duration;

use super::receiver::Receiver;
use super::source::failed;
use crate::config::PushJob;
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{Given, Identity, Negotiation, Plan, Registered, Registry, Seen};
use crate::remote::link::{Ends, Link};
use crate::remote::ssh;
use crate::remote::target::host_name_here;
use crate::report::{Event, Reporter};
use zfs::name::{DatasetName, Guid, RelPath};
use zfs::{Failure, Note, Property, Put, Refusal, TARGET_PROPERTY, Tag, Tags, permission};

/// So long zfs may take for a question about properties.
const LIMIT: Duration = Duration::from_secs(60);

/// Who the target is.
#[derive(Debug, Clone)]
pub struct Met {
    /// What its bookmarks on the source are called.
    pub tags: Tags,
    /// What is noted of it, while TARGET is not known to exist: its guid is what proves it later.
    pub newcomer: Option<Registered>,
    /// Whether this run was the first to note it.
    pub is_recorded_now: bool,
}

/// What is noted of the targets of a job's SOURCE, and which of them this one is.
pub struct Targets {
    /// Where SOURCE's properties can't be read, why; nothing is noted then, either.
    noted: Result<Noted, StartError>,
    host: String,
    met: Option<Identity>,
    /// It is noted above SOURCE, with all that lies below.
    is_above: bool,
}

impl Targets {
    /// Reads what is noted.
    pub async fn read(ends: &Ends, sender: &Endpoint) -> Self {
        let (noted, host) = tokio::join!(noted_on(sender, &ends.source.dataset), seen_from(ends));
        let noted = noted.inspect_err(|error| tracing::info!("{error}"));
        Self { noted, host, met: None, is_above: false }
    }

    /// What SOURCE has come from, if it is a copy; why that isn't known.
    pub fn copied(&self) -> Result<Option<&Put>, &StartError> {
        Ok(self.noted.as_ref()?.received.as_ref())
    }

    /// How the bookmarks of a dataset of SOURCE are called, for each target that is noted.
    pub fn tags(&self, source: &DatasetName, path: &RelPath) -> Vec<Tag> {
        let Ok(noted) = &self.noted else { return Vec::new() };
        let own = noted.own.iter().filter_map(|one| one.any_tag(path));
        let above = noted.above.iter().filter_map(|(on, one)| one.any_tag(&source.join(path).ok()?.below(on)?));
        own.chain(above).collect()
    }

    /// Whether bookmarks of ours are there that are of no target that is noted. Where none is, that says nothing.
    pub fn has_strangers(&self, job: &PushJob, negotiation: &Negotiation) -> bool {
        let is_any =
            self.noted.as_ref().is_ok_and(|noted| noted.own.iter().next().is_some() || !noted.above.is_empty());
        is_any && job.bookmarks && negotiation.has_strangers(|path| self.tags(&job.ends.source.dataset, path))
    }

    /// Once the target has told what its pool is, its bookmarks are known.
    pub fn meet(&mut self, job: &PushJob, negotiation: &mut Negotiation) {
        if self.met.is_some() {
            return;
        }
        let Some(pool) = negotiation.pool_guid() else { return };
        let none = Noted::default();
        let noted = self.noted.as_ref().unwrap_or(&none);
        let (identity, is_above) =
            noted.identify(&job.ends, job.filter.given(), &self.host, (pool, negotiation.top_guid()));
        self.is_above = is_above;
        // What the target doesn't have no bookmark makes it have: old ones can be believed by anybody.
        let old = [job.ends.host_in_old_tags()];
        negotiation.believe(identity.target.tags().with_old(&old));
        self.met = Some(identity);
    }

    /// Notes the target if something has changed. What its bookmarks are called.
    pub async fn note(
        self,
        job: &PushJob,
        sender: &Endpoint,
        negotiation: &Negotiation,
        plan: &Plan,
        reporter: &mut dyn Reporter,
    ) -> Met {
        let Some(Identity { mut target, mut noted, odd }) = self.met else {
            return Met { tags: Tags::new(&self.host, Guid(0)), newcomer: None, is_recorded_now: false };
        };
        let Some(registry) = self.noted.ok().filter(|_| job.bookmarks && job.restore.is_none() && !self.is_above)
        else {
            return Met { tags: target.tags(), newcomer: None, is_recorded_now: false };
        };
        let (registry, old) = (registry.own, job.ends.host_in_old_tags());
        let candidate = target.tags().with_old(std::slice::from_ref(&old));
        if registry.may_take_over(&target, &old) && negotiation.has_old_marks(&candidate) {
            target.old.push(old);
            noted = false;
        }
        // What has nothing of SOURCE, and gets nothing, may have been named by mistake.
        let was_one = registry.iter().any(|one| one.id() == target.id());
        let is_one = was_one || negotiation.is_served(plan);
        let failure = if noted || job.dry_run || !is_one {
            None
        } else {
            write(sender, &job.ends.source.dataset, &target).await.err()
        };
        let is_recorded = failure.is_none();
        // Where the source's pool is read-only there are no bookmarks either, and that is told once.
        let failure = failure.filter(|failure| failure.refusal != Refusal::ReadOnly).map(|failure| failure.words);
        // One that is odd and noted is one too many.
        let is_noted = is_recorded && is_one && !(noted && odd.is_some());
        if let Some(text) = failure.or(odd).filter(|_| is_one) {
            reporter.event(&Event::Notice { dataset: None, text });
        }
        Met {
            tags: target.tags(),
            newcomer: Some(target).filter(|target| target.top.is_none() && is_noted),
            is_recorded_now: is_noted && !was_one && !job.dry_run,
        }
    }
}

/// What is said where nothing is known to have arrived at a target that is new: it may have been named by mistake.
pub fn how_to_forget(job: &PushJob, sender: &Endpoint) -> String {
    let (source, target) = (sender.full_name(&job.ends.source.dataset), &job.ends.target);
    format!(
        "no snapshot is known to have arrived at {target}, but it is recorded on {source}: pruning keeps the snapshots that it may need; if it was named by \
         mistake: zfsync forget {source} {target}"
    )
}

/// Notes the guid of a TARGET that the run has made. Where that fails the next run does it.
pub async fn note_top(sender: &Endpoint, target: Registered, receiver: Result<Receiver<'_>, StartError>) {
    let Ok(mut receiver) = receiver else { return };
    let (source, name) = (receiver.ends.source.dataset.clone(), [target.dataset.to_string()]);
    let found = receiver.ask(&name).await.unwrap_or_default();
    let [(_, top, _)] = found[..] else { return };
    if let Err(Failure { words, .. }) = write(sender, &source, &Registered { top: Some(top), ..target }).await {
        tracing::info!("{words}");
    }
}

/// How the target's host is called on the source's.
pub async fn seen_from(Ends { source, target }: &Ends) -> String {
    match (source.host(), target.host()) {
        (Some(_), None) => host_name_here(),
        _ => reached(&target.link).await,
    }
}

/// How a target's host is reached, for [`Registered::host`].
async fn reached(link: &Link) -> String {
    match &link.host {
        Some(host) => ssh::reached(host, &link.ssh).await,
        None => String::new(),
    }
}

async fn write(sender: &Endpoint, source: &DatasetName, target: &Registered) -> Result<(), Failure> {
    let noted = sender.set_property((source, None), &target.property(), Some(target.value()), Some(LIMIT)).await;
    noted.map_err(|Failure { refusal, words }| {
        // The helper of another host has named the command itself.
        let lacks = refusal == Refusal::Permission && !words.contains(permission::GRANT);
        let grant = lacks.then(|| permission::grant(&sender.hello().user, &words, permission::NOTE, source)).flatten();
        let grant = grant.map(|grant| format!("\nroot on the source's host{}{grant}", permission::GRANT));
        let words = format!(
            "the target can't be recorded on {source}, so that only its bookmarks protect the snapshots that it may need \
             (--no-bookmark does without both): {words}{}",
            grant.unwrap_or_default()
        );
        Failure { refusal, words }
    })
}

/// Drops a target's note.
pub async fn drop_note(sender: &Endpoint, source: &DatasetName, property: &str) -> Result<(), String> {
    let dropped = sender.set_property((source, None), property, None, Some(LIMIT)).await;
    dropped.map_err(|why| why.words)
}

/// Whether zfsync has received into this very dataset.
pub async fn received(sender: &Endpoint, dataset: &DatasetName) -> Result<bool, StartError> {
    let noted = sender.properties(dataset, Some(LIMIT)).await.map_err(|why| failed(sender, dataset, why))?;
    Ok(noted.iter().any(|one| one.on == *dataset && one.name == Note::Received.property()))
}

/// What is noted on a dataset, and of what above it.
#[derive(Default)]
pub struct Noted {
    /// On the dataset itself.
    pub own: Registry,
    /// Above it, each with the one on which it is noted.
    pub above: Vec<(DatasetName, Registered)>,
    /// Where the dataset has come from, if it is a copy.
    received: Option<Put>,
}

impl Noted {
    /// Which of them has this pool and TARGET, or that it is a new one; and whether it is noted above SOURCE.
    pub fn identify(
        &self,
        ends: &Ends,
        selected: &Given,
        host: &str,
        (pool, top): (Guid, Option<Guid>),
    ) -> (Identity, bool) {
        let own = self.own.identify(&Seen {
            written: ends.target_seen_from_source(),
            host: host.to_owned(),
            dataset: ends.target.dataset.clone(),
            pool,
            top,
            now: jiff::Timestamp::now().as_second(),
            selected,
        });
        let is_known = self.own.iter().any(|one| one.id() == own.target.id());
        match self.covering(ends, host).find(|one| one.pool == pool).filter(|_| !is_known) {
            Some(above) => (Identity { target: above.clone(), noted: true, odd: None }, true),
            None => (own, false),
        }
    }

    /// How the bookmarks are called of all that were ever at this TARGET.
    pub fn at(&self, ends: &Ends, host: &str) -> Vec<Tags> {
        self.own.at(host, &ends.target.dataset).chain(self.covering(ends, host)).map(Registered::tags).collect()
    }

    /// Those that are noted above SOURCE, with all that lies below.
    fn covering(&self, ends: &Ends, host: &str) -> impl Iterator<Item = &Registered> {
        let covers = move |(on, one): &&(DatasetName, Registered)| {
            ends.source.dataset.below(on).is_some_and(|path| one.covers(host, &path, &ends.target.dataset))
        };
        self.above.iter().filter(covers).map(|(_, one)| one)
    }
}

/// The targets that are noted on a dataset and above it.
pub async fn noted_on(sender: &Endpoint, source: &DatasetName) -> Result<Noted, StartError> {
    let all = sender.properties(source, Some(LIMIT)).await.map_err(|why| failed(sender, source, why))?;
    let is_received = |one: &&Property| one.on == *source && one.name == Note::Received.property();
    let received = all.iter().find(is_received).and_then(|one| one.value.parse().ok());
    let ours = all.into_iter().filter(|one| one.name.starts_with(TARGET_PROPERTY));
    let (own, above): (Vec<_>, Vec<_>) = ours.partition(|one| one.on == *source);
    let above = above.into_iter().filter_map(|one| Some((read_one(&one.name, &one.value)?, one.on)));
    let above = above.map(|(target, on)| (on, target)).collect();
    let own = own.iter().map(|one| (one.name.as_str(), one.value.as_str()));
    Ok(Noted { own: Registry::read(own), above, received })
}

fn read_one(property: &str, value: &str) -> Option<Registered> {
    Registry::read([(property, value)]).iter().next().cloned()
}

/// The targets that are noted on a dataset, on those above, and on those below.
#[derive(Default)]
pub struct Around {
    /// Each with the one on which it is noted.
    pub noted: Vec<(DatasetName, Registered)>,
    /// Notes that make no sense to this version: the dataset, and the property.
    pub unread: Vec<(DatasetName, String)>,
    /// The copies among the dataset and those below it.
    pub copies: HashSet<DatasetName>,
}

impl Around {
    fn add(&mut self, properties: Vec<Property>) {
        let copies = properties.iter().filter(|one| one.name == Note::Received.property());
        self.copies.extend(copies.map(|one| one.on.clone()));
        for Property { on, name, value } in properties.into_iter().filter(|one| one.name.starts_with(TARGET_PROPERTY)) {
            match read_one(&name, &value) {
                Some(target) => self.noted.push((on, target)),
                None => self.unread.push((on, name)),
            }
        }
    }

    /// For whoever would destroy what none of them needs.
    pub fn all_read(self, sender: &Endpoint) -> Result<Vec<(DatasetName, Registered)>, StartError> {
        match self.unread.into_iter().next() {
            None => Ok(self.noted),
            Some((dataset, property)) => {
                Err(StartError::UnreadNote { host: sender.name(), dataset: dataset.to_string(), property })
            }
        }
    }
}

/// The targets that are noted around a dataset.
pub async fn noted_around(sender: &Endpoint, top: &DatasetName) -> Result<Around, StartError> {
    let mut all = Around::default();
    let above = sender.properties(top, Some(LIMIT)).await.map_err(|why| failed(sender, top, why))?;
    all.add(above.into_iter().filter(|one| one.on != *top).collect());
    all.add(sender.properties_below(top, Some(LIMIT)).await.map_err(|why| failed(sender, top, why))?);
    Ok(all)
}

/// What is said of a target that is needed and was not asked.
pub fn label(source: &str, target: &Registered) -> String {
    format!("{} (not queried; if it no longer exists: zfsync forget {source} {})", target.written, target.id())
}

/// What is said of the counterpart of a dataset.
pub fn counterpart(link: &Link, target: &DatasetName) -> String {
    match &link.host {
        Some(host) => format!("{host}:{target}"),
        None => target.to_string(),
    }
}
