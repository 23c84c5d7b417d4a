//! The commands, a file each: what a command line asks for is checked, done, and told as an [`Outcome`]. Here nothing is printed
//! and no runtime is made.

mod check_config;
mod cron;
mod direct;
mod doctor;
mod forget;
mod helper;
pub mod outcome;
mod prune;
mod push;
mod recv;
mod restore;
mod run;
mod snapshot;
mod status;
mod targets;
mod usage;
mod verify;

pub use outcome::Outcome;
pub use recv::{recv, send};

use crate::cli::{Command, LogTo};
use crate::config::Log;
use crate::error::StartError;
use crate::report;
use crate::report::lines::LogFile;

/// Does what a command line asks for.
pub async fn run(command: &Command) -> Outcome {
    if let Some((verbose, quiet)) = talk(command) {
        report::init_tracing(verbose, quiet);
    }
    let (name, done) = match command {
        Command::Push(args) => ("push", push::push(args).await),
        Command::Pull(args) => ("pull", push::push(&args.push).await),
        Command::Cron(args) => ("cron", cron::cron(args).await),
        Command::Run(args) => ("run", run::run(args).await),
        Command::CheckConfig(args) => ("check-config", check_config::check_config(args)),
        Command::Snapshot(args) => ("snapshot", snapshot::snapshot(args).await),
        Command::Prune(args) => ("prune", prune::prune(args).await),
        Command::Status(args) => ("status", status::status(args).await),
        Command::Targets(args) => ("targets", targets::targets(args).await),
        Command::Forget(args) => ("forget", forget::forget(args).await),
        Command::Doctor(args) => ("doctor", doctor::doctor(args).await),
        Command::Helper(args) => ("helper", helper::helper(args).await),
        Command::Verify(args) => ("verify", verify::verify(args).await),
        Command::Restore(args) => ("restore", restore::restore(args).await),
        Command::Direct(_) => ("direct", direct::direct().await),
        // They have a way of their own.
        Command::Recv(_) | Command::Send(_) => ("recv", Ok(Outcome::default())),
    };
    done.unwrap_or_else(|error| Outcome::not_done(name, &error))
}

/// The log that the options ask for, for what is called so; a dry run has none.
async fn log_file(args: &LogTo, job: &str, dry_run: bool) -> Result<Option<LogFile>, StartError> {
    match Log::new(args.log_file.as_ref(), args.log_format, "--log-file")?.filter(|_| !dry_run) {
        Some(log) => LogFile::open(&log, job).await.map(Some),
        None => Ok(None),
    }
}

/// Lines for a log: there each has its own beginning.
fn for_a_log<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(|line| line.strip_prefix("zfsync: ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// How much is said of what goes on, where anything is.
fn talk(command: &Command) -> Option<(u8, bool)> {
    let of = |talk: &crate::cli::Talk| Some((talk.verbose, talk.quiet));
    match command {
        Command::Push(args) => of(&args.output.talk),
        Command::Pull(args) => of(&args.push.output.talk),
        Command::Restore(args) => of(&args.output.talk),
        Command::Verify(args) => of(&args.output.talk),
        Command::Snapshot(args) => of(&args.talk),
        Command::Prune(args) => of(&args.talk),
        Command::Cron(args) => Some((args.verbose, args.verbose == 0)),
        Command::Run(args) => Some((args.verbose, args.verbose == 0)),
        Command::Status(args) => Some((args.verbose, false)),
        Command::Targets(_) | Command::Doctor(_) | Command::Helper(_) | Command::Direct(_) => Some((0, false)),
        Command::Forget(args) => Some((0, args.quiet)),
        Command::CheckConfig(_) | Command::Recv(_) | Command::Send(_) => None,
    }
}
