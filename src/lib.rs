//! zfsync replicates trees of ZFS datasets to another host over SSH, fast and safe, without a daemon on either host. docs/design.md tells how the
//! parts fit together; the path of one dataset runs through the modules in the order in which they stand here.

mod backoff;
pub mod cli;
mod command;
pub mod complete;
pub mod config;
mod endpoint;
pub mod error;
mod exec;
mod file_thread;
mod format;
pub mod plan;
pub mod remote;
pub mod report;
mod safe_file;
#[cfg(test)]
#[path = "../tests/support/schema.rs"]
mod schema;
pub mod state;

use std::process::ExitCode;
use std::time::Duration;

use cli::Command;
use command::Outcome;
use error::StartError;

/// Does what the command line says. The helper takes its own path, which starts no runtime.
#[must_use]
pub fn run() -> ExitCode {
    if complete::asked() {
        return complete::complete();
    }
    match cli::parse() {
        Ok(cli::Cli { command: Command::Recv(args) }) => command::recv(args),
        Ok(cli::Cli { command: Command::Send(args) }) => command::send(args),
        Ok(cli) => carry_out(&cli.command).end().into(),
        Err(error) => {
            let words: Vec<String> =
                std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            Outcome::usage(error, &words).end().into()
        }
    }
}

/// Carries a command out, on the only runtime that a process has.
fn carry_out(command: &Command) -> Outcome {
    // Two threads, beside this one: the run loop, and what blocks it for a moment. The bytes move in threads of their own.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = StartError::System { what: "can't start the runtime", error };
            return Outcome::new(error.exit()).complain(&error.to_string());
        }
    };
    let outcome = runtime.block_on(command::run(command));
    // A listing that a signal has overtaken must not hold us up.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}
