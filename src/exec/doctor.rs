//! Examines both ends before a first run. Changes nothing, and takes no lock.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::push;
use super::signals::Signals;
use crate::config::{DoctorEnd, DoctorJob, PushJob};
use crate::error::{Exit, StartError};
use crate::plan::HostRole;
use crate::plan::NOTHING;
use crate::plan::doctor::{ConnectionFacts, Diagnosis, EndFacts, Ends, Examined, Mark, Planned};
use crate::remote::source::Remote;
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
    tokio::join!(close(source), close(target));
    let mut found = Diagnosis::of(Ends { source: facts.0, target: facts.1 }, env!("CARGO_PKG_VERSION"));
    // What fails already needs no plan, and may have none.
    if let Some(push) = job.push.as_ref().filter(|_| found.count(Mark::Failure) == 0) {
        found.plan(&planned(push).await?, job.takes_snapshots);
    }
    Ok(found)
}

/// What a push would do, by its own dry run.
async fn planned(push: &PushJob) -> Result<Planned, StartError> {
    let mut heard = Heard::default();
    let pushed = match Box::pin(push::push(push.clone(), &mut heard)).await {
        Ok(pushed) => pushed,
        Err(error @ StartError::Interrupted(_)) => return Err(error),
        Err(error) => return Ok(Planned::Failed(error.to_string())),
    };
    let rows = pushed.plan.unwrap_or_default();
    if let Some(why) = heard.0.iter().find(|text| text.starts_with(NOTHING)) {
        return Ok(Planned::Nothing { why: why.clone(), selected: !rows.is_empty() });
    }
    let refused = rows.iter().filter(|row| matches!(row.action, PlanAction::Conflict | PlanAction::Fails));
    let refused: Vec<String> = refused.map(refusal).collect();
    if pushed.exit != Exit::InSync && refused.is_empty() {
        return Ok(Planned::Failed(heard.0.join("\n")));
    }
    let steps = rows.iter().filter(|row| row.snapshots > 0);
    let sent: HashSet<&str> = steps.clone().map(|row| row.dataset.as_str()).collect();
    Ok(Planned::Steps {
        snapshots: steps.map(|row| row.snapshots).sum(),
        sent: sent.len(),
        in_sync: rows.iter().filter(|row| row.action == PlanAction::InSync).count(),
        refused,
    })
}

fn refusal(row: &PlanRow) -> String {
    let kind = if row.action == PlanAction::Conflict { "conflict" } else { "fails" };
    format!("{} -> {}: {kind}: {}", row.dataset, row.target, row.note.as_deref().unwrap_or_default())
}

/// What a dry run says beside its plan.
#[derive(Default)]
struct Heard(Vec<String>);

impl Reporter for Heard {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Problem { text } | Event::Notice { dataset: None, text } => self.0.push(text.clone()),
            Event::Notice { dataset: Some(dataset), text } => self.0.push(format!("{dataset}: {text}")),
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
