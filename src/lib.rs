//! zfsync replicates trees of ZFS datasets to another host over SSH, fast and safe, without a daemon on either host. docs/design.md tells how the
//! parts fit together; the path of one dataset runs through the modules in the order in which they stand here.

pub mod cli;
pub mod config;
pub mod error;
mod exec;
mod generate;
pub mod plan;
pub mod remote;
pub mod report;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use cli::Command;
use config::{CronJob, Log, PruneJob, PushJob, SnapshotJob, StatusJob, VerifyJob, choose_jobs, read_jobs};
use error::{Exit, StartError};
use report::Style;
use report::log_file::LogFile;

/// Does what the command line says. The helper takes its own path, which starts no runtime.
#[must_use]
pub fn run() -> ExitCode {
    let code = run_command();
    report::output::finish();
    code
}

fn run_command() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed stdout is no reason to complain about help.
            if error.use_stderr() {
                let look = if std::io::stderr().is_terminal() {
                    error.render().ansi().to_string()
                } else {
                    error.render().to_string()
                };
                // As all other errors begin.
                let _ = write!(report::output::stderr(), "{}{look}", if is_help(&error) { "" } else { "zfsync: " });
            } else {
                let _ = error.print();
            }
            let code = if error.use_stderr() { Exit::Usage } else { Exit::InSync };
            return code.into();
        }
    };
    match cli.command {
        Command::Push(args) => push(&args).into(),
        Command::Cron(args) => cron(&args).into(),
        Command::Run(args) => run_jobs(&args).into(),
        Command::CheckConfig(args) => check_config(&args).into(),
        Command::Prune(args) => prune(&args).into(),
        Command::Snapshot(args) => snapshot(&args).into(),
        Command::Status(args) => status(&args).into(),
        Command::Targets(args) => targets(&args).into(),
        Command::Forget(args) => forget(&args).into(),
        Command::Restore(args) => restore(&args).into(),
        Command::Verify(args) => verify(&args).into(),
        Command::Recv(args) => {
            helper::main_stdio(helper::Config { roots: args.root, allow: args.allow, silence: None })
        }
        Command::Generate { dir } => match generate::generate(&dir) {
            Ok(()) => Exit::InSync.into(),
            Err(error) => {
                complain(&format!("{error:#}"));
                Exit::NotStarted.into()
            }
        },
    }
}

/// `zfsync` alone is answered by its help.
fn is_help(error: &clap::Error) -> bool {
    error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

fn push(args: &cli::Push) -> Exit {
    report::init_tracing(args.output.talk.verbose, args.output.talk.quiet);
    ended("push", PushJob::new(args).and_then(|job| try_push(job, args)))
}

fn cron(args: &cli::Cron) -> Exit {
    report::init_tracing(args.verbose, args.verbose == 0);
    let done = CronJob::new(args).and_then(|job| exec::cron(&job)).map(|report| {
        if report.exit != Exit::InSync || args.verbose > 0 {
            let _ = write!(report::output::stderr(), "{}", report.text);
        }
        report.exit
    });
    ended("cron", done)
}

fn run_jobs(args: &cli::Run) -> Exit {
    report::init_tracing(args.verbose, args.verbose == 0);
    let chosen = read_jobs(&args.config).and_then(|jobs| choose_jobs(jobs, &args.jobs));
    let done = chosen.and_then(|jobs| {
        exec::jobs(&jobs, args.job_timeout, |report| {
            if report.exit != Exit::InSync || args.verbose > 0 {
                let _ = write!(report::output::stderr(), "{}", report.text);
            }
        })
    });
    ended("run", done)
}

fn check_config(args: &cli::CheckConfig) -> Exit {
    let told = read_jobs(&args.config).and_then(|jobs| choose_jobs(jobs, &args.jobs)).map(|jobs| {
        // Nobody may be left to read it; the file is fine.
        let _ = write!(std::io::stdout(), "{}", report::jobs::text(&jobs));
        Exit::InSync
    });
    ended("check-config", told)
}

fn prune(args: &cli::Prune) -> Exit {
    report::init_tracing(args.talk.verbose, args.talk.quiet);
    ended("prune", try_prune(args))
}

fn snapshot(args: &cli::Snapshot) -> Exit {
    report::init_tracing(args.talk.verbose, args.talk.quiet);
    let say = exec::snapshot::Say { verbose: args.talk.verbose > 0, quiet: args.talk.quiet };
    ended("snapshot", SnapshotJob::new(args).and_then(|job| exec::snapshot::snapshot(&job, say)))
}

fn status(args: &cli::Status) -> Exit {
    report::init_tracing(args.verbose, false);
    ended("status", try_status(args))
}

fn verify(args: &cli::Verify) -> Exit {
    report::init_tracing(args.output.talk.verbose, args.output.talk.quiet);
    ended("verify", try_verify(args))
}

fn targets(args: &cli::Targets) -> Exit {
    report::init_tracing(0, false);
    ended("targets", try_targets(args))
}

fn forget(args: &cli::Forget) -> Exit {
    report::init_tracing(0, args.quiet);
    ended("forget", try_forget(args))
}

/// Tells why a command did not start.
fn ended(command: &str, result: Result<Exit, StartError>) -> Exit {
    result.unwrap_or_else(|error| {
        complain(&error.to_string());
        if error.exit() == Exit::Usage && !matches!(error, StartError::File(_)) {
            let _ = writeln!(report::output::stderr(), "For more information, try 'zfsync {command} --help'.");
        }
        error.exit()
    })
}

fn restore(args: &cli::Restore) -> Exit {
    report::init_tracing(args.output.talk.verbose, args.output.talk.quiet);
    ended("restore", PushJob::restore(args).and_then(|job| try_push(job, &args.push(&args.copy))))
}

fn try_push(job: PushJob, args: &cli::Push) -> Result<Exit, StartError> {
    let said = &args.output;
    let terminal = report::terminal() && std::io::stderr().is_terminal();
    let style = Style::choose(said.talk.quiet, said.json, said.no_progress, terminal);
    let shown = report::reporter(style, said.talk.verbose);
    let (source, label) = (job.source.to_string(), job.target.to_string());
    let log = Log::new(args.log.log_file.as_ref(), args.log.log_format, "--log-file")?;
    let log = log.filter(|_| !job.dry_run).map(|log| LogFile::open(&log, &source)).transpose()?;
    let mut reporter = report::logged(shown, log.as_ref(), &label);
    let restored = job.restore.is_some().then(|| job.clone());
    let pushed = block_on(async {
        if let Some(job) = &restored {
            exec::restore::before(job, reporter.as_mut()).await;
        }
        exec::push(job, said.json, reporter.as_mut()).await
    });
    if let (Some(log), Err(error)) = (log, &pushed) {
        log.note(&label, &error.to_string());
    }
    drop(reporter);
    report::output::finish();
    if let (Some(job), Ok(Exit::InSync), false) = (restored, &pushed, said.talk.quiet || said.json || args.dry_run) {
        let next = block_on(async { Ok(exec::restore::next_steps(&job).await) })?;
        let _ = writeln!(report::output::stderr(), "{next}");
    }
    match pushed {
        // Whoever reads the events has not seen all of them, perhaps not the end.
        Ok(Exit::InSync) if said.json && report::output::stdout().lost() => {
            complain("stdout was closed or not read: not all events could be written; the run itself went well");
            Ok(Exit::Failed)
        }
        pushed => pushed,
    }
}

fn try_prune(args: &cli::Prune) -> Result<Exit, StartError> {
    let pruned = block_on(exec::prune(&PruneJob::new(args)?))?;
    report::output::finish();
    let (mut list, mut words) = (std::io::stdout().lock(), std::io::stderr().lock());
    let printed = pruned.print(args.talk.verbose, args.talk.quiet, &mut list, &mut words);
    printed.map_err(|error| StartError::System { what: "can't print the list", error })?;
    Ok(exec::prune_exit(&pruned))
}

fn try_status(args: &cli::Status) -> Result<Exit, StartError> {
    let status = block_on(exec::status(&StatusJob::all(args)?))?;
    let form = report::status::Form::choose(args.json, args.prometheus, args.verbose > 0);
    report::status::print(&status, form)
        .map_err(|error| StartError::System { what: "can't print the status", error })?;
    for nothing in status.iter().filter_map(plan::Status::nothing) {
        complain(&nothing.to_string());
    }
    Ok(exec::status_exit(&status))
}

fn try_targets(args: &cli::Targets) -> Result<Exit, StartError> {
    let targets = block_on(exec::targets(&config::targets_of(args)?))?;
    let mut out = Vec::new();
    if args.json { targets.json(&mut out) } else { targets.text(&mut out) }
        .map_err(|error| StartError::System { what: "can't print the targets", error })?;
    // Nobody may be left to read it.
    let _ = std::io::stdout().write_all(&out);
    Ok(Exit::InSync)
}

fn try_forget(args: &cli::Forget) -> Result<Exit, StartError> {
    let forgotten = block_on(exec::forget(&config::ForgetJob::new(args)?))?;
    for words in &forgotten.failures {
        complain(&format!("it could not be dropped: {words}"));
    }
    if !args.quiet && forgotten.failures.is_empty() {
        let mut out = Vec::new();
        let told = forgotten.text(&mut out).and_then(|()| std::io::stdout().write_all(&out));
        // The same.
        let _ = told;
    }
    Ok(if forgotten.failures.is_empty() { Exit::InSync } else { Exit::Failed })
}

fn try_verify(args: &cli::Verify) -> Result<Exit, StartError> {
    let said = &args.output;
    let job = VerifyJob::new(args)?;
    let mut progress = report::verify::progress(!(said.talk.quiet || said.json || said.no_progress));
    let rows = block_on(exec::verify(&job, progress.as_mut()))?;
    let form = if said.json {
        report::verify::Form::Json
    } else {
        report::verify::Form::Text { all: said.talk.verbose > 0, quiet: said.talk.quiet }
    };
    let (source, target) = (job.link.source.to_string(), job.link.target.to_string());
    report::verify::print(&source, &target, &rows, form)
        .map_err(|error| StartError::System { what: "can't print the comparison", error })?;
    if !rows.iter().any(|row| row.agreement == plan::Agreement::Same) && rows.iter().all(plan::Compared::is_fine) {
        complain("nothing to compare: no selected dataset has a copy with its newest snapshot");
    }
    Ok(if plan::is_a_copy(&rows, args.content) { Exit::InSync } else { Exit::Failed })
}

fn block_on<T>(work: impl Future<Output = Result<T, StartError>>) -> Result<T, StartError> {
    let system = |error| StartError::System { what: "can't start the runtime", error };
    // Two threads: the run loop, and what blocks it for a moment. The bytes move in threads of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(system)?;
    let result = runtime.block_on(work);
    // A listing that a signal has overtaken must not hold us up.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

fn complain(error: &str) {
    // A closed stderr is no reason for another exit code.
    let _ = writeln!(report::output::stderr(), "zfsync: error: {}", report::format::sanitise(error));
}
