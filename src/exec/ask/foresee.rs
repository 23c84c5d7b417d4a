//! Questions of dry runs: what would be done over there, and what it would find.

use std::collections::HashSet;

use super::Asker;
use crate::error::StartError;
use helper::wire::{Reply, Request};
use zfs::name::{DatasetName, Guid};
use zfs::{Failure, Outlook};

impl Asker<'_> {
    /// What speaks against destroying a dataset, after those that were asked for before; `None`: nothing. Nothing is changed.
    pub async fn try_destroy(
        &mut self,
        dataset: DatasetName,
        snapshots: Vec<Guid>,
    ) -> Result<Option<Failure>, StartError> {
        let asked = self.send(|id| Request::TryDestroy { id, dataset, snapshots })?;
        self.all_done(HashSet::from([asked])).await
    }

    /// What a run would find.
    pub async fn outlook(&mut self, dataset: DatasetName) -> Result<Outlook, StartError> {
        self.send(|id| Request::Outlook { id, dataset })?;
        loop {
            match self.reply().await? {
                Reply::Outlook { outlook, .. } => return Ok(outlook),
                Reply::Done { failure: Some(failure), .. } => return Err(self.failed(failure)),
                _ => {}
            }
        }
    }
}
