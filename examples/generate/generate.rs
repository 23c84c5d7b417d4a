//! Writes the man pages, shell completions and reference pages, each from one source, so that they can't disagree with it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use pages::Page;
use zfsync::{cli, complete};

mod configuration;
mod json;
mod keys;
mod pages;

/// Writes `man/`, `completions/` and two pages of `docs/` below `dir`.
pub fn generate(dir: &Path) -> Result<()> {
    let man = dir.join("man");
    fs::create_dir_all(&man).with_context(|| format!("can't make {}", man.display()))?;
    let mut top = command().disable_help_subcommand(true);
    top.build();
    for command in std::iter::once(&top).chain(top.get_subcommands()) {
        let page = Man::new(command.clone());
        let path = man.join(page.get_filename());
        let mut bytes = Vec::new();
        render(&page, command, &mut bytes).with_context(|| format!("can't write {}", path.display()))?;
        write(&path, bytes)?;
    }
    write(&man.join("zfsync.toml.5"), configuration::man())?;
    let docs = dir.join("docs");
    fs::create_dir_all(&docs).with_context(|| format!("can't make {}", docs.display()))?;
    write(&docs.join("configuration.md"), configuration::page())?;
    write(&docs.join("json.md"), json::page()?)?;
    let completions = dir.join("completions");
    fs::create_dir_all(&completions).with_context(|| format!("can't make {}", completions.display()))?;
    for (name, script) in complete::functions().context("can't make the completions")? {
        write(&completions.join(name), script)?;
    }
    Ok(())
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, content).with_context(|| format!("can't write {}", path.display()))
}

/// The command line without hidden commands, which some shells' generators would show.
fn command() -> clap::Command {
    let full = cli::command();
    let visible = full.get_subcommands().filter(|command| !command.is_hide_set());
    clap::Command::new("zfsync")
        .version(env!("CARGO_PKG_VERSION"))
        .about(full.get_about().cloned().unwrap_or_default())
        .subcommand_required(true)
        .subcommands(visible.cloned())
}

fn render(man: &Man, command: &clap::Command, out: &mut dyn Write) -> io::Result<()> {
    let name = command.get_name();
    let page = pages::of(name);
    let title = if name == "zfsync" { name.to_owned() } else { format!("zfsync-{name}") };
    // Date and version stay out: a release would change every page. The crate leaves an empty date out altogether, and
    // the version would take its place.
    writeln!(out, ".TH {title} 1 \"\" \"zfsync\" \"User Commands\"")?;
    man.render_name_section(out)?;
    let mut roff = Roff::default();
    roff.control("SH", ["SYNOPSIS"]).text([roman(page.usage)]);
    roff.to_writer(out)?;
    man.render_description_section(out)?;
    let mut roff = Roff::default();
    for text in page.description {
        roff.control("PP", []).text([roman(*text)]);
    }
    roff.to_writer(out)?;
    man.render_options_section(out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    }
    let mut roff = Roff::default();
    exits(&mut roff, page.exits);
    if page.environment {
        environment(&mut roff);
    }
    examples(&mut roff, command, &page);
    let commands = command.get_subcommands().map(|command| format!("zfsync-{}", command.get_name()));
    let see_also: Vec<String> = commands.chain(page.see_also.iter().map(ToString::to_string)).collect();
    see(&mut roff, &see_also);
    roff.to_writer(out)
}

fn exits(roff: &mut Roff, codes: &[(&str, &str)]) {
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in codes {
        roff.control("TP", []).text([bold(*code)]).text([roman(*meaning)]);
    }
}

fn environment(roff: &mut Roff) {
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in pages::ENVIRONMENT {
        roff.control("TP", []).text([bold(name)]).text([roman(meaning)]);
    }
}

/// The examples of `--help`, and those that only the page has.
fn examples(roff: &mut Roff, command: &clap::Command, page: &Page) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let all: Vec<(&str, &str)> = of_help(&help).chain(page.examples.iter().copied()).collect();
    if all.is_empty() {
        return;
    }
    roff.control("SH", ["EXAMPLES"]);
    for (what, line) in all {
        let mut letters = what.chars();
        roff.control("PP", []);
        if let Some(first) = letters.next() {
            roff.text([roman(format!("{}{}:", first.to_uppercase(), letters.as_str()))]);
        }
        roff.control("RS", ["4"]).control("nf", []).text([roman(line)]).control("fi", []).control("RE", []);
    }
}

/// What an example does, and its command line.
fn of_help(help: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1).take_while(|line| !line.is_empty());
    lines.map(|line| {
        let line = line.trim();
        line.split_once("  ").map_or(("", line), |(line, what)| (what.trim(), line))
    })
}

fn see(roff: &mut Roff, pages: &[String]) {
    roff.control("SH", ["SEE ALSO"]);
    let mut words = Vec::new();
    for (at, page) in pages.iter().enumerate() {
        let (name, section) = page.rsplit_once('.').unwrap_or((page, "1"));
        let comma = if at + 1 < pages.len() { ", " } else { "" };
        words.extend([italic(name), roman(format!("({section}){comma}"))]);
    }
    roff.text(words);
}
