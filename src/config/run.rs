//! The jobs of a configuration file: read, checked, chosen by name.

use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use super::Log;
use super::cron::{Branch, CronJob, Wish};
use super::file::{self, File, Keep, Table};
use super::hooks::{Hooks, When};
use super::trust;
use crate::cli;
use crate::error::{Excerpt, FileError, StartError};
use crate::plan::{Format, Rules};
use crate::remote::target::Target;
use zfs::text::os_words;

/// A file that is longer is none for us.
const MAX_BYTES: u64 = 1 << 20;
/// Names that are further apart aren't mistakes for each other.
const NEAR: f64 = 0.75;
/// So many keys are shown where none is like the unknown one; more would hide the message.
const FEW_KEYS: usize = 8;
/// A longer line, in bytes, isn't shown.
const LONGEST_EXCERPT: usize = 200;
/// serde's words for a list that isn't one.
const NO_LIST: &str = ", expected a sequence";

/// What the parser says of a text that is no TOML, by its beginning, and what that means.
const SYNTAX: [(&str, &str); 8] = [
    ("invalid boolean, expected `", "expected true, false, or text in quotes"),
    ("string values must be quoted", "expected a value: true, false, a number, a [list], or text in quotes"),
    ("invalid literal string, expected `'`", "the text has no closing quote '"),
    ("invalid basic string, expected `\"`", "the text has no closing quote \""),
    ("missing escaped value, expected", "a backslash stands for itself only in '...', or doubled: \\\\"),
    ("unexpected leading zero", "a number can't begin with 0"),
    ("unquoted keys cannot be empty", "expected KEY = VALUE"),
    ("key with no value, expected `=`", "expected KEY = VALUE"),
];

/// Where in the file something stands.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// In the header of this table.
    Header(&'a str),
    /// Below it.
    Below(&'a str),
    /// Above all headers.
    Outside,
}

/// The text of a file, for errors that know their place.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn error(&self, at: Option<Range<usize>>, job: Option<&str>, words: String) -> FileError {
        let line = at.as_ref().and_then(|at| self.text.get(..at.start)).map(|before| before.matches('\n').count() + 1);
        let excerpt = at.and_then(|at| self.excerpt(at));
        FileError { path: self.path.to_owned(), line, job: job.map(ToOwned::to_owned), words, excerpt }
    }

    /// The line in which a part of the text begins; a part of several lines is marked in the first alone.
    fn excerpt(&self, at: Range<usize>) -> Option<Excerpt> {
        let (before, rest) = (self.text.get(..at.start)?, self.text.get(at.start..)?);
        let before = before.rsplit('\n').next()?.to_owned();
        let rest = rest.lines().next().unwrap_or_default();
        let (part, after) = rest.split_at_checked(at.len()).unwrap_or((rest, ""));
        let whole = before.len() + rest.len() <= LONGEST_EXCERPT;
        whole.then(|| Excerpt { before, part: part.to_owned(), after: after.to_owned() })
    }

    /// What the parser says, in our words.
    fn parse_error(&self, error: &toml::de::Error) -> FileError {
        let job = error.span().and_then(|at| self.job_at(at.start));
        let words = match (error.message().trim(), error.span().and_then(|at| self.text.get(at))) {
            ("duplicate key", Some(key)) => self.twice(error.span().map_or(0, |at| at.start), key.trim()),
            (message, _) => plainer(message, error.span().map_or(Place::Outside, |at| self.place(at.start))),
        };
        self.error(error.span(), job.as_deref(), words)
    }

    /// What stands there a second time.
    fn twice(&self, at: usize, key: &str) -> String {
        match self.place(at) {
            Place::Header(table) => format!("duplicate table [{table}]: write all of its keys below one header"),
            Place::Below(table) => format!("duplicate key {key} in [{table}]: write it once"),
            Place::Outside => format!("duplicate key {key}: write it once"),
        }
    }

    /// In which table a place is: the last header up to there tells.
    fn place(&self, at: usize) -> Place<'_> {
        let end = self.text.get(at..).and_then(|rest| rest.find('\n')).map_or(self.text.len(), |more| at + more);
        let is_header = |line: &&str| line.trim_start().starts_with('[');
        let mut lines = self.text.get(..end).unwrap_or_default().lines().rev();
        let last = lines.next();
        let is_in_header = last.as_ref().is_some_and(is_header);
        let header = last.into_iter().chain(lines).find(is_header);
        let name = header.and_then(|line| line.trim_start().trim_start_matches('[').split(']').next());
        match name.map(str::trim) {
            Some(name) if is_in_header => Place::Header(name),
            Some(name) => Place::Below(name),
            None => Place::Outside,
        }
    }

    /// The job whose table is open at a place.
    fn job_at(&self, at: usize) -> Option<String> {
        let (Place::Header(table) | Place::Below(table)) = self.place(at) else { return None };
        let name = table.strip_prefix("job.")?;
        let name = name.split('.').next()?.trim().trim_matches(['"', '\'']);
        (!name.is_empty()).then(|| name.to_owned())
    }
}

/// What a value should have been, for one of another type; `None` where the parser's words do.
fn expected(message: &str) -> Option<String> {
    if message == "wanted string or table" {
        return Some("expected text in quotes".into());
    }
    if let Some((_, known)) = message.strip_prefix("unknown variant `").and_then(|rest| rest.split_once("`, expected "))
    {
        let known: Vec<String> = known.split('`').skip(1).step_by(2).map(|name| format!("{name:?}")).collect();
        return Some(format!("expected {}", known.join(" or ")));
    }
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (_, wanted) = rest.rsplit_once(", expected ")?;
    let wanted = match wanted {
        "u32" | "usize" => "a whole number, 0 or more",
        "u16" => "a whole number from 1 to 64",
        "a nonzero u16" => "a whole number from 1 to 65535",
        "a boolean" => "true or false",
        "a string" | "path string" => "text in quotes",
        "a map" => "a table",
        // Our own words.
        ours if ours.starts_with("a table: ") || ours.starts_with("a command, ") || ours.starts_with("a number, ") => {
            ours
        }
        _ => return None,
    };
    Some(format!("expected {wanted}"))
}

/// An unknown key gets the one that may have been meant, or the known ones if they are few.
fn plainer(message: &str, place: Place<'_>) -> String {
    if let Some(text) = message.strip_prefix("invalid type: string ").and_then(|rest| rest.strip_suffix(NO_LIST)) {
        return format!("expected a list: [{text}]");
    }
    if let Some(words) = expected(message) {
        return words;
    }
    if let Some((_, words)) = SYNTAX.iter().find(|(theirs, _)| message.starts_with(theirs)) {
        return (*words).to_owned();
    }
    let parts = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once("`, expected "));
    let Some((key, known)) = parts else { return message.replace('\n', ": ") };
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let hint = match nearest(key, &known) {
        Some(near) => format!(": did you mean {near:?}?"),
        None if known == ["defaults", "job"] => ": keys belong below [defaults] or [job.NAME]".to_owned(),
        None if known.len() <= FEW_KEYS => format!(" (the keys here: {})", known.join(", ")),
        None => String::new(),
    };
    match place {
        Place::Header(table) => format!("unknown table [{table}]{hint}"),
        Place::Below(table) => format!("unknown key {key:?} in [{table}]{hint}"),
        Place::Outside => format!("unknown key {key:?}{hint}"),
    }
}

/// The name that may have been meant.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|known| (likeness(name, known), *known));
    let best = near.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (best.0 >= NEAR).then_some(best.1)
}

/// 1 for the same; a single slip of the fingers counts little, even in a short name.
fn likeness(one: &str, other: &str) -> f64 {
    let slip = one.chars().count() > 2 && strsim::damerau_levenshtein(one, other) == 1;
    strsim::jaro_winkler(one, other).max(if slip { 0.9 } else { 0.0 })
}

/// Reads the file and gives all jobs in its order, checked.
pub fn read(path: &Path) -> Result<Vec<CronJob>, StartError> {
    let failed = |words: String| {
        StartError::Config(vec![FileError { path: path.to_owned(), line: None, job: None, words, excerpt: None }])
    };
    let mut bytes = Vec::new();
    let cant = |error: std::io::Error| failed(format!("can't read the file: {}", os_words(&error)));
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed(format!(
            "can't read the file: {}: create it (zfsync.toml(5)), or name another one with --config",
            os_words(&error)
        )),
        _ => cant(error),
    })?;
    (&file).take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(cant)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(failed("the file is larger than 1 MiB, which is the limit".into()));
    }
    let text =
        String::from_utf8(bytes).map_err(|error| failed(format!("the file is not UTF-8: {}", error.utf8_error())))?;
    let jobs = parse(path, &text).map_err(StartError::Config)?;
    if let Some(job) = jobs.iter().find(|job| runs_commands(job))
        && let Some(why) = trust::distrusted(path, &file).map_err(cant)?
    {
        return Err(failed(format!("job {} runs commands, but {why}", job.label())));
    }
    Ok(jobs)
}

/// Whether whoever writes the file has us run what he likes: hooks, and commands that ssh starts for its options.
fn runs_commands(job: &CronJob) -> bool {
    let pushes = job.branches.iter().flat_map(|branch| &branch.targets);
    let mut ways =
        pushes.flat_map(|push| [&push.ends.source.link.ssh, &push.ends.target.link.ssh]).chain([&job.origin.ssh]);
    !job.hooks.commands.is_empty() || ways.any(|ssh| !ssh.options.is_empty() || ssh.config.is_some())
}

/// The jobs of a file's text; all errors that can be found at once.
fn parse(path: &Path, text: &str) -> Result<Vec<CronJob>, Vec<FileError>> {
    let source = Source { path, text };
    let file: File = toml::from_str(text).map_err(|error| vec![source.parse_error(&error)])?;
    let mut tables: Vec<_> = file.job.into_iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    if tables.is_empty() {
        return Err(vec![source.error(None, None, "no job is defined: add a table [job.NAME]".into())]);
    }
    let (mut jobs, mut errors): (Vec<CronJob>, Vec<FileError>) = (Vec::new(), Vec::new());
    for (name, table) in tables {
        let (at, name) = (name.span(), name.into_inner());
        let job = deletes_too(&table, &file.defaults).and_then(|()| job(&name, table.or(&file.defaults)));
        match job.and_then(|job| no_clash(&jobs, &job).map(|()| job)) {
            Ok(job) => jobs.push(job),
            Err(words) => errors.push(source.error(Some(at), Some(&name), words)),
        }
    }
    if errors.is_empty() { Ok(jobs) } else { Err(errors) }
}

/// Two sources can't have one target.
fn no_clash(jobs: &[CronJob], new: &CronJob) -> Result<(), String> {
    for branch in &new.branches {
        for target in branch.targets.iter().map(|push| &push.ends.target) {
            let other = jobs.iter().find(|job| {
                let same = |other: &Branch| other.source == branch.source && other.origin.host == branch.origin.host;
                let mut others = job.branches.iter().filter(|other| !same(other));
                others.any(|other| other.targets.iter().any(|push| push.ends.target.same_place(target)))
            });
            if let Some(other) = other {
                return Err(format!("job {} already has the target {target}, for another source", other.label()));
            }
        }
    }
    Ok(())
}

/// A job's own rules about what is deleted need that something is, as on the command line. Those of the defaults are for whichever
/// job deletes.
fn deletes_too(own: &Table, defaults: &Table) -> Result<(), String> {
    let deletes = own.delete_missing.or(defaults.delete_missing).is_some();
    let rules = [("grace", own.grace.is_some()), ("max-delete", own.max_delete.is_some())];
    match rules.into_iter().find(|(_, is_set)| *is_set && !deletes) {
        Some((key, _)) => Err(format!(
            "{key} needs delete-missing: add delete-missing = \"snapshots\" (or \"datasets\", \"both\"), or leave {key} out"
        )),
        None => Ok(()),
    }
}

/// One job, checked.
fn job(name: &str, table: Table) -> Result<CronJob, String> {
    let plain = |ch: char| ch.is_ascii_alphanumeric() || matches!(ch, '-' | '_' | '.');
    if !name.chars().all(plain) || !name.starts_with(|ch: char| ch.is_ascii_alphanumeric()) {
        return Err(
            "a job's name may only contain letters, digits, '-', '_' and '.', and must start with a letter or digit"
                .into(),
        );
    }
    let hooks = hooks(&table)?;
    let limit = positive("job-timeout", table.job_timeout.map(|time| time.0))?;
    let log = Log::new(table.log.as_ref(), table.log_format, "log").map_err(|error| error.to_string())?;
    let wish = wish(table)?;
    let mut job = CronJob::build(wish).map_err(|error| error.to_string())?;
    (job.name, job.hooks, job.limit) = (name.to_owned(), hooks, limit);
    Ok(job.logging(log))
}

fn wish(table: Table) -> Result<Wish, String> {
    let (sources, below) = sources_of(table.source, table.sources)?;
    let host = sources.first().and_then(|first| first.host.clone());
    let sources = sources.into_iter().map(|source| source.dataset).collect();
    let snapshot = table.snapshot;
    let naming = cli::Naming {
        format: snapshot.format.map_or_else(Format::default, |format| format.0),
        local_time: snapshot.local_time.unwrap_or(false),
    };
    let faults = super::Faults::default();
    let time = |own: Option<super::file::Time>, default: Duration| own.map_or(default, |time| time.0);
    Ok(Wish {
        host,
        sources,
        below,
        targets: table.targets.unwrap_or_default().into_iter().map(|target| target.0).collect(),
        snapshot: snapshot.enabled.unwrap_or(true),
        if_changed: snapshot.if_changed.unwrap_or(false),
        skip_empty: table.skip_empty.unwrap_or(false),
        trust_source: table.trust_source.unwrap_or(false),
        allow_unencrypted: table.allow_unencrypted.unwrap_or(false),
        allow_unproven_bookmarks: table.allow_unproven_bookmarks.unwrap_or(false),
        keep: table.keep.map(|keep| rules("keep", keep)).transpose()?,
        keep_targets: table.keep_targets.map(|keep| rules("keep-targets", keep)).transpose()?,
        time_zone: table.time_zone.map(|zone| zone.0),
        only_named_targets: table.only_named_targets.unwrap_or(false),
        selection: cli::Selection {
            recursive: false,
            depth: table.depth,
            no_recursive: table.recursive == Some(false),
            include: table.include.unwrap_or_default(),
            exclude: table.exclude.unwrap_or_default(),
        },
        faults: cli::Faults {
            retries: table.retries.unwrap_or(faults.retries),
            retry_max_wait: time(table.retry_max_wait, faults.retry_max_wait),
            stall_timeout: time(table.stall_timeout, faults.stall_timeout.unwrap_or_default()),
            wait_lock: time(table.wait_lock, faults.wait_lock),
        },
        missing: cli::Missing {
            delete_missing: table.delete_missing,
            grace: table.grace.map(|time| time.0),
            max_delete: table.max_delete,
            follow_renames: table.follow_renames.unwrap_or(false),
        },
        channels: table.channels.map_or(4, |channels| channels.0),
        bwlimit: table.bwlimit.map(|rate| rate.0),
        ssh: way(table.ssh),
        source_ssh: table.source_ssh.map(way),
        direct: cli::Direct {
            direct: table.direct.unwrap_or(false),
            forward_agent: table.forward_agent.unwrap_or(false),
        },
        naming,
        state_dir: table.state_dir,
    })
}

/// The sources of a job, all on one host, and whether each of them goes below a target.
fn sources_of(one: Option<file::Source>, several: Option<Vec<file::Source>>) -> Result<(Vec<Target>, bool), String> {
    let (sources, below): (Vec<Target>, bool) = match (one, several) {
        (Some(_), Some(_)) => return Err("give either source or sources, not both".into()),
        (None, None) => return Err("source is missing".into()),
        (Some(source), None) => (vec![source.0], false),
        (None, Some(sources)) if sources.is_empty() => return Err("sources is empty".into()),
        (None, Some(sources)) => (sources.into_iter().map(|source| source.0).collect(), true),
    };
    if sources.windows(2).any(|pair| pair[0].host != pair[1].host) {
        return Err("all sources of a job must be on the same host: use a job for each host".into());
    }
    Ok((sources, below))
}

fn way(ssh: super::file::Ssh) -> cli::Ssh {
    cli::Ssh {
        port: ssh.port.map(Into::into),
        identity: ssh.identity,
        ssh_config: ssh.config,
        ssh_option: ssh.options.unwrap_or_default(),
        remote_zfsync: ssh.remote_zfsync,
        remote_zfs: ssh.remote_zfs,
        helper: ssh.helper.map(|text| text.0),
    }
}

fn rules(key: &str, keep: Keep) -> Result<Rules, String> {
    let Keep { classes, last, grid } = keep;
    let rules = Rules { last, classes: classes.map(|text| text.0), periods: grid.map(|text| text.0) };
    if rules.is_empty() {
        return Err(format!(
            "no retention rule in {key}: set at least one of classes, last and grid (without one, every snapshot that is not protected would \
             be destroyed)"
        ));
    }
    Ok(rules)
}

fn hooks(table: &Table) -> Result<Hooks, String> {
    let all = [
        (When::PreSnapshot, &table.pre_snapshot),
        (When::PostSnapshot, &table.post_snapshot),
        (When::PrePush, &table.pre_push),
        (When::PostPush, &table.post_push),
        (When::OnSuccess, &table.on_success),
        (When::OnFailure, &table.on_failure),
    ];
    let commands = all.into_iter().filter_map(|(when, command)| Some((when, command.clone()?)));
    let timeout = positive("hook-timeout", table.hook_timeout.map(|time| time.0))?.unwrap_or(Hooks::TIMEOUT);
    Ok(Hooks { commands: commands.collect(), timeout })
}

fn positive(key: &str, time: Option<Duration>) -> Result<Option<Duration>, String> {
    if time.is_some_and(|time| time.is_zero()) {
        return Err(format!("{key} must be greater than 0"));
    }
    Ok(time)
}

/// The jobs of a file that are named. What can only be a path is no job's name.
pub fn jobs(path: &Path, names: &[String]) -> Result<Vec<CronJob>, StartError> {
    if let Some(file) =
        names.iter().find(|name| name.contains('/') || Path::new(name).extension() == Some("toml".as_ref()))
    {
        return Err(StartError::Usage(format!(
            "{file:?} is no job's name: to name the configuration file, use --config {file}"
        )));
    }
    choose(read(path)?, names)
}

/// The jobs that are named, each once, in the order of the file; all of them when none is.
fn choose(jobs: Vec<CronJob>, names: &[String]) -> Result<Vec<CronJob>, StartError> {
    let known: Vec<&str> = jobs.iter().map(CronJob::label).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let near = nearest(unknown, &known).map(|near| format!(": did you mean {near:?}?")).unwrap_or_default();
        return Err(StartError::Usage(format!("there is no job {unknown:?}{near} (jobs: {})", known.join(", "))));
    }
    let wanted = |job: &CronJob| names.is_empty() || names.iter().any(|name| name == job.label());
    Ok(jobs.into_iter().filter(wanted).collect())
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
