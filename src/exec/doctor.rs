//! Examines both ends before a first run. Changes nothing, and takes no lock.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::link::Connected;
use super::parts::Pushed;
use super::signals::Signals;
use super::{dry_run, push};
use crate::config::{DoctorEnd, DoctorJob, PushJob};
use crate::error::{Exit, StartError};
use crate::plan::HostRole;
use crate::plan::doctor::{ConnectionFacts, Diagnosis, EndFacts, Ends, Examined, Mark, Planned, Reasons, Refused};
use crate::remote::source::Remote;
use crate::remote::ssh::Master;
use crate::report::view::dry_run::{PlanAction, PlanRow};
use crate::report::{Event, Reporter};
use helper::wire::SENDS;
use zfs::{Examine, Host as _, Limits, LocalHost};

/// So long an answer may take: zfs waits for a suspended pool.
const SILENCE: Duration = Duration::from_secs(60);
/// sshd's MaxSessions, unless it was changed.
const SESSIONS: usize = 10;

/// An end that is there.
enum Opened {
    Here,
    There(Box<Remote>),
    /// Why not.
    Unreachable(String),
}

/// Connects, and looks at all that was named.
pub async fn doctor(job: &DoctorJob) -> Result<Diagnosis, StartError> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        found = look(job) => found,
        // What is connected ends with its handle.
        signal = signals.next() => Err(StartError::Interrupted(signal)),
    }
}

async fn look(job: &DoctorJob) -> Result<Diagnosis, StartError> {
    // One after the other: ssh may ask something.
    let source = open(job.source.as_ref()).await;
    let target = open(job.target.as_ref()).await;
    let of = async |end: &Option<DoctorEnd>, opened: &Option<Opened>, role| match (end, opened) {
        (Some(end), Some(opened)) => Some(facts(end, opened, role).await),
        _ => None,
    };
    let facts = tokio::join!(of(&job.source, &source, HostRole::Sender), of(&job.target, &target, HostRole::Receiver));
    let mut found = Diagnosis::of(Ends { source: facts.0, target: facts.1 }, env!("CARGO_PKG_VERSION"));
    // What fails already needs no plan, and may have none.
    let Some(push) = job.push.as_ref().filter(|_| found.count(Mark::Failure) == 0) else {
        tokio::join!(close(source), close(target));
        return Ok(found);
    };
    let connected = if push.direct.is_some() {
        // The source's host carries it out, in a session of another kind.
        close(source).await;
        Connected::default()
    } else {
        Connected { source: source.and_then(Opened::remote), target: target.as_ref().and_then(Opened::connection) }
    };
    let planned = planned(push, connected).await;
    close(target).await;
    found.plan(&planned?, &job.runner);
    Ok(found)
}

impl Opened {
    /// The other host, for whoever asks on.
    fn remote(self) -> Option<Remote> {
        match self {
            Self::There(remote) => Some(*remote),
            _ => None,
        }
    }

    /// The connection to it, for another helper: this one ends, as sshd may permit no second session.
    fn connection(&self) -> Option<Arc<Master>> {
        let Self::There(remote) = self else { return None };
        remote.channel().close();
        Some(remote.master())
    }
}

/// What a push would do, by its own dry run over the same connections: ssh has asked for passwords once.
async fn planned(push: &PushJob, connected: Connected) -> Result<Planned, StartError> {
    let mut heard = Heard::default();
    match Box::pin(push::push_over(push.clone(), connected, &mut heard)).await {
        Ok(pushed) => Ok(outcome(pushed, heard)),
        Err(error @ StartError::Interrupted(_)) => Err(error),
        Err(error) => Ok(Planned::Failed(Reasons::of([error.to_string()]))),
    }
}

fn outcome(Pushed { exit, plan, nothing }: Pushed, heard: Heard) -> Planned {
    if let Some(nothing) = nothing {
        return Planned::Nothing(nothing);
    }
    let rows = plan.unwrap_or_default();
    let refused: Vec<Refused> = rows.iter().filter(|row| row.fails()).map(refusal).collect();
    let failed = match exit {
        Exit::InSync => None,
        _ if !heard.0.is_empty() => Some(Reasons::of(heard.0)),
        // Not all is in sync then, and that keeps the rest.
        _ if !refused.is_empty() => None,
        _ => Some(Reasons::of(dry_run::withheld(&rows))),
    };
    let steps = rows.iter().filter(|row| row.snapshots > 0);
    let sent: HashSet<&str> = steps.clone().map(|row| row.dataset.as_str()).collect();
    Planned::Steps {
        snapshots: steps.map(|row| row.snapshots).sum(),
        sent: sent.len(),
        in_sync: rows.iter().filter(|row| row.action == PlanAction::InSync).count(),
        refused,
        failed,
    }
}

fn refusal(row: &PlanRow) -> Refused {
    let kind = if row.action == PlanAction::Conflict { "conflict" } else { "fails" };
    let text = format!("{} -> {}: {kind}: {}", row.dataset, row.target, row.note.as_deref().unwrap_or_default());
    Refused { text, until_next_snapshot: row.until_next_snapshot }
}

/// What a dry run fails for beside its plan; notices don't make it fail.
#[derive(Default)]
struct Heard(Vec<String>);

impl Reporter for Heard {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Problem { text } => self.0.push(text.clone()),
            Event::DatasetFailed { dataset, error, .. } => self.0.push(format!("{dataset}: {error}")),
            _ => {}
        }
    }
}

async fn open(end: Option<&DoctorEnd>) -> Option<Opened> {
    let DoctorEnd { link, .. } = end?;
    let Some(host) = &link.host else { return Some(Opened::Here) };
    Some(match Remote::open(host, link).await {
        Ok(remote) => Opened::There(Box::new(remote)),
        Err(error) => Opened::Unreachable(error.to_string()),
    })
}

async fn close(opened: Option<Opened>) {
    if let Some(Opened::There(remote)) = opened {
        remote.close().await;
    }
}

async fn facts(end: &DoctorEnd, opened: &Opened, role: HostRole) -> EndFacts {
    let mut facts = EndFacts {
        role,
        host: end.link.name(),
        dataset: end.dataset.clone(),
        needs: end.needs.clone(),
        direct: end.direct.clone(),
        connection: None,
        hello: zfs::Hello::default(),
        examined: Examined::Older,
    };
    match opened {
        Opened::Here => {
            (facts.hello, facts.examined) = here(facts.dataset.clone().map_or(Examine::Host, Examine::Dataset)).await;
        }
        Opened::There(remote) => {
            facts.hello = remote.hello().clone();
            facts.connection = Some(connection(remote).await);
            // Of what is outside of its roots a helper tells nothing.
            let what = facts.dataset.clone().filter(|_| !facts.is_outside()).map_or(Examine::Host, Examine::Dataset);
            facts.examined = there(remote, what).await;
        }
        Opened::Unreachable(why) => facts.examined = Examined::Unreachable(why.clone()),
    }
    facts
}

async fn here(what: Examine) -> (zfs::Hello, Examined) {
    let given_up = GiveUp(Arc::default());
    let limits = Limits { silence: Some(SILENCE), given_up: Some(Arc::clone(&given_up.0)) };
    let looked = tokio::task::spawn_blocking(move || {
        let host = LocalHost::new();
        let hello = host.hello();
        (hello, host.within(limits).examine(&what))
    });
    match looked.await {
        Ok((hello, Ok(found))) => (hello, Examined::Found(Box::new(found))),
        Ok((hello, Err(failure))) => (hello, Examined::Failed(failure.words)),
        Err(error) => (zfs::Hello::default(), Examined::Failed(error.to_string())),
    }
}

/// Tells whoever works for a question that nobody waits for the answer any more.
struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn there(remote: &Remote, what: Examine) -> Examined {
    if !remote.examines() {
        return Examined::Older;
    }
    match remote.examine(what, SILENCE).await {
        Ok(found) => Examined::Found(Box::new(found)),
        Err(failure) => Examined::Failed(failure.words),
    }
}

async fn connection(remote: &Remote) -> ConnectionFacts {
    let negotiated = remote.master().negotiated();
    let took = remote.took();
    let sends = remote.hello().capabilities.iter().any(|word| word == SENDS);
    let round_trip = if remote.examines() { remote.round_trip(SILENCE).await } else { None };
    ConnectionFacts {
        login: took.login,
        method: negotiated.method,
        cipher: negotiated.cipher,
        greeting: took.greeting,
        serves: if sends { HostRole::Sender } else { HostRole::Receiver },
        sessions: (remote.sessions(SESSIONS).await, SESSIONS),
        round_trip,
        clock: remote.clock(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(dataset: &str, action: PlanAction, note: &str) -> PlanRow {
        let (dataset, target) = (format!("p/{dataset}"), format!("q/{dataset}"));
        let (note, until_next_snapshot) = (Some(note.to_owned()).filter(|note| !note.is_empty()), note == "ahead");
        let (from, to, withheld) = (None, None, false);
        PlanRow { dataset, target, action, from, to, snapshots: 0, bytes: None, note, until_next_snapshot, withheld }
    }

    fn planned(exit: Exit, rows: Vec<PlanRow>, events: &[Event]) -> (Vec<Refused>, Option<Reasons>) {
        let mut heard = Heard::default();
        for event in events {
            heard.event(event);
        }
        match outcome(Pushed { exit, plan: Some(rows), nothing: None }, heard) {
            Planned::Steps { refused, failed, .. } => (refused, failed),
            other => panic!("{other:?}"),
        }
    }

    fn reasons(all: &[&str]) -> Reasons {
        Reasons::of(all.iter().map(ToString::to_string))
    }

    #[test]
    fn what_is_withheld_has_its_words() {
        let notice = Event::Notice { dataset: None, text: "a glob matches nothing".into() };
        let rows = || ["a", "b"].map(|name| row(name, PlanAction::Stays, "too much would be destroyed")).to_vec();
        let found = planned(Exit::Failed, rows(), std::slice::from_ref(&notice));
        assert_eq!(found, (vec![], Some(reasons(&["too much would be destroyed"]))));
        // What stays for reasons of its own is no failure.
        assert_eq!(planned(Exit::InSync, rows(), &[notice]), (vec![], None));
        assert_eq!(planned(Exit::Failed, vec![], &[]), (vec![], Some(reasons(&[]))));
    }

    #[test]
    fn a_conflict_explains_why_the_rest_stays_and_a_failed_listing_is_told_beside_it() {
        let rows = || vec![row("a", PlanAction::Stays, "another's"), row("b", PlanAction::Conflict, "ahead")];
        let conflict = || Refused { text: "p/b -> q/b: conflict: ahead".into(), until_next_snapshot: true };
        assert_eq!(planned(Exit::Failed, rows(), &[]), (vec![conflict()], None));
        let unread = Event::DatasetFailed {
            dataset: "p".into(),
            target: "q".into(),
            kind: "unread".into(),
            error: "zfs can't list it completely".into(),
        };
        let found = planned(Exit::Failed, rows(), &[unread]);
        assert_eq!(found, (vec![conflict()], Some(reasons(&["p: zfs can't list it completely"]))));
    }
}
