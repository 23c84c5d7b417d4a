//! Refuses to replicate copies onto what they are copies of, as the notes on SOURCE's datasets tell: SOURCE and TARGET are swapped then.

use std::collections::HashSet;
use std::time::Duration;

use super::receiver::Receiver;
use super::source::failed;
use super::targets::counterpart;
use crate::config::{PushJob, source_tag};
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{Copies, Move};
use crate::report::{Event, Reporter};
use zfs::name::DatasetName;
use zfs::{Failure, Note, Noted, Put, Refusal};

/// So long zfs may take for the notes of SOURCE's datasets.
const LIMIT: Duration = Duration::from_secs(60);

/// What is known of the direction of a job.
pub struct Direction<'a> {
    pub job: &'a PushJob,
    pub sender: &'a Endpoint,
    /// What the target's host calls itself.
    host: &'a str,
    /// SOURCE's datasets that are copies, once somebody has asked for them.
    copies: Option<Copies>,
}

impl<'a> Direction<'a> {
    /// Of this job, whose target's host calls itself so.
    pub fn new(job: &'a PushJob, sender: &'a Endpoint, host: &'a str) -> Self {
        Self { job, sender, host, copies: None }
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
                return Err(self.unknown(Failure { refusal: Refusal::Other, words }));
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
            Err(why) if job.may_change_what_is_there() => return Err(self.unknown(why)),
            // Nothing is taken away without a flag for that.
            Err(Failure { words, .. }) => {
                let source = &job.ends.source.dataset;
                let text = format!(
                    "whether SOURCE and TARGET are swapped is unknown, as the records of {source} can't be read: {words}"
                );
                reporter.event(&Event::Notice { dataset: None, text });
                return Ok(());
            }
        };
        let wrong = |(copy, there): &&(DatasetName, DatasetName)| {
            copies.has_come_from(copy, there, |top| source_tag(host, top))
        };
        let wrong: Vec<_> = pairs.iter().filter(wrong).cloned().collect();
        self.refuse(&wrong, receiver).await
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
            Err(why) => return Err(self.unknown(why)),
        };
        let moving: HashSet<&DatasetName> = moves.iter().map(|one| &one.from).collect();
        let is_moving =
            |name: &&DatasetName| moving.contains(name) || name.ancestors().iter().any(|top| moving.contains(top));
        let copy_of = |name: &DatasetName| {
            let copy = copies.copy_of(name, |top| source_tag(host, top))?;
            Some((copy.clone(), name.clone()))
        };
        let wrong: Vec<_> = there.iter().filter(is_moving).filter_map(copy_of).collect();
        self.refuse(&wrong, receiver).await
    }

    /// The datasets of SOURCE that zfsync has received, as far as their notes make sense.
    async fn copies(&mut self) -> Result<&Copies, Failure> {
        if self.copies.is_none() {
            let all = self.sender.properties_below(&self.job.ends.source.dataset, Some(LIMIT)).await?;
            let notes = all.into_iter().filter(|one| one.name == Note::Received.property());
            let notes: Vec<(DatasetName, Put)> =
                notes.filter_map(|one| Some((one.on, one.value.parse().ok()?))).collect();
            self.copies = Some(notes.iter().map(|(name, put)| (name.clone(), put)).collect());
        }
        Ok(self.copies.get_or_insert_default())
    }

    /// Why a run doesn't start that could take away what SOURCE has come from.
    fn unknown(&self, Failure { refusal, words }: Failure) -> StartError {
        let words = format!(
            "{words}\n  the records of its datasets tell whether SOURCE and TARGET are swapped; --rollback, --set-aside, --replace, \
             --delete-missing and --follow-renames are refused as long as they can't be read"
        );
        failed(self.sender, &self.job.ends.source.dataset, Failure { refusal, words })
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
