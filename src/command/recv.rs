//! `zfsync recv`: the helper. Its stdout is the protocol's, its bytes move in threads, so it has neither an outcome to show nor a
//! runtime.

use std::process::ExitCode;

use crate::cli;

/// Serves until the sender is gone.
#[must_use]
pub fn recv(args: cli::Recv) -> ExitCode {
    helper::main_stdio(helper::Config { roots: args.root, allow: args.allow, silence: None })
}
