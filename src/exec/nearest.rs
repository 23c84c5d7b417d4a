//! What to do next where a dataset of this machine is not there: names that may have been meant.

use std::time::Duration;

use super::local;
use crate::error::StartError;
use crate::plan::nearest;
use zfs::text::sanitise;
use zfs::{Refusal, Zfs};

/// The question costs no more than this: it is about an error that is there already.
const LIMIT: Duration = Duration::from_secs(10);

/// The error, with what to do about a name that doesn't exist.
pub async fn advise(zfs: &Zfs, error: StartError) -> StartError {
    match error {
        StartError::List { dataset, words } if Refusal::from_words(&words) == Refusal::Missing => {
            let near = near(zfs, &dataset).await;
            let near = if near.is_empty() { String::new() } else { format!("; near that name: {}", near.join(", ")) };
            let words = format!("{words}\n  'zfs list' shows the datasets of this machine{near}");
            StartError::List { dataset, words }
        }
        error => error,
    }
}

async fn near(zfs: &Zfs, dataset: &str) -> Vec<String> {
    let Ok(listed) = local::output(zfs.list_all_names(), Some(LIMIT)).await else { return Vec::new() };
    let names = String::from_utf8_lossy(&listed.stdout);
    nearest(dataset, names.lines()).into_iter().map(|name| sanitise(name).into_owned()).collect()
}
