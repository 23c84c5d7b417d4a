//! Renews man/ and completions/: `cargo run --example generate -- .`

use std::path::Path;
use std::process::ExitCode;

// By its path, so that tests/generated.rs can have the same file.
#[path = "generate.rs"]
mod generate;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: cargo run --example generate -- DIRECTORY");
        return ExitCode::from(2);
    };
    match generate::generate(Path::new(&dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
