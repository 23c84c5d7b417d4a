//! What to do next where a dataset of this machine is not there: names that may have been meant.

use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::nearest;
use zfs::Refusal;
use zfs::text::sanitise;

/// The question costs no more than this: it is about an error that is there already. A busy host with many datasets takes its time.
const LIMIT: Duration = Duration::from_secs(30);

/// The error, with what to do about a name that doesn't exist.
pub async fn advise(sender: &Endpoint, error: StartError) -> StartError {
    match error {
        StartError::List { host, dataset, words } if Refusal::from_words(&words) == Refusal::Missing => {
            let near = near(sender, &dataset).await;
            let near = if near.is_empty() { String::new() } else { format!("; similar names: {}", near.join(", ")) };
            let words = format!("{words}\n  'zfs list' shows the datasets of {host}{near}");
            StartError::List { host, dataset, words }
        }
        error => error,
    }
}

async fn near(sender: &Endpoint, dataset: &str) -> Vec<String> {
    let names = sender.names(Some(LIMIT)).await;
    nearest(dataset, names.iter().map(String::as_str)).into_iter().map(|name| sanitise(name).into_owned()).collect()
}
