//! `zfsync-helper`: what zfsync needs on another host, and nothing else. Small enough to be sent along.

use std::io::{self, Write};
use std::process::ExitCode;

use helper::command_line::{self, Command};
use helper::wire::PROTOCOL;

/// As `zfsync` has it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    // What isn't UTF-8 is understood nowhere, but shown.
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    match command_line::parse(words) {
        Ok(Command::Serve(config)) => helper::main_stdio(config),
        Ok(Command::Version) => print(&format!("zfsync-helper {} (protocol {PROTOCOL})\n", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Help) => print(command_line::HELP),
        Err(error) => {
            // Whoever reads stderr may be gone.
            let _ = writeln!(
                io::stderr(),
                "zfsync-helper: error: {error}\nFor more information, try 'zfsync-helper --help'."
            );
            ExitCode::from(USAGE)
        }
    }
}

/// Prints to a reader that may be gone: Rust's own `print!` would panic.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
