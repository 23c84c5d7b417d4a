//! What the jobs of a configuration file would do, in plain words.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use crate::cli::LogFormat;
use crate::config::{Branch, CronJob, HookCommand, Hooks, PruneJob, When};
use crate::format::{about, rate, sanitise};
use crate::plan::MissingPolicy;
use crate::remote::link::End;

/// All jobs, with a blank line between two.
#[must_use]
pub fn text(jobs: &[CronJob]) -> String {
    jobs.iter().map(job).collect::<Vec<_>>().join("\n")
}

fn job(job: &CronJob) -> String {
    let mut lines = Vec::new();
    match &job.snapshot {
        Some(snapshot) => {
            let zone = if snapshot.naming.zone == TimeZone::UTC { "UTC" } else { "local time" };
            let changed = if snapshot.if_changed { ", if something was written since the newest one" } else { "" };
            lines.push(format!("takes snapshots named {} ({zone}){changed}", snapshot.naming.format));
        }
        None => lines.push("takes no snapshots".into()),
    }
    for branch in &job.branches {
        lines.extend(branch_lines(branch));
    }
    lines.extend(hook_lines(&job.hooks));
    if let Some(log) = &job.log {
        let form = if log.format == LogFormat::Json { ", as JSON lines" } else { "" };
        lines.push(format!("logs all events to {}{form}", log.path.display()));
    }
    if let Some(dir) = job.branches.iter().flat_map(|branch| &branch.targets).find_map(|push| push.state_dir.as_ref()) {
        lines.push(format!("saves the last results in {}", dir.display()));
    }
    if let Some(limit) = job.limit {
        lines.push(format!("is stopped after {}", about(limit)));
    }
    let mut text = format!("{}\n", job.label());
    for line in lines {
        let _ = writeln!(text, "  {}", sanitise(&line));
    }
    text
}

fn branch_lines(branch: &Branch) -> Vec<String> {
    let source = match &branch.origin.host {
        Some(host) => format!("{host}:{}", branch.source),
        None => branch.source.to_string(),
    };
    let mut lines = Vec::new();
    let pruned = |what: &str, prune: Option<&PruneJob>| match prune {
        Some(prune) => format!("prunes {what}: keeps {}{}", rules_in_words(prune), heeds(prune)),
        None => format!("prunes nothing on {what}"),
    };
    if branch.targets.is_empty() {
        lines.push(format!("has no targets for {source}"));
    }
    for push in &branch.targets {
        let what = match (push.filter.depth(), push.filter.is_everything()) {
            (Some(0), _) => "alone",
            (_, true) => "with all datasets below",
            (_, false) => "with some of the datasets below",
        };
        let empty = if push.skip_empty { ", skipping snapshots without changes" } else { "" };
        let plain = if push.allow_unencrypted { ", including unencrypted datasets below encrypted ones" } else { "" };
        lines.push(format!(
            "replicates {source}, {what}{empty}{plain}, to {}, {} streams at a time",
            place(&push.ends.target),
            push.channels
        ));
    }
    if let Some(push) = branch.targets.first() {
        lines.extend(
            push.pace
                .as_ref()
                .map(|pace| format!("sends {} at most, to all targets together", rate(pace.per_second().get()))),
        );
        lines.extend(missing(&push.missing));
    }
    lines.push(pruned(&source, branch.prune.as_ref()));
    if !branch.targets.is_empty() {
        lines.push(pruned("its targets", branch.prune_targets.first()));
    }
    lines
}

/// Where a target is: a name without a host may be one whose colon was forgotten.
fn place(target: &End) -> String {
    match (target.host(), target.dataset.as_str()) {
        (Some(_), _) => target.to_string(),
        (None, pool) if !pool.contains('/') => format!("the pool {pool} on this machine"),
        (None, dataset) => format!("{dataset} on this machine"),
    }
}

fn missing(missing: &MissingPolicy) -> Option<String> {
    let mut does = Vec::new();
    if missing.follow_renames {
        does.push("follows renames".to_owned());
    }
    let what = match (missing.datasets, missing.snapshots) {
        (true, true) => Some("datasets and snapshots"),
        (true, false) => Some("datasets"),
        (false, true) => Some("snapshots"),
        (false, false) => None,
    };
    if let Some(what) = what {
        let when = if missing.grace.is_zero() { "at once".into() } else { format!("after {}", about(missing.grace)) };
        does.push(format!("destroys on the target what no longer exists on the source: {what}, {when}"));
    }
    (!does.is_empty()).then(|| does.join("; "))
}

fn heeds(prune: &PruneJob) -> &'static str {
    if prune.only_named_targets { "; considers only these targets" } else { "" }
}

/// What stays by the rules.
#[must_use]
pub fn rules_in_words(prune: &PruneJob) -> String {
    let rules = &prune.rules;
    let zone = || if prune.zone == TimeZone::UTC { "UTC" } else { prune.zone.iana_name().unwrap_or("local time") };
    let all = [
        rules.classes.as_ref().map(|classes| format!("the newest {}", classes.words())),
        rules.last.map(|last| format!("the newest {last}")),
        rules.periods.as_ref().map(|periods| format!("the newest of each of {} ({})", periods.words(), zone())),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn hook_lines(hooks: &Hooks) -> Vec<String> {
    let line = |(when, command): &(When, HookCommand)| {
        format!("{} hook: {command} ({} at most)", when.key(), about(hooks.timeout))
    };
    hooks.commands.iter().map(line).collect()
}
