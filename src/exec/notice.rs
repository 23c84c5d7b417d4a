//! What a crontab's job keeps and prunes is told when it runs for the first time, and again when it has changed: its
//! defaults prune SOURCE without anybody having asked for it. So is that a copy keeps more than the rules say. That it was told is noted on
//! SOURCE.

use std::time::Duration;

use super::parts::{Further, Part};
use crate::config::{Branch, CronJob, PruneJob};
use crate::endpoint::Endpoint;
use crate::format::duration;
use crate::plan::{MissingPolicy, Rules};
use crate::report::view::jobs::rules_in_words;
use zfs::hash;

/// So long zfs may take for either question.
const LIMIT: Duration = Duration::from_secs(60);

/// What is to be told, unless it was. `is_new`: SOURCE had no own snapshot before, so that there can't be a note; where none can be
/// taken (the user may lack userprop) it is told then, and not in each run.
pub async fn notice(job: &CronJob, sender: &Endpoint, is_new: bool) -> Option<String> {
    let branch = job.branches.first().filter(|_| job.tells)?;
    let (property, value) = note(branch);
    let noted = sender.properties(&branch.source, Some(LIMIT)).await.unwrap_or_default();
    if noted.iter().any(|one| one.on == branch.source && one.name == property && one.value == value) {
        return None;
    }
    let noted = sender.set_property((&branch.source, None), &property, Some(value), Some(LIMIT)).await.is_ok();
    (noted || is_new).then(|| text(branch))
}

/// That copies keep snapshots for targets of their own, unless it was told; told anew when one has begun to do so again. Where no note
/// can be taken nothing is told, as that would be in each run.
pub async fn of_copies(branch: &Branch, sender: &Endpoint, parts: &[Part]) -> Vec<String> {
    let targets = branch.targets.iter().map(|push| push.ends.target.to_string());
    let all = targets.chain([branch.source.to_string()]);
    let further = parts.iter().filter_map(|part| part.further.as_ref());
    let further: Vec<&Further> = further.filter(|one| all.clone().any(|name| name == one.target)).collect();
    if further.is_empty() {
        return Vec::new();
    }
    let Ok(noted) = sender.properties(&branch.source, Some(LIMIT)).await else { return Vec::new() };
    let mut told = Vec::new();
    for Further { target, words } in further {
        let property = format!("zfsync:kept-{:016x}", hash::stable(target));
        let is_noted = noted.iter().any(|one| one.on == branch.source && one.name == property);
        let value = words.as_ref().map(|_| "1".to_owned());
        if is_noted == value.is_some() {
            continue;
        }
        let done = sender.set_property((&branch.source, None), &property, value, Some(LIMIT)).await;
        if let (Ok(()), Some(words)) = (done, words) {
            told.push(format!("zfsync: pruning {target}: {words}\n  This notice is printed once."));
        }
    }
    told
}

/// The note: jobs that have one SOURCE have different targets.
fn note(branch: &Branch) -> (String, String) {
    let targets: Vec<String> = branch.targets.iter().map(|push| push.ends.target_seen_from_source()).collect();
    let property = format!("zfsync:cron-{:016x}", hash::stable(&targets.join("\n")));
    let short = |prune: Option<&PruneJob>| prune.map_or_else(|| "all".to_owned(), |prune| in_short(&prune.rules));
    let clears = branch
        .targets
        .first()
        .and_then(|push| clears(&push.missing))
        .map_or_else(String::new, |what| format!("; {what}"));
    (property, format!("{}; {}{clears}", short(branch.prune.as_ref()), short(branch.prune_targets.first())))
}

/// What `--delete-missing` destroys on the targets; it is the same for all of them.
fn clears(missing: &MissingPolicy) -> Option<String> {
    let what = match (missing.datasets, missing.snapshots) {
        (true, true) => "datasets and snapshots that no longer exist there",
        (true, false) => "datasets that no longer exist there",
        (false, true) => "snapshots that no longer exist there",
        (false, false) => return None,
    };
    let grace = if missing.grace.is_zero() { "at once".into() } else { format!("after {}", duration(missing.grace)) };
    Some(format!("{what}, {grace}"))
}

fn in_short(rules: &Rules) -> String {
    let Rules { last, classes, periods } = rules;
    let all = [last.map(|last| last.to_string()), classes.as_ref().map(ToString::to_string)];
    let all = all.into_iter().chain([periods.as_ref().map(ToString::to_string)]);
    all.flatten().collect::<Vec<_>>().join(" ")
}

fn text(branch: &Branch) -> String {
    let source = &branch.source;
    let here = match &branch.prune {
        Some(prune) => format!("{} (-s, -m, -h, -d)", rules_in_words(prune)),
        None => "all".to_owned(),
    };
    let targets: Vec<String> = branch.targets.iter().map(|push| push.ends.target.to_string()).collect();
    let clears = branch.targets.first().and_then(|push| clears(&push.missing));
    let there = match (branch.prune_targets.first(), &clears) {
        (Some(prune), _) => rules_in_words(prune),
        (None, Some(_)) => "all received snapshots".to_owned(),
        (None, None) => "all received snapshots, forever".to_owned(),
    };
    let mut lines = vec![format!("zfsync: cron keeps these snapshots of {source}: {here}")];
    lines.extend(targets.iter().map(|target| format!("  on {target}: {there}")));
    if let Some(what) = clears {
        lines.push(format!("  --delete-missing destroys on the targets what is missing from {source}: {what}"));
    }
    if branch.prune_targets.is_empty() {
        lines.push(
            "  To prune the targets, too: --keep-targets 24h,7d,4w,12m, or --prune-targets for the same numbers."
                .into(),
        );
    }
    lines.push("  This notice is printed once, and again after a change.".into());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::cli;

    fn branch(flags: &[&str]) -> Branch {
        let command = cli::Cron::augment_args(clap::Command::new("cron"));
        let command = command.mut_arg("ssh_option", |option| option.short(None));
        let words = ["cron"].iter().chain(flags).chain(&["tank/data", "beta:b/data", "usb/data"]);
        let args = cli::Cron::from_arg_matches(&command.get_matches_from(words)).unwrap();
        CronJob::new(&args).unwrap().branches.remove(0)
    }

    #[test]
    fn both_sides_are_told() {
        assert_eq!(
            text(&branch(&[])),
            "zfsync: cron keeps these snapshots of tank/data: the newest 1 of class S, 4 of M, 3 of H and 2 of D (-s, -m, -h, -d)\n  \
             on beta:b/data: all received snapshots, forever\n  \
             on usb/data: all received snapshots, forever\n  \
             To prune the targets, too: --keep-targets 24h,7d,4w,12m, or --prune-targets for the same numbers.\n  \
             This notice is printed once, and again after a change."
        );
        let pruned = text(&branch(&["-d", "14", "--prune-targets", "--keep-targets", "24h,12m"]));
        let there = "  on usb/data: the newest 1 of class S, 4 of M, 3 of H and 14 of D, the newest of each of 24 hours, 12 months \
                     (UTC)\n  This notice is printed once";
        assert!(pruned.contains(there), "{pruned}");
    }

    #[test]
    fn what_delete_missing_destroys_is_said() {
        let clears = branch(&["--delete-missing", "both", "--grace", "7d"]);
        let words = text(&clears);
        assert!(!words.contains("for ever"), "{words}");
        assert!(
            words.contains("--delete-missing destroys on the targets what is missing from tank/data: datasets and snapshots that no longer exist there, after "),
            "{words}"
        );
        assert_ne!(note(&clears), note(&branch(&[])));
    }

    #[test]
    fn what_changes_is_told_again() {
        let (property, value) = note(&branch(&[]));
        assert_eq!(value, "s=1,m=4,h=3,d=2; all");
        assert!(property.starts_with("zfsync:cron-"), "{property}");
        let (same, other) = note(&branch(&["-d", "3", "--keep-targets", "24h,7d"]));
        assert_eq!((same, other.as_str()), (property, "s=1,m=4,h=3,d=3; 24h,7d"));
    }
}
