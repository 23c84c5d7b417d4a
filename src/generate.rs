//! Writes the man pages and shell completions from the command line's own definition, so that they can't disagree.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use crate::cli::Cli;

/// What the exit codes of a run mean.
const EXITS: [(&str, &str); 6] = [
    ("0", "All selected datasets are in sync. Datasets without snapshots are only mentioned."),
    ("1", "Some dataset failed or is in conflict; the others are done."),
    ("2", "Usage error, or SOURCE and TARGET overlap. Nothing was started."),
    ("3", "The run could not start: connection, authentication, listing, or the helper, zfs or the pool is missing."),
    ("4", "Another run on this machine works on the same TARGET."),
    ("130, 143", "Ended by SIGINT; by SIGTERM or SIGHUP."),
];

/// What the exit codes of the helper mean.
const HELPER_EXITS: [(&str, &str); 3] = [
    ("0", "The sender closed the connection in good order."),
    ("1", "The connection broke, or what came over it made no sense."),
    ("2", "Usage error."),
];

const EXAMPLES: [(&str, &str); 5] = [
    ("The tree tank/data, over ssh:", "zfsync push tank/data backup:pool/data"),
    ("Only show what would be done, with sizes:", "zfsync push -n tank/data root@[fd00::2]:pool/data"),
    ("To another pool of this machine, without some datasets:", "zfsync push --exclude '**/tmp' tank usb/tank"),
    (
        "With a key of its own, another port, and sudo over there:",
        "zfsync push -i ~/.ssh/backup -p 2222 --remote-zfsync 'sudo zfsync' tank/data me@backup:pool/data",
    ),
    (
        "From cron, with mail only if something is wrong:",
        "15 * * * *  root  /usr/local/bin/zfsync push -q tank/data backup:pool/data",
    ),
];

const PUSH: [&str; 3] = [
    "SOURCE's own content goes to the dataset that TARGET names, and the datasets below SOURCE go below it. Missing \
     datasets above TARGET are created; the pool must be there. HOST is a name, an alias of ssh_config or an address, \
     IPv6 in brackets.",
    "Nothing on the target is rolled back, overwritten, renamed or destroyed. A dataset that can't be brought in sync \
     without that is reported as a conflict, the others go on, and the exit code is 1.",
    "What is received stays unmounted; the top of a new tree is read-only. Encrypted datasets stay encrypted on the way \
     and on the target, unless --decrypt is given.",
];

const RECV: [&str; 1] =
    ["A sender starts this command on the target host and speaks a protocol with it. It ends when its stdin does."];

/// Writes `man/` and `completions/` below `dir`.
pub fn generate(dir: &Path) -> Result<()> {
    let man = dir.join("man");
    fs::create_dir_all(&man).with_context(|| format!("can't make {}", man.display()))?;
    let mut top = command();
    top.build();
    for command in std::iter::once(&top).chain(top.get_subcommands()) {
        let page = Man::new(command.clone());
        let path = man.join(page.get_filename());
        let mut bytes = Vec::new();
        render(&page, command.get_name(), &mut bytes)
            .and_then(|()| fs::write(&path, &bytes))
            .with_context(|| format!("can't write {}", path.display()))?;
    }
    let completions = dir.join("completions");
    fs::create_dir_all(&completions).with_context(|| format!("can't make {}", completions.display()))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command(), "zfsync", &completions)
            .with_context(|| format!("can't write into {}", completions.display()))?;
    }
    Ok(())
}

/// The command line without hidden commands, which some shells' generators would show.
fn command() -> clap::Command {
    let full = Cli::command();
    let visible = full.get_subcommands().filter(|command| !command.is_hide_set());
    clap::Command::new("zfsync")
        .version(env!("CARGO_PKG_VERSION"))
        .about(full.get_about().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .subcommands(visible.cloned())
}

fn render(page: &Man, name: &str, out: &mut dyn Write) -> io::Result<()> {
    let (title, usage, described): (_, _, &[&str]) = match name {
        "push" => ("zfsync-push", "zfsync push [OPTION]... SOURCE [[USER@]HOST:]TARGET", &PUSH),
        "recv" => ("zfsync-recv", "zfsync recv --stdio", &RECV),
        _ => ("zfsync", "zfsync COMMAND [ARGUMENT]...", &[]),
    };
    // Date and version stay out: a release would change every page. The crate leaves an empty date out altogether, and
    // the version would take its place.
    writeln!(out, ".TH {title} 1 \"\" \"zfsync\" \"User Commands\"")?;
    page.render_name_section(out)?;
    let mut roff = Roff::default();
    roff.control("SH", ["SYNOPSIS"]).text([roman(usage)]);
    roff.to_writer(out)?;
    page.render_description_section(out)?;
    let mut roff = Roff::default();
    for text in described {
        roff.control("PP", []).text([roman(*text)]);
    }
    roff.to_writer(out)?;
    page.render_options_section(out)?;
    let mut roff = Roff::default();
    match name {
        "push" => {
            exits(&mut roff, &EXITS);
            environment(&mut roff);
            examples(&mut roff);
            see_also(
                &mut roff,
                &[("zfsync", "1"), ("ssh", "1"), ("ssh_config", "5"), ("zfs-send", "8"), ("zfs-receive", "8")],
            );
        }
        "recv" => {
            exits(&mut roff, &HELPER_EXITS);
            see_also(&mut roff, &[("zfsync", "1"), ("zfsync-push", "1"), ("zfs-receive", "8")]);
        }
        _ => {
            page.render_subcommands_section(out)?;
            exits(&mut roff, &EXITS);
            examples(&mut roff);
            see_also(&mut roff, &[("zfsync-push", "1"), ("zfsync-recv", "1"), ("ssh", "1"), ("zfs", "8")]);
        }
    }
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
    for (name, meaning) in [
        ("PATH", "Where zfs and ssh are looked for; for zfs also in /sbin, /usr/sbin and /usr/local/sbin."),
        (
            "XDG_RUNTIME_DIR",
            "Where the lock and ssh's control sockets go; /run without it, or the directory for temporary files.",
        ),
        ("NO_COLOR", "No colours when it is set."),
    ] {
        roff.control("TP", []).text([bold(name)]).text([roman(meaning)]);
    }
}

fn examples(roff: &mut Roff) {
    roff.control("SH", ["EXAMPLES"]);
    for (what, line) in EXAMPLES {
        roff.control("PP", []).text([roman(what)]);
        roff.control("RS", ["4"]).control("nf", []).text([roman(line)]).control("fi", []).control("RE", []);
    }
}

fn see_also(roff: &mut Roff, pages: &[(&str, &str)]) {
    roff.control("SH", ["SEE ALSO"]);
    let mut words = Vec::new();
    for (at, (name, section)) in pages.iter().enumerate() {
        let comma = if at + 1 < pages.len() { ", " } else { "" };
        words.extend([italic(*name), roman(format!("({section}){comma}"))]);
    }
    roff.text(words);
}
