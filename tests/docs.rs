//! The documents: links lead somewhere, the README stays short, and options, keys and messages that they name exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::cargo::cargo_bin_cmd;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages for users and for whoever works on it.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|ext| ext == "md")).collect();
    pages.extend(["README.md", "SECURITY.md", "CONTRIBUTING.md", "dist/README.md"].map(|name| root().join(name)));
    pages.sort();
    pages
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let kept =
        heading.to_lowercase().chars().filter(|ch| ch.is_alphanumeric() || " -_".contains(*ch)).collect::<String>();
    kept.replace(' ', "-")
}

fn anchors(page: &Path) -> BTreeSet<String> {
    let text = read(page);
    let headings = prose(&text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut seen = 0;
    for page in pages() {
        let text = read(&page);
        for link in prose(&text).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, place) = link.split_once('#').map_or((link, None), |(file, place)| (file, Some(place)));
            let file = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(file.exists(), "{}: {link} leads nowhere", page.display());
            if let Some(place) = place {
                assert!(anchors(&file).contains(place), "{}: {link}: no such heading", page.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen} links");
}

#[test]
fn the_readme_is_short_and_leads_to_every_page() {
    let readme = read(&root().join("README.md"));
    let words = readme.split_whitespace().count();
    assert!(words <= 1500, "{words} words");
    let index = read(&root().join("docs/README.md"));
    for page in pages().iter().filter(|page| page.parent().unwrap() == root().join("docs")) {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || index.contains(&format!("({name})")), "docs/README.md doesn't lead to {name}");
    }
}

/// All options of all commands.
fn options() -> BTreeSet<String> {
    let mut options = BTreeSet::new();
    for entry in fs::read_dir(root().join("man")).unwrap() {
        let page = read(&entry.unwrap().path()).replace("\\-", "-").replace("\\fR", " ").replace("\\fB", " ");
        options.extend(words_with_dashes(&page));
    }
    assert!(options.len() > 60, "{}", options.len());
    options
}

fn words_with_dashes(text: &str) -> Vec<String> {
    let starts = text.match_indices("--").map(|(at, _)| at).filter(|at| {
        text[..*at].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && !"-#/".contains(before))
    });
    let option = |at: usize| {
        let rest = &text[at + 2..];
        let end = rest.find(|ch: char| !ch.is_ascii_lowercase() && ch != '-').unwrap_or(rest.len());
        rest[..end].trim_end_matches('-').to_owned()
    };
    starts.map(option).filter(|option| !option.is_empty()).collect()
}

#[test]
fn every_option_of_zfsync_that_is_named_exists() {
    let known = options();
    for page in pages() {
        let text = read(&page);
        for line in text.lines() {
            let at_start = line.trim_start().strip_prefix("# ").unwrap_or(line.trim_start()).strip_prefix("zfsync ");
            for command in line.split("`zfsync ").skip(1).chain(at_start) {
                let command = command.split(['`', '#']).next().unwrap_or_default();
                for option in words_with_dashes(command) {
                    assert!(known.contains(&option), "{}: --{option} is no option: {line}", page.display());
                }
            }
        }
    }
}

#[test]
fn every_key_of_the_configuration_file_is_documented() {
    let page = read(&root().join("docs/configuration.md"));
    // What an unknown key could have been is what check-config knows.
    let source = read(&root().join("src/config/file.rs"));
    let table = source.split("pub struct Table {").nth(1).unwrap().split("\n}").next().unwrap();
    let keys = table.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
    let mut seen = 0;
    for key in keys.map(|key| key.replace('_', "-")) {
        let there = [format!("| `{key}` |"), format!("| `{key}.")].iter().any(|cell| page.contains(cell));
        assert!(there, "docs/configuration.md doesn't have {key}");
        seen += 1;
    }
    assert!(seen > 30, "{seen} keys");
}

#[test]
fn the_readme_has_the_exit_codes_of_push() {
    let readme = read(&root().join("README.md"));
    let help = cargo_bin_cmd!("zfsync").arg("--help").assert().success();
    let help = String::from_utf8(help.get_output().stdout.clone()).unwrap();
    for code in ["0", "1", "2", "3", "4", "130"] {
        assert!(readme.contains(&format!("\n| {code}")) && help.contains(code), "{code}");
    }
}

/// All sources of the program and its helper, on one line each: what a string breaks over several lines is put together.
fn sources() -> String {
    let mut all = String::new();
    let mut open = vec![root().join("src"), root().join("crates")];
    while let Some(dir) = open.pop() {
        for path in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = read(&path);
                let joined = text.split("\\\n").map(str::trim_start).collect::<Vec<_>>();
                all += &joined.concat();
            }
        }
    }
    all
}

#[test]
fn every_message_of_troubleshooting_exists() {
    // Those of ssh(1) are its own.
    let of_ssh = [
        "Permission denied (publickey",
        "Host key verification failed",
        "Could not resolve hostname",
        "Connection refused",
        "Connection timed out",
        "No route to host",
    ];
    let sources = sources();
    let page = read(&root().join("docs/troubleshooting.md"));
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let mut seen = 0;
    for message in rows.flat_map(|cell| cell.split('`').step_by(2)) {
        assert!(of_ssh.contains(&message) || sources.contains(message), "no message has {message:?}");
        seen += 1;
    }
    assert!(seen > 40, "{seen} messages");
}

/// Sentences of a page, without code; cells of tables stand for themselves.
fn sentences(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for line in prose(text) {
        let begins = line.trim_start().starts_with(['-', '|', '#', '*']) || line.trim().is_empty();
        match parts.last_mut() {
            Some(part) if !begins => part.extend([" ", line.trim()]),
            _ => parts.push(line.trim().to_owned()),
        }
    }
    let cells = parts.iter().flat_map(|part| part.split(" | "));
    let sentences = cells.flat_map(|cell| cell.split(". "));
    sentences.map(|sentence| sentence.trim_matches([' ', '|', '-', '*', '.']).to_lowercase()).collect()
}

#[test]
fn no_sentence_stands_on_two_pages() {
    let mut seen = std::collections::BTreeMap::new();
    for page in pages() {
        let long = |sentence: &String| sentence.split_whitespace().count() >= 8;
        for sentence in sentences(&read(&page)).into_iter().filter(long) {
            let other = seen.entry(sentence.clone()).or_insert_with(|| page.clone());
            assert!(*other == page, "{} and {}: {sentence}", other.display(), page.display());
        }
    }
    assert!(seen.len() > 300, "{} sentences", seen.len());
}

#[test]
fn every_configuration_that_is_shown_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for page in pages() {
        for block in read(&page).split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            let head = if block.contains("[job.") { "" } else { "[job.shown]\nsource = \"tank/data\"\n" };
            let file = dir.path().join("zfsync.toml");
            fs::write(&file, format!("{head}{block}")).unwrap();
            cargo_bin_cmd!("zfsync").args(["check-config", "--config"]).arg(&file).assert().success();
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} files");
}

/// tests/vm/picture records it again.
#[test]
fn the_picture_shows_a_run_as_it_looks() {
    assert!(read(&root().join("README.md")).contains("](docs/run.svg)"));
    let picture = read(&root().join("docs/run.svg"));
    assert!(picture.len() < 200_000, "{} bytes", picture.len());
    // Without fonts, scripts and pictures from elsewhere.
    assert_eq!(picture.matches("http").count(), 1, "only the name of its format");
    assert_eq!(picture.matches('<').count(), picture.matches('>').count());
    for text in ["zfsync push apool/data beta:bpool/data", " datasets in sync (7 updated), 7 snapshots, ", "100%"] {
        assert!(picture.contains(text), "{text}");
    }
}
