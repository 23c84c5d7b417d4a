//! Looks after the helpers on another host.

use super::signals::Signals;
use crate::config::{Keep, KeepJob};
use crate::error::StartError;
use crate::plan::install::{Found, Install, install};
use crate::remote::keep::{Keeper, Kept, Place, Removed, There};

/// What came of it.
#[derive(Debug)]
pub enum Done {
    /// What was removed, and what was not.
    Removed(Removed),
    /// It was there.
    Current(String),
    /// It is there now.
    Installed(Kept),
    /// Something else is there, and why it was kept.
    Other {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
}

/// Does it.
pub async fn keep(job: &KeepJob) -> Result<Done, StartError> {
    let mut signals = Signals::listen()?;
    let work = async {
        let keeper = Keeper::connect(&job.host, &job.ssh).await?;
        let done = match job.what {
            Keep::Remove => keeper.remove().await.map(Done::Removed).map_err(StartError::from),
            Keep::Install { place, force } => put(&keeper, place, force).await,
        };
        keeper.close().await;
        done
    };
    tokio::select! {
        done = work => done,
        // What is connected ends with its handle.
        signal = signals.next() => Err(StartError::Interrupted(signal)),
    }
}

async fn put(keeper: &Keeper, place: Place, force: bool) -> Result<Done, StartError> {
    let there = keeper.look(place).await?;
    let found = match &there.there {
        There::Nothing => Found::Nothing,
        There::File(_) if keeper.is_current(&there).await? => Found::Same,
        There::File(_) => Found::Other(&there.version),
        There::Other(what) => Found::NoFile(what),
    };
    Ok(match install(found, env!("CARGO_PKG_VERSION"), force) {
        Install::Current => Done::Current(there.file),
        Install::Keep(why) => Done::Other { file: there.file, why },
        Install::Do => Done::Installed(keeper.install(place, &there).await?),
    })
}
