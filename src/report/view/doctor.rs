//! What could go wrong in a first run: a table for people, one object for programs.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::{Page, View};
use crate::format::{count, sanitise};
use crate::plan::HostRole;
use crate::plan::doctor::{Diagnosis, EndFacts, Examined, Finding, Mark};
use crate::report::Versioned;
use crate::report::look::{Colour, Look};
use crate::report::wrap::wrapped;

/// The longest name of a check.
const CHECK: usize = "permissions".len();

/// What was found: one object, or for people.
#[must_use]
pub fn view(found: Diagnosis, json: bool) -> View {
    Box::new(move |page, out| if json { self::json(&found, out) } else { text(&found, page, out) })
}

#[derive(Serialize)]
struct Object<'a> {
    failures: usize,
    warnings: usize,
    unknown: usize,
    ends: Vec<End<'a>>,
}

#[derive(Serialize)]
struct End<'a> {
    role: &'static str,
    host: &'a str,
    dataset: Option<&'a str>,
    zfsync: &'a str,
    user: &'a str,
    zfs_userland: Option<&'a str>,
    zfs_kernel_module: Option<&'a str>,
    available_bytes: Option<u64>,
    connection: Option<Connection<'a>>,
    findings: &'a [Finding],
}

#[derive(Serialize)]
struct Connection<'a> {
    login_seconds: f64,
    login_method: Option<&'a str>,
    cipher: Option<&'a str>,
    greeting_seconds: f64,
    round_trip_seconds: Option<f64>,
    sessions_granted: usize,
    sessions_asked: usize,
    clock_ahead_seconds: Option<i64>,
}

fn json(found: &Diagnosis, out: &mut impl Write) -> io::Result<()> {
    let ends = found.ends.iter().map(|(end, findings)| object(end, findings)).collect();
    let (failures, warnings) = (found.count(Mark::Failure), found.count(Mark::Warning));
    let object = Object { failures, warnings, unknown: found.count(Mark::Unknown), ends };
    let mut line = zfs::text::json(serde_json::to_vec(&Versioned::of(object))?);
    line.push(b'\n');
    out.write_all(&line)
}

fn object<'a>(end: &'a EndFacts, findings: &'a [Finding]) -> End<'a> {
    let examination = match &end.examined {
        Examined::Found(examination) => Some(examination),
        _ => None,
    };
    let connection = end.connection.as_ref().map(|connection| Connection {
        login_seconds: connection.login.as_secs_f64(),
        login_method: connection.method.as_deref(),
        cipher: connection.cipher.as_deref(),
        greeting_seconds: connection.greeting.as_secs_f64(),
        round_trip_seconds: connection.round_trip.as_ref().map(Duration::as_secs_f64),
        sessions_granted: connection.sessions.0,
        sessions_asked: connection.sessions.1,
        clock_ahead_seconds: connection.clock,
    });
    End {
        role: role(end),
        host: &end.host,
        dataset: end.dataset.as_ref().map(zfs::name::DatasetName::as_str),
        zfsync: &end.hello.version,
        user: &end.hello.user,
        zfs_userland: examination.and_then(|found| found.userland.as_deref()),
        zfs_kernel_module: examination.and_then(|found| found.module.as_deref()).or(end.hello.zfs.as_deref()),
        available_bytes: examination.and_then(|found| found.place.as_ref()?.available),
        connection,
        findings,
    }
}

fn role(end: &EndFacts) -> &'static str {
    match end.role {
        HostRole::Sender => "source",
        HostRole::Receiver => "target",
    }
}

fn text(found: &Diagnosis, page: Page, out: &mut impl Write) -> io::Result<()> {
    let width = CHECK;
    for (end, findings) in &found.ends {
        let dataset = end.dataset.as_ref().map(|dataset| format!(" {dataset}")).unwrap_or_default();
        writeln!(out, "{}{} on {}", role(end), sanitise(&dataset), sanitise(&end.host))?;
        for finding in findings {
            let mark = mark(page.look, finding.mark);
            writeln!(out, "  {mark} {:width$}  {}", finding.check, indented(&finding.words, page))?;
            if let Some(advice) = &finding.advice {
                writeln!(out, "       {:width$}  {}", "", indented(&format!("-> {advice}"), page))?;
            }
        }
    }
    writeln!(out, "{}", sum(found))
}

/// Further lines of others' words, and what a line has no room for, stand below the first.
fn indented(words: &str, page: Page) -> String {
    let indent = CHECK + 9;
    let words = sanitise(words);
    let room = page.width.map(|width| width.saturating_sub(indent));
    wrapped(&words, room).replace('\n', &format!("\n{:indent$}", ""))
}

fn mark(look: Look, mark: Mark) -> String {
    match mark {
        Mark::Ok => look.paint(Colour::Green, "OK  "),
        Mark::Unknown => look.paint(Colour::Cyan, "?   "),
        Mark::Warning => look.paint(Colour::Yellow, "WARN"),
        Mark::Failure => look.paint(Colour::Red, "FAIL"),
    }
}

fn sum(found: &Diagnosis) -> String {
    let [failures, warnings, unknown] = [Mark::Failure, Mark::Warning, Mark::Unknown].map(|mark| found.count(mark));
    let parts = [(failures, "failure"), (warnings, "warning")].into_iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, word)| count(number, word)).collect();
    let unknown = (unknown > 0).then(|| format!("{unknown} not checked"));
    let listed = parts.into_iter().chain(unknown).collect::<Vec<_>>().join(", ");
    match (failures, listed.as_str()) {
        (0, "") => "no problems found".into(),
        (0, listed) => format!("no failures, {listed}"),
        (_, listed) => format!("a run would fail: {listed}"),
    }
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
