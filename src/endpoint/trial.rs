//! Whether a stream can be sent at all, before something is given up for it: `zfs send` is started, and ended as soon as it says anything.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Endpoint, Place};
use zfs::host::{Host as _, Outgoing};
use zfs::name::DatasetName;
use zfs::{Failure, Refusal, SendSpec, StreamSpec, permission};

/// So long at most it is waited for; then the run itself tells.
const LIMIT: Duration = Duration::from_secs(30);
/// So many are tried at the same time.
pub const TRIALS: usize = 4;

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
            let (StreamSpec::Send(SendSpec { dataset, .. }) | StreamSpec::Resume { dataset, .. }) = &stream else {
                return Ok(());
            };
            let outgoing = host.stream(&stream)?;
            // Nobody waits any more if this fails.
            let _ = started.send(Arc::clone(&outgoing.process));
            begins(outgoing, dataset)
        });
        let Ok(process) = process.await else { return trial.await.unwrap_or(Ok(())) };
        let Ok(ended) = tokio::time::timeout(LIMIT, trial).await else {
            process.end(true);
            return Ok(());
        };
        ended.unwrap_or(Ok(()))
    }
}

fn begins(Outgoing { output, words, process }: Outgoing, dataset: &DatasetName) -> Result<(), Failure> {
    let mut output = File::from(output);
    let (began, said) = thread::scope(|scope| {
        // It may say much before it sends anything.
        let said = scope.spawn(|| helper::read_report(words, |_| ()));
        let began = output.read(&mut [0; 1]).is_ok_and(|length| length > 0);
        if began {
            process.end(false);
        }
        drop(output);
        (began, said.join().unwrap_or_default())
    });
    match process.wait() {
        Err(died) if !began => {
            let words = if said.is_empty() { zfs::text::ended("zfs send", &died.status) } else { said };
            let words = permission::with_grant_to_send(&words, &permission::user_name(), dataset);
            Err(Failure::new(Refusal::from_words(&words), &words))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs::{SendFlags, Zfs};

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
        let why = tried("printf 'full\\tp/s@a\\t624\\nsize\\t624\\n' >&2; echo \"cannot send 'p/s@a': dataset key must be loaded\" >&2; exit 1").await.unwrap_err();
        assert_eq!(why.words, "cannot send 'p/s@a': dataset key must be loaded");
        assert_eq!(tried("kill -9 $$").await.unwrap_err().words, "zfs send was killed by SIGKILL");
        // What it says first is more than a pipe holds.
        assert_eq!(tried("head -c 300000 /dev/zero | tr '\\0' '\\n' >&2; exec yes").await, Ok(()));
        assert_eq!(tried("exit 0").await, Ok(()));
    }
}
