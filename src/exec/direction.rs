//! Refuses to replicate copies onto what they are copies of, as the notes on SOURCE's datasets tell, and the records of their targets on
//! TARGET's: SOURCE and TARGET are swapped then.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::receiver::Receiver;
use super::source::failed;
use super::targets::counterpart;
use crate::config::{PushJob, source_tag};
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{Copies, Move, Proven, Renames};
use crate::report::{Event, Reporter};
use zfs::name::{DatasetName, Guid};
use zfs::{Failure, Note, Noted, Put, Refusal};

/// Why records must be read.
const REFUSED: &str = "tell whether SOURCE and TARGET are swapped; --rollback, --set-aside, --replace, --delete-missing and \
                       --follow-renames are refused as long as they can't be read";

/// What tells the direction, and can't be read.
struct Unknown {
    what: Told,
    why: Failure,
}

/// What tells the direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// What zfsync has recorded of SOURCE's datasets as copies.
    Copies,
    /// Which datasets these are, whatever their names.
    Guids,
    /// What is recorded of the targets of TARGET's datasets.
    Targets,
}

impl Told {
    fn words(self) -> &'static str {
        match self {
            Self::Copies => "the records zfsync:received",
            Self::Guids => "the GUIDs",
            Self::Targets => "the records zfsync:target-*",
        }
    }
}

impl Unknown {
    fn copies(why: Failure) -> Self {
        Self { what: Told::Copies, why }
    }

    fn targets(why: Failure) -> Self {
        Self { what: Told::Targets, why }
    }

    /// Whose they are.
    fn dataset(&self, job: &PushJob) -> DatasetName {
        let end = if self.what == Told::Targets { &job.ends.target } else { &job.ends.source };
        end.dataset.clone()
    }

    /// Tells of it where nothing is taken away without a flag for that.
    fn tell(&self, job: &PushJob, reporter: &mut dyn Reporter) {
        let (what, dataset, words) = (self.what.words(), self.dataset(job), &self.why.words);
        let text =
            format!("whether SOURCE and TARGET are swapped is unknown, as {what} of {dataset} can't be read: {words}");
        reporter.event(&Event::Notice { dataset: None, text });
    }
}

/// What is known of the direction of a job.
pub struct Direction<'a> {
    pub job: &'a PushJob,
    pub sender: &'a Endpoint,
    /// What the target's host calls itself.
    host: &'a str,
    /// SOURCE's datasets that are copies, once somebody has asked for them.
    copies: Option<Arc<Copies>>,
    /// Which of SOURCE's host the target's datasets have been sent to, once somebody has asked.
    proven: Option<Arc<Proven>>,
}

impl<'a> Direction<'a> {
    /// Of this job, whose target's host calls itself so.
    pub fn new(job: &'a PushJob, sender: &'a Endpoint, host: &'a str) -> Self {
        Self { job, sender, host, copies: None, proven: None }
    }

    /// Refuses the job if SOURCE itself has come from TARGET, as the note on it tells.
    pub async fn check_top(
        &self,
        copied: Result<Option<&Put>, &StartError>,
        receiver: &mut Receiver<'_>,
    ) -> Result<(), StartError> {
        let ends = &self.job.ends;
        let copied = match copied {
            Err(error) if self.job.may_change_what_is_there() => {
                let words = match error {
                    StartError::List { words, .. } => words.clone(),
                    error => error.to_string(),
                };
                return Err(self.error(Unknown::copies(Failure { refusal: Refusal::Other, words }), receiver));
            }
            copied => copied.unwrap_or_default(),
        };
        let (source, target) = (&ends.source.dataset, &ends.target.dataset);
        let top: Copies = copied.map(|put| (source.clone(), put)).into_iter().collect();
        // A restore goes this way on purpose, and overwrites nothing.
        if self.job.restore.is_some() || !top.has_come_from(source, target, |top| source_tag(self.host, top)) {
            return Ok(());
        }
        // Hosts and datasets may have the names of others: what doesn't exist isn't where SOURCE came from.
        if receiver.ask(&[target.to_string()]).await?.is_empty() {
            return Ok(());
        }
        self.refuse(&[(source.clone(), target.clone())], receiver).await
    }

    /// The same of these datasets of the source, each with the one of the target that exists in its place.
    pub async fn check(
        &mut self,
        pairs: &[(DatasetName, DatasetName)],
        receiver: &mut Receiver<'_>,
        reporter: &mut dyn Reporter,
    ) -> Result<(), StartError> {
        let (job, host) = (self.job, self.host);
        let copies = match self.copies().await {
            Ok(copies) => copies,
            Err(why) if job.may_change_what_is_there() => return Err(self.error(Unknown::copies(why), receiver)),
            Err(why) => {
                Unknown::copies(why).tell(job, reporter);
                return Ok(());
            }
        };
        let wrong = |(copy, there): &&(DatasetName, DatasetName)| {
            copies.has_come_from(copy, there, |top| source_tag(host, top))
        };
        let wrong: Vec<_> = pairs.iter().filter(wrong).cloned().collect();
        self.refuse(&wrong, receiver).await?;
        // The source may have another name by now, and its host, too.
        let pairs: Vec<_> = pairs.iter().filter(|(copy, _)| copies.has(copy)).cloned().collect();
        match self.check_proven(&pairs, &copies, receiver).await? {
            Some(unknown) if job.may_change_what_is_there() => Err(self.error(unknown, receiver)),
            Some(unknown) => {
                unknown.tell(job, reporter);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Refuses those of these copies that have come from the dataset there, as the records of targets there prove; why they can't be
    /// read, if that is so.
    async fn check_proven(
        &mut self,
        pairs: &[(DatasetName, DatasetName)],
        copies: &Copies,
        receiver: &mut Receiver<'_>,
    ) -> Result<Option<Unknown>, StartError> {
        if pairs.is_empty() {
            return Ok(None);
        }
        let proven = match self.proven(copies, receiver).await? {
            Ok(proven) if proven.is_empty() => return Ok(None),
            Ok(proven) => proven,
            Err(unknown) => return Ok(Some(unknown)),
        };
        let noted = receiver.readable_notes().await?;
        let those_received = noted.iter().filter(|one| one.note == Note::Received);
        let copies_there: HashSet<&str> = those_received.map(|one| one.name.as_str()).collect();
        let wrong = |(copy, there): &&(DatasetName, DatasetName)| {
            proven.has_come_from(copies, copy, there, copies_there.contains(there.as_str()))
        };
        let wrong: Vec<_> = pairs.iter().filter(wrong).cloned().collect();
        self.refuse(&wrong, receiver).await.map(|()| None)
    }

    /// Refuses to rename on the target what a dataset of SOURCE has come from; `there`: what there is.
    pub async fn check_moves(
        &mut self,
        moves: &[Move],
        there: &[DatasetName],
        receiver: &mut Receiver<'_>,
    ) -> Result<(), StartError> {
        if moves.is_empty() {
            return Ok(());
        }
        let host = self.host;
        let copies = match self.copies().await {
            Ok(copies) => copies,
            Err(why) => return Err(self.error(Unknown::copies(why), receiver)),
        };
        let moving: HashSet<&DatasetName> = moves.iter().map(|one| &one.from).collect();
        let is_moving =
            |name: &&DatasetName| moving.contains(name) || name.ancestors().iter().any(|top| moving.contains(top));
        let copy_of = |name: &DatasetName| {
            let copy = copies.copy_of(name, |top| source_tag(host, top))?;
            Some((copy.clone(), name.clone()))
        };
        let wrong: Vec<_> = there.iter().filter(is_moving).filter_map(copy_of).collect();
        self.refuse(&wrong, receiver).await?;
        if copies.is_empty() {
            return Ok(());
        }
        let proven = self.proven(&copies, receiver).await?.map_err(|unknown| self.error(unknown, receiver))?;
        let copy_of = |name: &DatasetName| Some((proven.copy_of(&copies, name)?, name.clone()));
        let wrong: Vec<_> = there.iter().filter(is_moving).filter_map(copy_of).collect();
        self.refuse(&wrong, receiver).await?;
        let renames: Renames = moves.iter().collect();
        let become_of =
            |name: &DatasetName| Some((self.after(&renames, name).filter(|copy| copies.has(copy))?, name.clone()));
        let pairs: Vec<_> = there.iter().filter(is_moving).filter_map(become_of).collect();
        let unknown = self.check_proven(&pairs, &copies, receiver).await?;
        unknown.map_or(Ok(()), |unknown| Err(self.error(unknown, receiver)))
    }

    /// Refuses to restore what NEW, or a dataset in it, is recorded as a copy of.
    pub async fn check_restored(&self, receiver: &mut Receiver<'_>) -> Result<(), StartError> {
        let (source, target) = (&self.job.ends.source, &self.job.ends.target);
        let all = receiver.notes().await?;
        let those_received = all.iter().filter(|one| one.note == Note::Received);
        let puts: Vec<(DatasetName, Put)> =
            those_received.filter_map(|one| Some((one.name.parse().ok()?, one.value.parse().ok()?))).collect();
        let copies: Copies = puts.iter().map(|(name, put)| (name.clone(), put)).collect();
        let host = self.sender.hello().host;
        let mut wrong = puts.iter().filter_map(|(copy, _)| {
            let origin = source.dataset.join(&copy.below(&target.dataset)?).ok()?;
            copies.has_come_from(copy, &origin, |top| source_tag(&host, top)).then_some((copy, origin))
        });
        let Some((copy, origin)) = wrong.next() else { return Ok(()) };
        Err(StartError::Usage(format!(
            "{} is recorded as a copy of {}: are COPY and NEW swapped? To bring the copy up to date: zfsync push {source} {target}",
            counterpart(&target.link, copy),
            self.sender.full_name(&origin)
        )))
    }

    /// The dataset of SOURCE in whose place this one of the target would be after these renames.
    fn after(&self, renames: &Renames, name: &DatasetName) -> Option<DatasetName> {
        let ends = &self.job.ends;
        ends.source.dataset.join(&renames.after(name).below(&ends.target.dataset)?).ok()
    }

    /// The datasets of SOURCE that zfsync has received, as far as their notes make sense.
    async fn copies(&mut self) -> Result<Arc<Copies>, Failure> {
        if let Some(copies) = &self.copies {
            return Ok(copies.clone());
        }
        let all = self.sender.properties_below(&self.job.ends.source.dataset, self.job.faults.stall_timeout).await?;
        let notes = all.into_iter().filter(|one| one.name == Note::Received.property());
        let notes: Vec<(DatasetName, Put)> = notes.filter_map(|one| Some((one.on, one.value.parse().ok()?))).collect();
        let copies: Copies = notes.iter().map(|(name, put)| (name.clone(), put)).collect();
        Ok(self.copies.insert(Arc::new(copies)).clone())
    }

    /// What the records of targets on the target's datasets prove of these copies.
    async fn proven(
        &mut self,
        copies: &Copies,
        receiver: &mut Receiver<'_>,
    ) -> Result<Result<Arc<Proven>, Unknown>, StartError> {
        if let Some(proven) = &self.proven {
            return Ok(Ok(proven.clone()));
        }
        let records = match receiver.sent().await? {
            Ok(records) => records,
            Err(why) => return Ok(Err(Unknown::targets(from_an_older_helper(why)))),
        };
        let guids = if records.is_empty() { Ok(HashMap::new()) } else { self.guids(copies).await };
        Ok(match guids {
            Ok(guids) => Ok(self.proven.insert(Arc::new(Proven::new(&records, &guids))).clone()),
            Err(why) => Err(Unknown { what: Told::Guids, why }),
        })
    }

    /// The guids of the copies, and of what lies above them as far as that may be known.
    async fn guids(&self, copies: &Copies) -> Result<HashMap<DatasetName, Guid>, Failure> {
        let (source, limit) = (&self.job.ends.source.dataset, self.job.faults.stall_timeout);
        let names = |within: bool| -> Vec<String> {
            let all: HashSet<DatasetName> =
                copies.names().flat_map(|name| [&name.ancestors()[..], std::slice::from_ref(name)].concat()).collect();
            let all = all.iter().filter(|name| !within || name.below(source).is_some());
            all.map(ToString::to_string).collect()
        };
        let found = match self.sender.find(&names(false), limit).await {
            Err(Failure { refusal: Refusal::NotAllowed, .. }) => self.sender.find(&names(true), limit).await,
            found => found,
        };
        Ok(found?.into_iter().collect())
    }

    /// Why a run doesn't start that could take away what SOURCE has come from.
    fn error(&self, unknown: Unknown, receiver: &Receiver<'_>) -> StartError {
        let dataset = unknown.dataset(self.job);
        let Unknown { what, why: Failure { refusal, words } } = unknown;
        let words = format!("{words}\n  {} of its datasets {REFUSED}", what.words());
        match what {
            Told::Copies | Told::Guids => failed(self.sender, &dataset, Failure { refusal, words }),
            Told::Targets => StartError::Ask { host: receiver.host(), dataset: dataset.to_string(), words },
        }
    }

    /// Refuses the first of these copies whose origin isn't known to be a copy of SOURCE: that one has got its name since.
    async fn refuse(
        &self,
        wrong: &[(DatasetName, DatasetName)],
        receiver: &mut Receiver<'_>,
    ) -> Result<(), StartError> {
        if wrong.is_empty() {
            return Ok(());
        }
        let noted = receiver.readable_notes().await?;
        let is_ours = |one: &Noted| {
            one.note == Note::Received && one.value.parse::<Put>().is_ok_and(|put| put.by == self.job.missing.by)
        };
        let ours: HashSet<&str> = noted.iter().filter(|one| is_ours(one)).map(|one| one.name.as_str()).collect();
        match wrong.iter().find(|(_, there)| !ours.contains(there.as_str())) {
            None => Ok(()),
            Some((copy, there)) => Err(StartError::Swapped {
                source_dataset: self.sender.full_name(copy),
                dataset: copy.to_string(),
                target: counterpart(&self.job.ends.target.link, there),
            }),
        }
    }
}

/// Which records a target has itself, only the sending side of an older version was told.
fn from_an_older_helper(Failure { refusal, words }: Failure) -> Failure {
    let words = match refusal {
        Refusal::NotAllowed => {
            format!(
                "the zfsync there is an older version and doesn't tell them; update it, or use --helper ship ({words})"
            )
        }
        _ => words,
    };
    Failure { refusal, words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_helper_is_known_by_its_refusal() {
        let of = |refusal| from_an_older_helper(Failure { refusal, words: "why".into() }).words;
        assert!(of(Refusal::NotAllowed).ends_with("doesn't tell them; update it, or use --helper ship (why)"));
        assert_eq!(of(Refusal::Other), "why");
    }
}
