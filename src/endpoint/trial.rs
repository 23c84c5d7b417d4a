//! Whether a stream can be sent at all, before something is given up for it: `zfs send` is started, and ended as soon as it says anything.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use super::{Endpoint, Place};
use zfs::host::{Host as _, Outgoing};
use zfs::{Failure, Refusal, StreamSpec};

/// So long at most it is waited for; then the run itself tells.
const LIMIT: Duration = Duration::from_secs(30);
/// So much is read at most of what `zfs` says beside the stream.
const MAX_WORDS: u64 = 64 * 1024;

impl Endpoint {
    /// Whether a stream begins. `zfs send -n` tells it of neither keys that aren't loaded nor missing permissions, the stream itself does
    /// at once. What another host would send isn't tried.
    ///
    /// # Errors
    ///
    /// With the words of `zfs send`.
    pub async fn try_stream(&self, stream: StreamSpec) -> Result<(), Failure> {
        let Place::Here(host) = self.place.as_ref() else { return Ok(()) };
        let (host, (started, process)) = (Arc::clone(host), tokio::sync::oneshot::channel());
        let trial = tokio::task::spawn_blocking(move || {
            let outgoing = host.stream(&stream)?;
            // Nobody waits any more if this fails.
            let _ = started.send(Arc::clone(&outgoing.process));
            begins(outgoing)
        });
        let Ok(process) = process.await else { return trial.await.unwrap_or(Ok(())) };
        let Ok(ended) = tokio::time::timeout(LIMIT, trial).await else {
            process.end(true);
            return Ok(());
        };
        ended.unwrap_or(Ok(()))
    }
}

fn begins(Outgoing { output, words, process }: Outgoing) -> Result<(), Failure> {
    let mut output = File::from(output);
    let began = output.read(&mut [0; 1]).is_ok_and(|length| length > 0);
    if began {
        process.end(false);
    }
    drop(output);
    let mut said = Vec::new();
    let _ = words.take(MAX_WORDS).read_to_end(&mut said);
    let ended = process.wait();
    if began || ended.is_ok() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    Err(Failure::new(Refusal::from_words(&said), &said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs::{SendFlags, SendSpec, Zfs};

    /// What comes of it with a `zfs` that runs this script.
    async fn tried(script: &str) -> Result<(), Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zfs");
        zfs::testing::write_script(&path, &format!("#!/bin/sh\n{script}\n"));
        let (dataset, to) = ("p/s".parse().unwrap(), "a".parse().unwrap());
        let spec = SendSpec { dataset, to, base: None, flags: SendFlags::default() };
        Endpoint::with(Zfs::at(path)).try_stream(StreamSpec::Send(spec)).await
    }

    #[tokio::test]
    async fn what_begins_is_ended_and_what_does_not_says_why() {
        // It would go on for ever.
        assert_eq!(tried("exec yes").await, Ok(()));
        let why = tried("echo \"cannot send 'p/s@a': dataset key must be loaded\" >&2; exit 1").await.unwrap_err();
        assert_eq!(why.words, "cannot send 'p/s@a': dataset key must be loaded");
        assert_eq!(tried("exit 0").await, Ok(()));
    }
}
