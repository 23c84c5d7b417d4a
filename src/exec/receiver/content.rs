//! The question of what a snapshot holds: the only one whose answer may take hours.

use std::time::Instant;

use super::Receiver;
use crate::error::StartError;
use helper::wire::{Reply, Request};
use zfs::{Failure, Part, Reading};

impl Receiver<'_> {
    /// Reads what a snapshot of the target holds; `read` hears how far that is. The failure when zfs refuses.
    pub async fn content(
        &mut self,
        reading: &Reading,
        read: impl Fn(u64),
    ) -> Result<Result<Vec<Part>, Failure>, StartError> {
        let mut call = self.call(|id| Request::Content { id, reading: reading.clone() });
        let mut all = Vec::new();
        loop {
            match self.reply(&mut call).await? {
                Reply::Content { bytes, parts, .. } => {
                    // It is alive, however long it takes.
                    self.asked = Instant::now();
                    read(bytes);
                    all.extend(parts);
                }
                Reply::Done { failure: Some(failure), .. } => return Ok(Err(failure)),
                Reply::Done { .. } => return Ok(Ok(all)),
                _ => {}
            }
        }
    }
}
