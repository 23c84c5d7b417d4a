//! A status as metrics, in the text format of Prometheus (version 0.0.4), for node exporter's textfile collector.

use std::fmt::Display;
use std::io::{self, Write};

use super::snapshots;
use crate::plan::{DatasetStatus, LastRun, Status, TargetStatus};

/// Writes all metrics, each with its help and type first and all its lines together, as the format demands.
pub(super) fn write(all: &[Status], out: &mut impl Write) -> io::Result<()> {
    head(out, "zfsync_dataset_state", "State of a dataset on a target: 1 for its current state.")?;
    each(all, out, |_, row, labels, out| {
        writeln!(out, "zfsync_dataset_state{{{labels},state=\"{}\"}} 1", row.state.key())
    })?;
    let behind = "Age of the oldest snapshot that the target lacks; 0 when it lacks none.";
    gauge(all, out, "zfsync_behind_seconds", behind, |status, row| row.behind(status.now))?;
    let lacking = "Snapshots newer than the newest common one, which the target lacks.";
    gauge(all, out, "zfsync_behind_snapshots", lacking, |_, row| snapshots(row))?;
    if targets(all).flat_map(|(_, target)| target.found.iter().flatten()).any(|row| row.bytes.is_some()) {
        gauge(all, out, "zfsync_behind_bytes", "Estimated size of what the target lacks.", |_, row| row.bytes)?;
    }
    let common = "Creation time of the newest common snapshot.";
    let creation = |_: &Status, row: &DatasetStatus| row.common.as_ref()?.creation;
    gauge(all, out, "zfsync_newest_common_timestamp_seconds", common, creation)?;
    let up = |target: &TargetStatus| Some(u8::from(target.found.is_ok()));
    of_targets(all, out, "zfsync_target_up", "Whether the target could be reached and listed.", up)?;
    if targets(all).any(|(_, target)| target.kept) {
        last_runs(all, out)?;
    }
    head(out, "zfsync_status_timestamp_seconds", "Time of this status.")?;
    all.iter().try_for_each(|status| {
        let source = escape(status.source.as_str());
        writeln!(out, "zfsync_status_timestamp_seconds{{source=\"{source}\"}} {}", status.now)
    })
}

/// What the state folders remember.
fn last_runs(all: &[Status], out: &mut impl Write) -> io::Result<()> {
    let of = |target: &TargetStatus| target.last_run.clone();
    let ended = |target: &TargetStatus| of(target)?.ended;
    of_targets(all, out, "zfsync_last_run_timestamp_seconds", "When the last run to the target ended.", ended)?;
    let code = |target: &TargetStatus| of(target).map(|run: LastRun| run.exit_code);
    of_targets(all, out, "zfsync_last_run_exit_code", "The exit code of that run.", code)?;
    let result = "Result of a dataset in the last run that included it: 1 for the result.";
    head(out, "zfsync_dataset_last_result", result)?;
    each(all, out, |_, row, labels, out| match &row.last {
        Some(last) => writeln!(out, "zfsync_dataset_last_result{{{labels},result=\"{}\"}} 1", last.result.key()),
        None => Ok(()),
    })
}

fn targets(all: &[Status]) -> impl Iterator<Item = (&Status, &TargetStatus)> {
    all.iter().flat_map(|status| status.targets.iter().map(move |target| (status, target)))
}

fn of_targets<T: Display>(
    all: &[Status],
    out: &mut impl Write,
    name: &str,
    help: &str,
    value: impl Fn(&TargetStatus) -> Option<T>,
) -> io::Result<()> {
    head(out, name, help)?;
    for (status, target) in targets(all) {
        if let Some(value) = value(target) {
            writeln!(out, "{name}{{{}}} {value}", labels(status, target))?;
        }
    }
    Ok(())
}

fn gauge<T: Display>(
    all: &[Status],
    out: &mut impl Write,
    name: &str,
    help: &str,
    value: impl Fn(&Status, &DatasetStatus) -> Option<T>,
) -> io::Result<()> {
    head(out, name, help)?;
    each(all, out, |status, row, labels, out| match value(status, row) {
        Some(value) => writeln!(out, "{name}{{{labels}}} {value}"),
        None => Ok(()),
    })
}

fn each<W: Write>(
    all: &[Status],
    out: &mut W,
    mut line: impl FnMut(&Status, &DatasetStatus, &str, &mut W) -> io::Result<()>,
) -> io::Result<()> {
    for (status, target) in targets(all) {
        for row in target.found.iter().flatten() {
            let labels = format!("{},dataset=\"{}\"", labels(status, target), escape(&row.dataset));
            line(status, row, &labels, out)?;
        }
    }
    Ok(())
}

fn head(out: &mut impl Write, name: &str, help: &str) -> io::Result<()> {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge")
}

fn labels(status: &Status, target: &TargetStatus) -> String {
    format!("source=\"{}\",target=\"{}\"", escape(status.source.as_str()), escape(&target.target))
}

/// A label's value: the format knows these three escapes.
pub(super) fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
