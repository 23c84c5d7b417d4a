//! The `zfsync` command: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    zfsync::run()
}
