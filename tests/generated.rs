//! The committed man pages and completions are those that the command line's definition gives today.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use assert_cmd::cargo::cargo_bin_cmd;

#[path = "../examples/generate/generate.rs"]
mod generate;

/// The files of a directory with their content.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let file = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    entries.map(Result::unwrap).filter(|entry| entry.path().is_file()).map(file).collect()
}

/// Those of a directory without its folders.
fn committed(name: &str) -> BTreeMap<String, Vec<u8>> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
}

#[test]
fn committed_files_are_fresh() {
    let dir = tempfile::tempdir().unwrap();
    generate::generate(dir.path()).unwrap();
    for name in ["man", "completions"] {
        let (fresh, committed) = (files(&dir.path().join(name)), committed(name));
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            names(&committed),
            names(&fresh),
            "{name}/: run `cargo run --example generate -- .` and remove what is stale"
        );
        for (file, bytes) in &fresh {
            assert!(committed[file] == *bytes, "{name}/{file} is stale: run `cargo run --example generate -- .`");
        }
    }
    let (fresh, docs) = (files(&dir.path().join("docs")), committed("docs"));
    assert_eq!(fresh.keys().collect::<Vec<_>>(), ["configuration.md", "json.md"]);
    for (file, bytes) in &fresh {
        assert!(docs.get(file) == Some(bytes), "docs/{file} is stale: run `cargo run --example generate -- .`");
    }
}

#[test]
fn a_release_changes_no_file() {
    for (name, bytes) in committed("man").into_iter().chain(committed("completions")) {
        let page = String::from_utf8(bytes).unwrap();
        assert!(!page.contains(env!("CARGO_PKG_VERSION")), "{name}");
    }
}

#[test]
fn hidden_commands_stay_hidden() {
    for (name, bytes) in committed("man").into_iter().chain(committed("completions")) {
        assert!(!name.contains("generate"), "{name}");
        assert!(!String::from_utf8(bytes).unwrap().contains("generate"), "{name}");
    }
}

#[test]
fn pages_have_all_sections_and_options() {
    let page = String::from_utf8(committed("man").remove("zfsync-push.1").unwrap()).unwrap();
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"]
    {
        assert!(
            page.lines().any(|line| line.strip_prefix(".SH ").is_some_and(|rest| rest.trim_matches('"') == section)),
            "{section}"
        );
    }
    // What --help offers stands in the page.
    let help = cargo_bin_cmd!("zfsync").args(["push", "--help"]).assert().success();
    let help = String::from_utf8(help.get_output().stdout.clone()).unwrap();
    let options = help
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .map(|word| word.trim_end_matches([',', ';', '.']));
    let mut seen = 0;
    for option in options {
        assert!(page.contains(&format!("\\-\\-{}", option.replace('-', "\\-"))), "--{option}");
        seen += 1;
    }
    assert!(seen >= 18, "{seen} options");
}

/// Each command has its own title, examples and exit codes.
#[test]
fn each_page_is_of_its_command() {
    let commands = committed("man").into_iter().filter(|(name, _)| name != "zfsync.toml.5");
    for (name, bytes) in commands {
        let page = String::from_utf8(bytes).unwrap().replace("\\-", "-");
        let title = name.strip_suffix(".1").unwrap();
        assert!(page.starts_with(&format!(".TH {title} 1 ")), "{name}");
        let examples = page.split(".SH EXAMPLES").nth(1).unwrap_or_else(|| panic!("{name} has no examples"));
        let command = title.replacen('-', " ", 1);
        let own = examples.lines().any(|line| line.contains(&format!("{command} ")) || line == "zfsync run");
        assert!(own, "{name}: {examples}");
        assert!(page.contains("EXIT STATUS"), "{name}");
    }
    let page = |name: &str| String::from_utf8(committed("man").remove(name).unwrap()).unwrap();
    assert!(page("zfsync-send.1").contains("broke the protocol") && !page("zfsync-send.1").contains("in conflict"));
    assert!(page("zfsync-pull.1").contains("in conflict") && !page("zfsync-pull.1").contains("\nzfsync push"));
}

#[test]
fn pages_render_without_complaints() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    for name in committed("man").keys() {
        let rendered = Command::new("man")
            .args(["--warnings", "-l"])
            .arg(dir.join(name))
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "100")
            .stdin(Stdio::null())
            .output();
        let rendered = match rendered {
            Ok(rendered) => rendered,
            Err(error) => return eprintln!("skipped: no man here ({error})"),
        };
        let (text, complaints) = (String::from_utf8_lossy(&rendered.stdout), String::from_utf8_lossy(&rendered.stderr));
        assert!(rendered.status.success() && complaints.is_empty(), "{name}: {complaints}");
        assert!(text.contains("SEE ALSO"), "{name}: {text}");
    }
}

/// The page of the configuration file has each key, in bold.
#[test]
fn the_configuration_file_has_a_page() {
    let page = String::from_utf8(committed("man").remove("zfsync.toml.5").unwrap()).unwrap().replace("\\-", "-");
    assert!(page.starts_with(".TH zfsync.toml 5 "), "{page}");
    for key in ["source", "keep.grid", "keep-targets.last", "ssh.remote-zfsync", "hook-timeout"] {
        assert!(page.contains(&format!("\n\\fB{key}\\fR = ")), "{key}: {page}");
    }
}
