//! Questions of dry runs: what would be done over there, and what it would find.

use super::Receiver;
use crate::error::StartError;
use crate::exec::machine::BELIEVED;
use crate::exec::permitted;
use helper::wire::{Reply, Request};
use zfs::name::{DatasetName, Guid};
use zfs::{Failure, Outlook, Resolution};

impl Receiver<'_> {
    /// What speaks against destroying a dataset, after those that were asked for before; `None`: nothing. Nothing is changed.
    pub async fn try_destroy(
        &mut self,
        dataset: DatasetName,
        snapshots: Vec<Guid>,
    ) -> Result<Option<Failure>, StartError> {
        let call = self.call(|id| Request::TryDestroy { id, dataset, snapshots });
        self.done(call).await
    }

    /// Why nothing could take the place of what this resolution takes away.
    pub async fn not_permitted(
        &mut self,
        resolution: &Resolution,
        raw: bool,
        known: &mut permitted::Known,
    ) -> Result<Option<Failure>, StartError> {
        self.claimed().await?;
        let asking = permitted::refusal(&self.channel, resolution, raw, known);
        let Some(silence) = self.stall() else { return Ok(asking.await?) };
        let late = |_| StartError::NoAnswer { host: self.host(), seconds: silence.as_secs() };
        Ok(tokio::time::timeout(silence * BELIEVED, asking).await.map_err(late)??)
    }

    /// What a run would find.
    pub async fn outlook(&mut self, dataset: DatasetName) -> Result<Outlook, StartError> {
        let mut call = self.call(|id| Request::Outlook { id, dataset });
        loop {
            if let Reply::Outlook { outlook, .. } = self.answer(&mut call).await? {
                return Ok(outlook);
            }
        }
    }
}
