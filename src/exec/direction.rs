//! Refuses to replicate copies onto what they are copies of, as the notes on SOURCE's datasets tell: SOURCE and TARGET are swapped then.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::receiver::Receiver;
use super::targets::counterpart;
use crate::config::{PushJob, source_tag};
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{Move, is_origin};
use zfs::name::DatasetName;
use zfs::{Note, Noted, Put};

/// So long zfs may take for the notes of SOURCE's datasets.
const LIMIT: Duration = Duration::from_secs(60);

/// What is known of the direction of a job.
pub struct Direction<'a> {
    pub job: &'a PushJob,
    pub sender: &'a Endpoint,
    /// What the target's host calls itself.
    host: &'a str,
    /// SOURCE's datasets that are copies, once somebody has asked for them.
    copies: Option<Vec<(DatasetName, Put)>>,
}

impl<'a> Direction<'a> {
    /// Of this job, whose target's host calls itself so.
    pub fn new(job: &'a PushJob, sender: &'a Endpoint, host: &'a str) -> Self {
        Self { job, sender, host, copies: None }
    }

    /// Refuses the job if SOURCE itself has come from TARGET, as the note on it tells.
    pub async fn check_top(&self, copied: Option<&Put>, receiver: &mut Receiver<'_>) -> Result<(), StartError> {
        let ends = &self.job.ends;
        // A restore goes this way on purpose, and overwrites nothing.
        if self.job.restore.is_some() || !copied.is_some_and(|put| comes_from(put, self.host, &ends.target.dataset)) {
            return Ok(());
        }
        // Hosts and datasets may have the names of others: what doesn't exist isn't where SOURCE came from.
        if receiver.ask(&[ends.target.dataset.to_string()]).await?.is_empty() {
            return Ok(());
        }
        self.refuse(&[(ends.source.dataset.clone(), ends.target.dataset.clone())], receiver).await
    }

    /// The same of these datasets of the source, each with the one of the target that exists in its place.
    pub async fn check(
        &mut self,
        pairs: &[(DatasetName, DatasetName)],
        receiver: &mut Receiver<'_>,
    ) -> Result<(), StartError> {
        let host = self.host;
        let copies: HashMap<&DatasetName, &Put> = self.copies().await.iter().map(|(copy, put)| (copy, put)).collect();
        let wrong = |(copy, there): &&(DatasetName, DatasetName)| {
            copies.get(copy).is_some_and(|put| comes_from(put, host, there))
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
        let (host, copies) = (self.host, self.copies().await);
        let within = there.iter().filter(|name| moves.iter().any(|one| name.is_within(&one.from)));
        let copy_of = |name: &DatasetName| {
            let copy = copies.iter().find(|(_, put)| comes_from(put, host, name));
            copy.map(|(copy, _)| (copy.clone(), name.clone()))
        };
        let wrong: Vec<_> = within.filter_map(copy_of).collect();
        self.refuse(&wrong, receiver).await
    }

    /// The datasets of SOURCE that zfsync has received. What can't be read is no proof.
    async fn copies(&mut self) -> &[(DatasetName, Put)] {
        if self.copies.is_none() {
            let all = self.sender.properties_below(&self.job.ends.source.dataset, Some(LIMIT)).await;
            let all = all.inspect_err(|why| tracing::info!("{}", why.words)).unwrap_or_default();
            let notes = all.into_iter().filter(|one| one.name == Note::Received.property());
            self.copies = Some(notes.filter_map(|one| Some((one.on, one.value.parse().ok()?))).collect());
        }
        self.copies.as_deref().unwrap_or_default()
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
        let noted = receiver.notes().await.unwrap_or_default();
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

/// Whether a copy has come from this dataset of the host that calls itself so.
fn comes_from(put: &Put, host: &str, dataset: &DatasetName) -> bool {
    is_origin(put, dataset, |top| source_tag(host, top))
}
