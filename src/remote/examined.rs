//! What is tried out over a connection before a first run: what there is, how long an answer takes, how many sessions there may be.

use std::time::{Duration, Instant};

use helper::wire::{EXAMINES, Reply, Request};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use zfs::{Examination, Examine, Failure, Refusal};

use super::client::{Channel, ChannelEvent, FromChannel};
use super::pipes::{self, Pipes};
use super::source::Remote;
use super::ssh::Sessions;

/// So often a round trip is measured.
const MEASURED: usize = 5;
/// So long a session may take to be granted, or to end.
pub(super) const SESSION: Duration = Duration::from_secs(20);
/// A command that ends with its stdin, in every login shell.
const WAITS: &str = "exec cat";
/// Numbers of these sessions start here.
const FIRST: u32 = 1;

impl Remote {
    /// Whether its helper knows the question.
    #[must_use]
    pub fn examines(&self) -> bool {
        self.hello().capabilities.iter().any(|word| word == EXAMINES)
    }

    /// Asks what there is.
    pub async fn examine(&self, what: Examine, silence: Duration) -> Result<Examination, Failure> {
        let channel = self.channel();
        let mut call = channel.call(|id| Request::Examine { id, what });
        match Self::next(&channel, &mut call, Some(silence)).await? {
            Reply::Examined { examination, .. } => Ok(*examination),
            Reply::Done { failure: Some(failure), .. } => Err(failure),
            _ => Err(Failure::new(Refusal::Other, "its answer doesn't match the request")),
        }
    }

    /// How long a question that is free to answer takes: the median of a few.
    pub async fn round_trip(&self, silence: Duration) -> Option<Duration> {
        let mut times = Vec::with_capacity(MEASURED);
        for _ in 0..MEASURED {
            let began = Instant::now();
            self.examine(Examine::Nothing, silence).await.ok()?;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        times.get(MEASURED / 2).copied()
    }

    /// How many sessions the connection grants at the same time, of so many that are tried. That of the helper that is there counts.
    pub async fn sessions(&self, most: usize) -> usize {
        if self.hello().is_plain() {
            let master = self.master();
            let sessions = master.sessions();
            // Those that wait for a call are some of them.
            let there = sessions.turns().idle();
            return there + granted(sessions, most.saturating_sub(there)).await;
        }
        let (events, told) = unbounded_channel();
        let mut open = Vec::new();
        for id in (FIRST..).take(most.saturating_sub(1)) {
            let (master, host) = (self.master(), self.host().to_string());
            let (helper, events) = (self.link().helper.clone(), events.clone());
            // On a task of its own, as opening a session can't be cancelled. What comes late is closed at once.
            let opening =
                tokio::spawn(async move { Channel::over_ssh(id, &master, &host, &helper, SESSION, events).await });
            match tokio::time::timeout(SESSION, opening).await {
                Ok(Ok(Ok(channel))) => open.push(channel),
                _ => break,
            }
        }
        drop(events);
        let granted = open.len() + 1;
        open.iter().for_each(Channel::close);
        // Their helpers are to be gone before the connection is closed.
        let _ = tokio::time::timeout(SESSION, all_closed(told, open.len())).await;
        granted
    }
}

/// How many further sessions the connection grants at the same time, of so many that are tried.
async fn granted(sessions: &Sessions, most: usize) -> usize {
    let opening: JoinSet<_> = (0..most)
        .map(|_| {
            let sessions = sessions.clone();
            // On a task of its own, as opening a session can't be cancelled. What comes late ends at once.
            let opening = tokio::spawn(async move { pipes::session(&sessions, WAITS, SESSION).await });
            tokio::time::timeout(SESSION, opening)
        })
        .collect();
    let open: Vec<Pipes> = opening.join_all().await.into_iter().flatten().flatten().flatten().collect();
    // Each ends with its stdin. What is asked next needs the places that they have.
    let ends: Vec<_> = open.into_iter().map(|Pipes { status, .. }| status).collect();
    let granted = ends.len();
    let waited = tokio::task::spawn_blocking(move || {
        let until = Instant::now() + SESSION;
        for end in ends {
            let _ = end.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
    });
    let _ = waited.await;
    granted
}

async fn all_closed(mut told: UnboundedReceiver<FromChannel>, mut left: usize) {
    while left > 0 {
        match told.recv().await.map(|FromChannel { event, .. }| event) {
            Some(ChannelEvent::Closed(_)) => left -= 1,
            Some(_) => {}
            None => return,
        }
    }
}
