//! The keys of the configuration file as docs/configuration.md and as zfsync.toml(5).

use std::fmt::Write as _;

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::keys::{ABOUT, Default, EXAMPLE, GROUPS, Key};

/// Other pages than those of zfsync.
const SEE_ALSO: [(&str, &str); 6] = [
    ("zfsync-run", "1"),
    ("zfsync-check-config", "1"),
    ("zfsync-cron", "1"),
    ("ssh_config", "5"),
    ("systemd.timer", "5"),
    ("crontab", "5"),
];

/// The page of docs/.
pub fn page() -> String {
    let mut text = String::from(
        "# Configuration file\n\n<!-- Written by `cargo run --example generate` from examples/generate/keys.rs, as zfsync.toml(5) is. -->\n\n`zfsync run` carries out the jobs of \
         `/etc/zfsync.toml`, or of the file that `--config` names; `zfsync check-config` shows what they would do, or what is wrong with \
         the file. [Jobs](jobs.md) explains how to set them up. The man page zfsync.toml(5) has the same content as this page.\n\n",
    );
    for paragraph in ABOUT {
        let _ = writeln!(text, "{paragraph}\n");
    }
    for group in GROUPS {
        let _ = writeln!(text, "## {}\n", group.title);
        if !group.about.is_empty() {
            let _ = writeln!(text, "{}\n", group.about);
        }
        text.push_str("| key | value | default | meaning | example |\n|---|---|---|---|---|\n");
        for key in group.keys {
            let Key { name, kind, meaning, .. } = key;
            let example = format!("`{}`", key.example);
            let _ = writeln!(text, "| `{name}` | {kind} | {} | {meaning} | {example} |", default(&key.default));
        }
        text.push('\n');
    }
    let _ = write!(text, "## Example\n\n```toml\n{EXAMPLE}```\n");
    text
}

fn default(default: &Default) -> String {
    match default {
        Default::Value(value) => format!("`{value}`"),
        Default::Words(words) => (*words).to_owned(),
        Default::Required => "required".to_owned(),
    }
}

/// The man page.
pub fn man() -> String {
    let mut roff = Roff::default();
    roff.control("SH", ["NAME"]).text([roman("zfsync.toml - configuration file of zfsync run")]);
    roff.control("SH", ["SYNOPSIS"]).text([bold("/etc/zfsync.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text(marked("`zfsync run` carries out the jobs of this file, or of the one that `--config` names. `zfsync check-config` shows what they would do, or what is wrong with the file. The format is TOML."));
    for paragraph in ABOUT {
        roff.control("PP", []).text(marked(paragraph));
    }
    for group in GROUPS {
        roff.control("SH", [group.title.to_uppercase().as_str()]);
        if !group.about.is_empty() {
            roff.text(marked(group.about));
        }
        for key in group.keys {
            let mut head = vec![bold(key.name), roman(" = ")];
            head.extend(marked(key.kind));
            roff.control("TP", []).text(head).text(marked(key.meaning));
            roff.control("br", []);
            let default = match key.default {
                Default::Required => "Required".to_owned(),
                ref other => format!("Default: {}", default(other)),
            };
            roff.text(marked(&format!("{default}. Example: `{}`", key.example)));
        }
    }
    roff.control("SH", ["EXAMPLE"]).control("nf", []);
    for line in EXAMPLE.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("SH", ["FILES"]).control("TP", []).text([bold("/etc/zfsync.toml")]).text([roman("The default file.")]);
    roff.control("SH", ["SEE ALSO"]);
    let last = SEE_ALSO.len() - 1;
    roff.text(
        SEE_ALSO
            .iter()
            .enumerate()
            .flat_map(|(at, (name, section))| {
                [italic(*name), roman(format!("({section}){}", if at < last { ", " } else { "" }))]
            })
            .collect::<Vec<_>>(),
    );
    format!(".TH zfsync.toml 5 \"\" \"zfsync\" \"File Formats\"\n{}", roff.to_roff())
}

/// What stands in back-ticks becomes bold.
fn marked(text: &str) -> Vec<Inline> {
    let part = |(at, part): (usize, &str)| if at % 2 == 1 { bold(part) } else { roman(part) };
    text.split('`').enumerate().filter(|(_, part)| !part.is_empty()).map(part).collect()
}
