//! A status as metrics, in the text format of Prometheus (version 0.0.4), for node exporter's textfile collector.

use std::fmt::Display;
use std::io::{self, Write};

use super::snapshots;
use crate::plan::{DatasetStatus, Status};

/// Writes all metrics, each with its help and type first and all its lines together, as the format demands.
pub(super) fn write(status: &Status, out: &mut impl Write) -> io::Result<()> {
    let now = status.now;
    head(out, "zfsync_dataset_state", "What a dataset is on a target: 1 for the state that it is in.")?;
    each(status, out, |row, labels, out| {
        writeln!(out, "zfsync_dataset_state{{{labels},state=\"{}\"}} 1", row.state.key())
    })?;
    let behind = "Age of the oldest snapshot that the target lacks; 0 when it lacks none.";
    gauge(status, out, "zfsync_behind_seconds", behind, |row| row.behind(now))?;
    let lacking = "Snapshots newer than the newest common one, which the target lacks.";
    gauge(status, out, "zfsync_behind_snapshots", lacking, snapshots)?;
    if status.targets.iter().flat_map(|target| target.found.iter().flatten()).any(|row| row.bytes.is_some()) {
        gauge(status, out, "zfsync_behind_bytes", "Estimated size of what the target lacks.", |row| row.bytes)?;
    }
    let common = "When the newest snapshot that both sides have was made.";
    let creation = |row: &DatasetStatus| row.common.as_ref()?.creation;
    gauge(status, out, "zfsync_newest_common_timestamp_seconds", common, creation)?;
    head(out, "zfsync_target_up", "Whether the target could be reached and listed.")?;
    for target in &status.targets {
        let labels = labels(status, &target.target);
        writeln!(out, "zfsync_target_up{{{labels}}} {}", u8::from(target.found.is_ok()))?;
    }
    head(out, "zfsync_status_timestamp_seconds", "When all this was found out.")?;
    writeln!(out, "zfsync_status_timestamp_seconds{{source=\"{}\"}} {now}", escape(status.source.as_str()))
}

fn gauge<T: Display>(
    status: &Status,
    out: &mut impl Write,
    name: &str,
    help: &str,
    value: impl Fn(&DatasetStatus) -> Option<T>,
) -> io::Result<()> {
    head(out, name, help)?;
    each(status, out, |row, labels, out| match value(row) {
        Some(value) => writeln!(out, "{name}{{{labels}}} {value}"),
        None => Ok(()),
    })
}

fn each<W: Write>(
    status: &Status,
    out: &mut W,
    mut line: impl FnMut(&DatasetStatus, &str, &mut W) -> io::Result<()>,
) -> io::Result<()> {
    for target in &status.targets {
        for row in target.found.iter().flatten() {
            let labels = format!("{},dataset=\"{}\"", labels(status, &target.target), escape(&row.dataset));
            line(row, &labels, out)?;
        }
    }
    Ok(())
}

fn head(out: &mut impl Write, name: &str, help: &str) -> io::Result<()> {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge")
}

fn labels(status: &Status, target: &str) -> String {
    format!("source=\"{}\",target=\"{}\"", escape(status.source.as_str()), escape(target))
}

/// A label's value: the format knows these three escapes.
pub(super) fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
