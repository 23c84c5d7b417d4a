//! zfsync replicates trees of ZFS datasets to another host over SSH: fast, safe, agentless. docs/design.md tells how the
//! parts fit together; the path of one dataset runs through the modules in the order in which they stand here.

pub mod cli;
pub mod config;
pub mod error;
mod exec;
mod generate;
pub mod name;
pub mod plan;
pub mod remote;
pub mod report;
pub mod zfs;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use cli::{Cli, Command};
use config::PushJob;
use error::{Exit, StartError};
use report::Style;

/// Does what the command line says. The helper takes its own path, which starts no runtime.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed stdout is no reason to complain about help.
            let _ = error.print();
            let code = if error.use_stderr() { Exit::Usage } else { Exit::InSync };
            return code.into();
        }
    };
    match cli.command {
        Command::Push(args) => push(&args).into(),
        Command::Recv(_) => remote::helper::main_stdio(remote::helper::Config::default()),
        Command::Generate { dir } => match generate::generate(&dir) {
            Ok(()) => Exit::InSync.into(),
            Err(error) => {
                complain(&format!("{error:#}"));
                Exit::NotStarted.into()
            }
        },
    }
}

fn push(args: &cli::Push) -> Exit {
    report::init_tracing(args.verbose, args.quiet);
    match try_push(args) {
        Ok(exit) => exit,
        Err(error) => {
            complain(&error.to_string());
            if error.exit() == Exit::Usage {
                eprintln!("For more information, try 'zfsync push --help'.");
            }
            error.exit()
        }
    }
}

fn try_push(args: &cli::Push) -> Result<Exit, StartError> {
    let job = PushJob::new(args)?;
    let terminal = report::terminal() && std::io::stderr().is_terminal();
    let style = Style::choose(args.quiet, args.json, args.no_progress, terminal);
    let system = |error| StartError::System { what: "can't start the runtime", error };
    // Two threads: the run loop, and what blocks it for a moment. The bytes move in threads of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(system)?;
    let mut reporter = report::reporter(style, args.verbose);
    let result = runtime.block_on(exec::push(job, args.json, reporter.as_mut()));
    // A listing that a signal has overtaken must not hold us up.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

fn complain(error: &str) {
    eprintln!("zfsync: error: {}", report::format::sanitise(error));
}
