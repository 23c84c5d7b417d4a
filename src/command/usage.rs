//! What is wrong with a command line, as clap has found it: tips that lead on, and the command whose help tells more.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli;
use elsewhere::elsewhere;

mod elsewhere;

/// Commands that people know from other tools, or expect, and what zfsync has in their place.
const COMMANDS: [(&[&str], &str); 13] = [
    (&["version", "ver"], "the version is shown by 'zfsync --version'"),
    (
        &["replicate", "sync", "syncoid", "backup", "mirror", "copy", "cp", "transfer", "upload"],
        "'zfsync push SOURCE TARGET' replicates to another host or pool, 'zfsync pull SOURCE TARGET' from another host",
    ),
    (&["receive", "fetch", "download"], "'zfsync pull SOURCE TARGET' replicates from another host"),
    (
        &["list", "ls", "show", "info", "monitor", "progress"],
        "'zfsync status SOURCE TARGET' shows how far a target is behind, 'zfsync targets SOURCE' lists the known targets",
    ),
    (
        &["destroy", "delete", "expire", "clean", "cleanup", "purge", "thin", "rotate"],
        "'zfsync prune' destroys old snapshots by retention rules; what no longer exists on the source is destroyed on the target by 'zfsync \
         push --delete-missing'",
    ),
    (
        &["schedule", "timer", "daemon", "start", "serve", "service", "job", "jobs", "wakeup", "signal"],
        "there is no daemon: 'zfsync cron' is for a line of a crontab, and 'zfsync run' carries out the jobs of a configuration file, from a \
         timer of systemd for example",
    ),
    (
        &["config", "configcheck", "validate"],
        "'zfsync check-config' checks a configuration file and shows what its jobs would do",
    ),
    (
        &["check", "test", "init", "setup", "create", "probe"],
        "nothing has to be set up: 'zfsync doctor --source SOURCE TARGET' checks whether a first run would work",
    ),
    (&["compare", "diff", "scrub"], "'zfsync verify SOURCE TARGET' compares a copy with its source"),
    (&["snap", "take"], "'zfsync snapshot DATASET' takes snapshots"),
    (
        &["rollback", "revert", "recover"],
        "'zfsync restore COPY NEW' brings a copy back as a new dataset; 'zfsync push --rollback' rolls a target back",
    ),
    (
        &["hold", "release", "bookmark", "zfs-abstraction"],
        "'zfsync push' creates the bookmarks that it needs, and 'zfsync forget' removes them",
    ),
    (&["stdinserver"], "'zfsync recv --stdio' is the helper for a forced command; zfsync-recv(1) explains it"),
];

/// A command line that can't be carried out, or that asks for help.
pub struct Usage {
    error: clap::Error,
    /// As far as it was named.
    command: Option<String>,
}

impl Usage {
    /// `words` are the arguments of the process, without its name.
    pub fn new(mut error: clap::Error, words: &[String]) -> Self {
        let known = |word: &&String| cli::command().find_subcommand(word).is_some();
        let command = words.first().filter(known).cloned();
        let tip = match command.as_deref() {
            Some(command) => tip(command, &error, words),
            None => tip_for_command(&error),
        };
        if let Some(tip) = tip {
            for misleading in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::Usage] {
                error.remove(misleading);
            }
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        } else if error.kind() == ErrorKind::UnknownArgument && error.get(ContextKind::SuggestedArg).is_none() {
            // clap proposes to pass the option as a value, as if it were a dataset's name.
            error.remove(ContextKind::Suggested);
        }
        Self { error, command }
    }

    /// Whether it is an error, and not what was asked for.
    pub fn is_error(&self) -> bool {
        self.error.use_stderr()
    }

    /// Prints the help that was asked for.
    pub fn print(&self) {
        // A closed stdout is no reason to complain about help.
        let _ = self.error.print();
    }

    /// The text of an error; `ansi`: with colours.
    pub fn text(&self, ansi: bool) -> String {
        let text = self.error.render();
        let text = if ansi { text.ansi().to_string() } else { text.to_string() };
        // `zfsync` alone is answered by its help; all else begins as other errors do.
        if self.error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return text;
        }
        format!("zfsync: {}", self.with_command(&text))
    }

    /// clap's last line names `--help` alone.
    fn with_command(&self, text: &str) -> String {
        const LAST: &str = "For more information, try '";
        let place = text.rfind(LAST).and_then(|last| Some(last + text[last..].find("--help")?));
        let Some(place) = place else { return text.to_owned() };
        let command = self.command.as_ref().map_or_else(String::new, |command| format!("{command} "));
        format!("{}zfsync {command}{}", &text[..place], &text[place..])
    }
}

/// What is said of a word that is no command.
fn tip_for_command(error: &clap::Error) -> Option<String> {
    let ContextValue::String(word) = error.get(ContextKind::InvalidSubcommand)? else { return None };
    if word.contains(['/', ':']) {
        return Some("name a command first: 'zfsync push SOURCE TARGET' replicates to another host or pool".to_owned());
    }
    let found = COMMANDS.iter().find(|(words, _)| words.contains(&word.as_str()))?;
    Some(found.1.to_owned())
}

fn tip(command: &str, error: &clap::Error, words: &[String]) -> Option<String> {
    let is_helper = matches!(command, "send" | "recv");
    if is_helper && error.use_stderr() && !words.iter().any(|word| word == "--stdio") {
        let (side, from) = if command == "send" { ("source", "to") } else { ("target", "from") };
        let wanted = if command == "send" { "push" } else { "pull" };
        return Some(format!(
            "'zfsync {command}' is the helper that ssh starts on the {side}'s host: to replicate a dataset {from} another host, use \
             'zfsync {wanted}'"
        ));
    }
    if command == "doctor" && error.kind() == ErrorKind::MissingRequiredArgument {
        return Some(
            "name the target: HOST or HOST:DATASET, --local DATASET for one on this machine, or --job JOB of the configuration file".to_owned(),
        );
    }
    if matches!(command, "push" | "pull")
        && error.kind() == ErrorKind::MissingRequiredArgument
        && words.iter().any(|word| word == "-F")
    {
        return Some("-F names ssh's configuration file; for zfs receive -F see --rollback".to_owned());
    }
    let ContextValue::String(option) = error.get(ContextKind::InvalidArg)? else { return None };
    let is_bad_value = matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation);
    if command == "cron" && is_bad_value && option.starts_with("-h ") {
        return Some(
            "here -h is the number of hourly snapshots to keep; help is shown by 'zfsync cron -H' or --help".to_owned(),
        );
    }
    if is_helper || error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    if matches!(command, "push" | "pull") && !option.starts_with('-') {
        return Some(
            "there is one SOURCE and one TARGET: for several targets, use a command for each, or 'zfsync cron SOURCE TARGET...', or a job with \
             several targets in a configuration file"
                .to_owned(),
        );
    }
    if matches!(command, "cron" | "run") && matches!(option.as_str(), "-n" | "--dry-run") {
        return Some(
            "'zfsync check-config' shows what the jobs of a file do; 'zfsync push --dry-run' and 'zfsync prune --dry-run' show what would be done"
                .to_owned(),
        );
    }
    if option == "--sendoptions" {
        let letter = words.iter().find_map(|word| word.strip_prefix("--sendoptions="))?;
        return elsewhere(command, &format!("-{}", letter.trim_start_matches('-')));
    }
    if command == "doctor" && !option.starts_with('-') {
        return Some("the target is the only argument: name the source with --source SOURCE".to_owned());
    }
    elsewhere(command, option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(line: &str) -> Usage {
        let words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
        let all = std::iter::once("zfsync".to_owned()).chain(words.clone());
        Usage::new(cli::command().try_get_matches_from(all).unwrap_err(), &words)
    }

    #[test]
    fn a_tip_takes_the_place_of_what_misleads() {
        let text = usage("push --compress=zstd a b:c").text(false);
        assert!(text.starts_with("zfsync: error: unexpected argument '--compress' found\n"), "{text}");
        assert!(text.contains("tip: blocks that are compressed on disk") && !text.contains("--no-progress"), "{text}");
        for option in ["--source-bwlimit=10m", "--rate=10m"] {
            let text = usage(&format!("push {option} a b:c")).text(false);
            assert!(
                text.contains("tip: the bandwidth is limited by --bwlimit RATE") && !text.contains("--grace"),
                "{text}"
            );
        }
        let text = usage("push --delete a b:c").text(false);
        assert!(text.contains("is destroyed on the target by --delete-missing") && !text.contains("--max"), "{text}");
        assert!(!usage("push -Z a b:c").text(false).contains("tip:"));
        assert!(usage("push --rolback a b:c").text(false).contains("tip: a similar argument exists: '--rollback'"));
    }

    /// Nobody who asks for less is led to what destroys something.
    #[test]
    fn an_option_that_is_the_opposite_of_ours_is_left_out() {
        const NOTHING: &str =
            "tip: nothing on the target is rolled back, renamed or destroyed by default: leave this option out";
        for (line, tip) in [
            ("push --no-rollback a b:c", NOTHING),
            ("pull --no-rollback b:c a", NOTHING),
            ("push --no-clone-rollback a b:c", NOTHING),
            ("push --no-force a b:c", NOTHING),
            ("push --no-delete a b:c", NOTHING),
            ("push --no-delete-missing=all a b:c", NOTHING),
            ("push --no-set-aside a b:c", NOTHING),
            ("push --no-replace a b:c", NOTHING),
            ("push --no-follow-renames a b:c", NOTHING),
            ("push --no-decrypt a b:c", "tip: --decrypt has to be asked for: leave this option out"),
            (
                "push --no-allow-unencrypted a b:c",
                "tip: --allow-unencrypted has to be asked for: leave this option out",
            ),
            ("prune --no-verbose a --keep 1d", "tip: --verbose has to be asked for: leave this option out"),
            ("push --resume a b:c", "tip: that is the default, which --no-resume turns off: leave this option out"),
            ("push --bookmark a b:c", "tip: that is the default, which --no-bookmark turns off: leave this option out"),
            ("push --progress a b:c", "tip: that is the default, which --no-progress turns off: leave this option out"),
        ] {
            let text = usage(line).text(false);
            assert!(text.contains(tip) && text.matches("tip: ").count() == 1, "{line}: {text}");
        }
        // What takes a value has no such default.
        assert!(!usage("push --no-port a b:c").text(false).contains("has to be asked for"));
    }

    #[test]
    fn options_of_other_tools_lead_to_ours() {
        for (options, tip) in [
            ("--sshport --ssh-port --ssh-src-port --ssh-dst-port", "tip: the port of ssh is --port PORT"),
            ("--sshkey --ssh-key --ssh-identity", "tip: the key of ssh is --identity FILE"),
            (
                "--sshconfig --ssh-src-config-file --ssh-dst-config-file",
                "tip: ssh's configuration file is --ssh-config FILE",
            ),
            ("--sshoption --ssh-opts", "tip: an option of ssh is --ssh-option OPTION"),
            ("--sshcipher", "tip: --ssh-option Ciphers=CIPHER"),
            ("--no-stream", "tip: --newest-only"),
            ("--exclude-datasets --exclude-dataset --exclude-dataset-regex -X", "tip: --exclude GLOB"),
            ("--include-dataset --include-dataset-regex", "tip: --include GLOB"),
            ("--include-snaps --exclude-snaps --include-snapshot-regex", "tip: snapshots are not selected by name"),
            ("--use-hold --create-bookmark", "tip: bookmarks of what each target has"),
            ("--recvoptions --recv-options", "tip: received datasets are not mounted"),
            ("--keep-sync-snap --identifier", "tip: only snapshots that exist are sent"),
            ("--mbuffer-size --source-mbuffer --pv-options", "tip: no other programs are between"),
            ("--no-privilege-elevation --no-command-checks", "tip: zfs is run by the user"),
            ("--delete-dst-datasets --delete-dst-snapshots", "tip: what no longer exists on the source"),
            ("--force-rollback-to-latest-snapshot --force-once", "tip: choose what may be changed on the target"),
            ("--threads --jobs --parallel", "tip: --channels N"),
            ("--debug", "tip: --verbose"),
        ] {
            for option in options.split(' ') {
                let text = usage(&format!("push {option} a b:c")).text(false);
                assert!(text.contains(tip) && text.matches("tip: ").count() == 1, "{option}: {text}");
            }
        }
    }

    #[test]
    fn a_tip_names_no_option_that_the_command_lacks() {
        for (line, tip) in [
            ("push --threads 3 a b:c", true),
            ("status --threads 3 a b:c", false),
            ("status --sshport 3 a b:c", true),
            ("prune --no-stream a", false),
            ("status --no-sync-snap a b:c", true),
        ] {
            let text = usage(line).text(false);
            assert_eq!(text.matches("tip: ").count(), usize::from(tip), "{line}: {text}");
        }
    }

    #[test]
    fn commands_of_other_tools_lead_to_ours() {
        for (line, tip) in [
            ("version", "tip: the version is shown by 'zfsync --version'"),
            ("destroy tank@a", "tip: 'zfsync prune' destroys old snapshots"),
            ("sync tank b:tank", "tip: 'zfsync push SOURCE TARGET' replicates"),
            ("list", "tip: 'zfsync status SOURCE TARGET' shows"),
            ("schedule", "tip: there is no daemon"),
            ("tank/data b:tank/data", "tip: name a command first: 'zfsync push SOURCE TARGET'"),
        ] {
            let text = usage(line).text(false);
            assert!(text.contains(tip) && text.matches("tip: ").count() == 1, "{text}");
            assert!(text.starts_with("zfsync: error: unrecognized subcommand") && !text.contains("similar"), "{text}");
        }
        assert!(usage("psh").text(false).contains("a similar subcommand exists: 'push'"));
    }

    /// What a tip names is there, and a word that is a command needs no tip.
    #[test]
    fn tips_name_what_exists() {
        for (words, tip) in COMMANDS {
            for word in words {
                assert!(cli::command().find_subcommand(word).is_none(), "{word}");
            }
            for named in tip.split("'zfsync ").skip(1).filter_map(|rest| rest.split([' ', '\'']).next()) {
                assert!(named == "--version" || cli::command().find_subcommand(named).is_some(), "{named}");
            }
        }
    }

    #[test]
    fn one_target_is_one() {
        for line in ["push a b:c d:e", "pull b:a c d"] {
            let text = usage(line).text(false);
            assert!(text.contains("tip: there is one SOURCE and one TARGET") && text.contains("cron"), "{text}");
        }
        assert!(!usage("push a b:c --nope").text(false).contains("tip:"));
    }

    #[test]
    fn cron_says_what_its_h_is() {
        for line in ["cron -h", "cron -h p/a b:p/a", "cron p/a b:p/a -h", "cron -hx p/a b:p/a"] {
            let text = usage(line).text(false);
            assert!(text.contains("tip: here -h is the number of hourly snapshots to keep"), "{line}: {text}");
            assert!(text.contains("'zfsync cron -H'") && text.matches("tip: ").count() == 1, "{line}: {text}");
        }
        for line in ["cron -d x p/a b:p/a", "cron --channels x p/a b:p/a"] {
            assert!(!usage(line).text(false).contains("hourly"), "{line}");
        }
    }

    #[test]
    fn doctor_has_one_argument() {
        for (line, tip) in [
            ("doctor", "tip: name the target: HOST or HOST:DATASET, --local DATASET"),
            ("doctor p/a b:p/c", "tip: the target is the only argument: name the source with --source SOURCE"),
        ] {
            let text = usage(line).text(false);
            assert!(text.contains(tip), "{text}");
        }
    }

    #[test]
    fn options_with_another_meaning_have_a_tip() {
        for (line, tip) in [
            ("push -F p/a b:p/c", "tip: -F names ssh's configuration file; for zfs receive -F see --rollback"),
            ("push --sendoptions=w p/a b:p/c", "tip: encrypted datasets are sent raw by default"),
            ("run -n", "tip: 'zfsync check-config' shows"),
            ("cron --dry-run p/a b:p/c", "tip: 'zfsync check-config' shows"),
        ] {
            let text = usage(line).text(false);
            assert!(text.contains(tip), "{text}");
        }
    }

    #[test]
    fn a_count_has_limits() {
        for number in ["0", "65", "4x"] {
            let text = usage(&format!("push -j {number} a b:c")).text(false);
            assert!(text.contains("expected a number from 1 to 64"), "{text}");
        }
    }

    #[test]
    fn the_last_line_names_the_command() {
        for (line, last) in [("push -Z", "push --help"), ("cron a b -t 0", "cron --help"), ("psh", "--help")] {
            for ansi in [false, true] {
                let text = usage(line).text(ansi);
                assert!(text.trim_end().lines().last().unwrap().contains(&format!("zfsync {last}")), "{line}: {text}");
            }
        }
        assert!(!usage("").text(false).contains("For more information"));
    }
}
