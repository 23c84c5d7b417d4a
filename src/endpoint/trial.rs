//! Whether a stream can be sent at all, before something is given up for it: `zfs send` is started, here or on the source's host, and ended
//! as soon as it says anything.

use std::fs::File;
use std::io::Read as _;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::{Endpoint, Place};
use crate::remote::client::{Channel, EndOfStream, StreamEnd};
use crate::remote::source::Remote;
use zfs::host::{Host as _, Outgoing};
use zfs::name::DatasetName;
use zfs::{Ended, Failure, LocalHost, Refusal, SendSpec, StreamSpec, permission};

/// So long at most it is waited for what `zfs send` says: nothing is given up for what doesn't begin in this time.
const LIMIT: Duration = Duration::from_secs(60);
/// So long another host may take to start it.
const STARTED_WITHIN: Duration = Duration::from_secs(60);
/// Where each stream needs an ssh session, others may have all of them: so long one is waited for,
const SESSION_WITHIN: Duration = Duration::from_secs(3600);
/// with such pauses, where the wait itself was given up.
const PAUSE: Duration = Duration::from_secs(1);
/// One that is given up may take so long to end.
const ENDED_WITHIN: Duration = Duration::from_secs(10);
/// So many bytes a second come of a trial on another host: a slow connection isn't filled with what nobody reads.
const TRICKLE: Option<NonZeroU64> = NonZeroU64::new(32 * 1024);
/// So many are tried at the same time on this machine; the helper of another host gives one stream after the other.
const TRIALS: usize = 4;

/// The turns of those who try streams of this place.
pub(super) fn turns(place: &Place) -> Semaphore {
    Semaphore::new(match place {
        Place::Here(_) => TRIALS,
        Place::There(_) => 1,
    })
}

impl Endpoint {
    /// Whether a stream begins. `zfs send -n` tells it of neither keys that aren't loaded nor missing permissions, the stream itself does
    /// at once.
    ///
    /// # Errors
    ///
    /// With the words of `zfs send`; [`Refusal::Lost`]: the source's host can't be reached. Where [`may_begin_later`] it can be tried again.
    pub async fn try_stream(&self, stream: StreamSpec) -> Result<(), Failure> {
        let _turn = self.trials.acquire().await;
        self.try_within(stream, LIMIT).await
    }

    async fn try_within(&self, stream: StreamSpec, limit: Duration) -> Result<(), Failure> {
        match self.place.as_ref() {
            Place::Here(host) => try_here(Arc::clone(host), stream, limit).await,
            Place::There(remote) => try_there(remote, stream, limit).await,
        }
    }
}

/// Whether this tells nothing of whether the stream can be sent.
pub fn may_begin_later(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::Lost | Refusal::Killed)
}

/// What has not begun in time would take effect all the same, should it begin later.
fn not_begun(host: &str, limit: Duration) -> Failure {
    let limit = limit.as_secs();
    let words =
        format!("zfs send on {host} has not begun within {limit} s: is its pool suspended? Check zpool status there");
    Failure::new(Refusal::Other, &words)
}

/// The task that waited for it has failed.
fn failed(error: &tokio::task::JoinError) -> Result<(), Failure> {
    Err(Failure::new(Refusal::Other, &error.to_string()))
}

async fn try_here(host: Arc<LocalHost>, stream: StreamSpec, limit: Duration) -> Result<(), Failure> {
    let (started, process) = tokio::sync::oneshot::channel();
    let trial = tokio::task::spawn_blocking(move || {
        let (StreamSpec::Send(SendSpec { dataset, .. }) | StreamSpec::Resume { dataset, .. }) = &stream else {
            return Ok(());
        };
        let outgoing = host.stream(&stream)?;
        // Nobody waits any more if this fails.
        let _ = started.send(Arc::clone(&outgoing.process));
        begins(outgoing, dataset)
    });
    let Ok(process) = process.await else { return trial.await.unwrap_or_else(|error| failed(&error)) };
    let Ok(ended) = tokio::time::timeout(limit, trial).await else {
        process.end(true);
        return Err(not_begun("this machine", limit));
    };
    ended.unwrap_or_else(|error| failed(&error))
}

/// Over the channel for questions, which it holds up for no longer than a few bytes take. A lost one is replaced, as for a question.
async fn try_there(remote: &Remote, stream: StreamSpec, limit: Duration) -> Result<(), Failure> {
    let channel = remote.channel();
    match with_session(&channel, &stream, limit).await {
        Err(Failure { refusal: Refusal::Lost, .. }) if channel.is_closed() => {
            remote.revive().await?;
            with_session(&remote.channel(), &stream, limit).await
        }
        tried => tried,
    }
}

/// The same over this channel; streams that have all sessions of its connection are waited for.
async fn with_session(channel: &Channel, stream: &StreamSpec, limit: Duration) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        match begins_there(channel.clone(), stream.clone(), limit).await {
            Err(Failure { refusal: Refusal::NoSession, .. }) if began.elapsed() < SESSION_WITHIN => {
                tokio::time::sleep(PAUSE).await;
            }
            // It may be tried later.
            Err(Failure { refusal: Refusal::NoSession, words }) => return Err(Failure::new(Refusal::Lost, &words)),
            tried => return tried,
        }
    }
}

async fn begins_there(channel: Channel, stream: StreamSpec, limit: Duration) -> Result<(), Failure> {
    let cant = |error: std::io::Error| Failure::new(Refusal::Other, &format!("can't try zfs send: {error}"));
    let (output, reports, id) = channel.ask_stream(stream, TRICKLE).map_err(cant)?;
    let mut end = EndOfStream::of(channel.clone(), id, reports, |_| ()).map_err(cant)?;
    let started = end.begun();
    let (tell, said) = tokio::sync::oneshot::channel();
    let trial = tokio::task::spawn_blocking(move || {
        let began = says_anything(output);
        // Nobody waits any more if this fails.
        let _ = tell.send(());
        (began, end.wait(!began))
    });
    let most = if channel.is_plain() { SESSION_WITHIN } else { STARTED_WITHIN };
    if tokio::time::timeout(most, started).await.is_err() {
        channel.cancel_stream(id);
        let words = format!("{} has not started zfs send within {} s", channel.host(), most.as_secs());
        return Err(Failure::new(Refusal::Lost, &words));
    }
    if tokio::time::timeout(limit, said).await.is_err() {
        channel.cancel_stream(id);
        if tokio::time::timeout(ENDED_WITHIN, trial).await.is_err() {
            // All that is asked for next would wait for its end.
            channel.give_up("zfs send could not be ended there");
        }
        return Err(not_begun(channel.host(), limit));
    }
    outcome(&channel, trial.await)
}

/// What came of a trial on another host, as it has ended: whether it said anything, and how.
fn outcome(channel: &Channel, ended: Result<(bool, StreamEnd), tokio::task::JoinError>) -> Result<(), Failure> {
    match ended {
        Ok((true, _) | (_, StreamEnd::Complete(Ended { status: None, .. }))) => Ok(()),
        Err(error) => failed(&error),
        Ok((_, StreamEnd::Complete(ended) | StreamEnd::Incomplete(ended))) => {
            // The helper has said who needs which permission.
            let Ended { words, status, .. } = ended;
            let status = status.unwrap_or_else(|| "its stream was incomplete".into());
            let words = if words.is_empty() { zfs::text::ended("zfs send", &status) } else { words };
            Err(Failure::new(Refusal::from_words(&words), &words))
        }
        Ok((_, StreamEnd::Refused(why))) => Err(why),
        Ok((_, StreamEnd::Lost | StreamEnd::Late)) => {
            let words = format!("the connection to {} was lost: {}", channel.host(), channel.why_closed());
            Err(Failure::new(Refusal::Lost, &words))
        }
    }
}

/// Nobody reads more of it: whoever writes there finds it closed.
fn says_anything(output: OwnedFd) -> bool {
    File::from(output).read(&mut [0; 1]).is_ok_and(|length| length > 0)
}

fn begins(Outgoing { output, words, process }: Outgoing, dataset: &DatasetName) -> Result<(), Failure> {
    let (began, said) = thread::scope(|scope| {
        // It may say much before it sends anything.
        let said = scope.spawn(|| helper::read_report(words, |_| ()));
        let began = says_anything(output);
        if began {
            process.end(false);
        }
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
    use std::io;

    use helper::wire::{self, FrameKind, Header, Reply};

    use super::*;
    use crate::remote::client::CALLS;
    use crate::remote::source::greeting;
    use zfs::{SendFlags, Zfs};

    fn spec() -> StreamSpec {
        let (dataset, to) = ("p/s".parse().unwrap(), "a".parse().unwrap());
        StreamSpec::Send(SendSpec { dataset, to, base: None, flags: SendFlags::default() })
    }

    /// A `zfs` that runs this script.
    fn played(dir: &tempfile::TempDir, script: &str) -> Zfs {
        let path = dir.path().join("zfs");
        zfs::testing::write_script(&path, &format!("#!/bin/sh\n{script}\n"));
        Zfs::at(path)
    }

    /// What comes of it with that.
    async fn tried(script: &str, limit: Duration) -> Result<(), Failure> {
        let dir = tempfile::tempdir().unwrap();
        Endpoint::with(played(&dir, script)).try_within(spec(), limit).await
    }

    /// The same by a helper.
    async fn tried_there(script: &str, limit: Duration) -> Result<(), Failure> {
        let dir = tempfile::tempdir().unwrap();
        let host = Arc::new(LocalHost::with(played(&dir, script)));
        let ((stdin, ours_in), (ours_out, stdout), (ours_err, _stderr)) =
            (io::pipe().unwrap(), io::pipe().unwrap(), io::pipe().unwrap());
        let config = helper::Config { side: helper::Side::Sender, ..helper::Config::default() };
        let served = thread::spawn(move || helper::serve(config, stdin.into(), stdout.into(), host));
        let (events, _told) = tokio::sync::mpsc::unbounded_channel();
        let channel = Channel::over(1, [ours_in.into(), ours_out.into(), ours_err.into()], "alpha", events).unwrap();
        let tried = begins_there(channel.clone(), spec(), limit).await;
        // It goes on to answer.
        assert!(!channel.is_closed());
        drop(channel);
        served.join().unwrap().unwrap();
        tried
    }

    /// Whatever it would have said later: something would be given up for it now.
    #[tokio::test]
    async fn what_has_not_begun_in_time_does_not_count_as_begun() {
        for (tried, host) in [
            (tried("exec sleep 600", Duration::ZERO).await, "this machine"),
            (tried_there("exec sleep 600", Duration::ZERO).await, "alpha"),
        ] {
            let words =
                format!("zfs send on {host} has not begun within 0 s: is its pool suspended? Check zpool status there");
            assert_eq!(tried.unwrap_err().words, words);
        }
    }

    #[tokio::test]
    async fn what_begins_is_ended_and_what_does_not_says_why() {
        let fails = "printf 'full\\tp/s@a\\t624\\nsize\\t624\\n' >&2; echo \"cannot send 'p/s@a': dataset key must be loaded\" >&2; exit 1";
        // What it says first is more than a pipe holds.
        let much = "head -c 300000 /dev/zero | tr '\\0' '\\n' >&2; exec yes";
        for (script, words) in [
            // It would go on for ever.
            ("exec yes", None),
            (fails, Some("cannot send 'p/s@a': dataset key must be loaded")),
            ("kill -9 $$", Some("zfs send was killed by SIGKILL")),
            (much, None),
            ("exit 0", None),
        ] {
            let told = |tried: Result<(), Failure>| tried.err().map(|why| why.words);
            assert_eq!(told(tried(script, LIMIT).await).as_deref(), words, "{script}");
            assert_eq!(told(tried_there(script, LIMIT).await).as_deref(), words, "{script}");
        }
    }

    /// Without a helper there, each stream needs a session of the connection: others may have all of them for as long as they take.
    #[tokio::test]
    async fn what_waits_for_a_session_is_not_late() {
        let ((mut stdin, ours_in), (ours_out, mut stdout), (ours_err, _stderr)) =
            (io::pipe().unwrap(), io::pipe().unwrap(), io::pipe().unwrap());
        let hello = zfs::Hello { capabilities: vec![zfs::PLAIN.into()], ..zfs::Hello::default() };
        io::Write::write_all(&mut stdout, wire::greeting(&hello).unwrap().as_bytes()).unwrap();
        let (events, mut told) = tokio::sync::mpsc::unbounded_channel();
        let channel = Channel::over(1, [ours_in.into(), ours_out.into(), ours_err.into()], "alpha", events).unwrap();
        greeting("alpha", &mut told).await.unwrap();
        let answering = thread::spawn(move || {
            // Each time it is asked; the second one is told something else.
            let told = [(Refusal::NoSession, "none has ended in time"), (Refusal::Other, "no such snapshot")];
            for (id, (refusal, words)) in (CALLS..).zip(told) {
                let request = Header::read(&mut stdin).unwrap().unwrap();
                wire::read_bytes(&mut stdin, request.len).unwrap();
                let failure = Some(Failure::new(refusal, words));
                wire::write_message(&mut stdout, FrameKind::Reply, &Reply::Done { id, failure, warning: None })
                    .unwrap();
            }
            (stdin, stdout)
        });
        let why = with_session(&channel, &spec(), LIMIT).await.unwrap_err();
        assert_eq!(why.words, "no such snapshot");
        drop((channel, answering.join().unwrap()));
    }

    #[tokio::test]
    async fn a_host_that_is_gone_is_no_answer() {
        let ((_stdin, ours_in), (ours_out, stdout), (ours_err, stderr)) =
            (io::pipe().unwrap(), io::pipe().unwrap(), io::pipe().unwrap());
        let (events, _told) = tokio::sync::mpsc::unbounded_channel();
        let channel = Channel::over(1, [ours_in.into(), ours_out.into(), ours_err.into()], "alpha", events).unwrap();
        drop((stdout, stderr));
        let why = begins_there(channel, spec(), LIMIT).await.unwrap_err();
        assert_eq!(why.refusal, Refusal::Lost);
        assert!(why.words.starts_with("the connection to alpha was lost: "), "{}", why.words);
    }
}
