//! `zfsync recv` and `zfsync send`: the helpers of both ends. Their stdout is the protocol's, their bytes move in threads, so they have neither an outcome to
//! show nor a runtime.

use std::process::ExitCode;

use crate::cli;

/// Serves until the sender is gone.
#[must_use]
pub fn recv(args: cli::Recv) -> ExitCode {
    helper::main_stdio(helper::Config { roots: args.root, allow: args.allow, ..helper::Config::default() })
}

/// Serves a pull until it is gone.
#[must_use]
pub fn send(args: cli::Send) -> ExitCode {
    let (roots, allow, side) = (args.root, args.allow, helper::Side::Sender);
    helper::main_stdio(helper::Config { roots, allow, side, ..helper::Config::default() })
}
