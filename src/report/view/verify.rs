//! What a comparison of a copy with its source tells.

use std::io::{self, Write};

use serde::Serialize;

use super::View;
use crate::format::{bytes, count, first_of, sanitise};
use crate::plan::{Agreement, Compared, Content};
use crate::report::Versioned;
use crate::report::look::{Colour, Look};

/// How a comparison is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people; with each dataset that is the same, or only their number.
    Text {
        /// Each of them.
        all: bool,
        /// Nothing at all when all is the same.
        quiet: bool,
    },
    /// One object a line.
    Json,
}

/// A comparison of two trees.
#[must_use]
pub fn view(source: String, target: String, rows: Vec<Compared>, form: Form) -> View {
    Box::new(move |page, out| match form {
        Form::Json => json(&source, &target, &rows, out),
        Form::Text { all, quiet } => write(&source, &target, &rows, all, quiet, page.look, out),
    })
}

fn write(
    source: &str,
    target: &str,
    rows: &[Compared],
    all: bool,
    quiet: bool,
    look: Look,
    out: &mut impl Write,
) -> io::Result<()> {
    if quiet && rows.iter().all(Compared::is_fine) {
        return Ok(());
    }
    writeln!(out, "{source} -> {target}: {}", totals(rows))?;
    for row in rows.iter().filter(|row| !quiet || !row.is_fine()) {
        let only_there = row.agreement == Agreement::TargetOnly;
        if !all && row.is_fine() && !only_there {
            continue;
        }
        let colour = match row.is_fine() {
            true if only_there => Colour::Dim,
            true => Colour::Green,
            false => Colour::Red,
        };
        let name = if only_there { &row.target } else { &row.dataset };
        writeln!(out, "{}: {}", look.paint(colour, &sanitise(name)), sanitise(&told(row)).replace('\n', "\n  "))?;
    }
    Ok(())
}

/// What there is to say of one dataset.
fn told(row: &Compared) -> String {
    let mut parts = vec![match row.agreement {
        Agreement::Same => "identical".to_owned(),
        Agreement::NoSnapshots => "it has no snapshots".to_owned(),
        Agreement::TargetOnly if row.only_there == 0 => "only the target has it".to_owned(),
        Agreement::TargetOnly => format!("only the target has it, with {}", count(row.only_there, "snapshot")),
        Agreement::Behind => match (&row.newest, &row.bookmarked) {
            (Some(pair), _) => format!("behind: the newest common snapshot is @{}", pair.here),
            (None, Some(name)) => format!("behind: the newest common snapshot is @{name} (a bookmark on the source)"),
            (None, None) => "behind".to_owned(),
        },
        Agreement::Missing => format!("{} is missing, or has no snapshots", row.target),
        Agreement::Different if row.clashes.is_empty() => "different: no common snapshot".to_owned(),
        Agreement::Different => format!("different: other snapshots have the names {}", names(row)),
    }];
    if row.common > 0 {
        parts.push(format!("{} on both sides", count(row.common, "snapshot")));
    }
    for (number, side) in [(row.only_here, "on the source"), (row.only_there, "on the target")] {
        if number > 0 && row.agreement != Agreement::TargetOnly {
            parts.push(format!("{number} only {side}"));
        }
    }
    match (&row.content, &row.newest) {
        (Content::Same(read), Some(pair)) => {
            parts.push(format!("the content of @{} is identical ({} read)", pair.here, bytes(*read)));
        }
        (Content::Different(objects), Some(pair)) => parts.push(different(&pair.here.to_string(), objects)),
        (Content::Unreadable(why), _) => parts.push(format!("the content could not be compared: {why}")),
        _ => {}
    }
    parts.join(", ")
}

fn different(snapshot: &str, objects: &[u64]) -> String {
    let numbers: Vec<String> = objects.iter().map(ToString::to_string).collect();
    let which = match &numbers[..] {
        [] => String::new(),
        numbers => format!(" in object {} (find -inum NUMBER in a mounted copy finds its file)", numbers.join(", ")),
    };
    format!("THE CONTENT OF @{snapshot} DIFFERS{which}")
}

/// So many names are told.
const SHOWN: usize = 5;

fn names(row: &Compared) -> String {
    first_of(&row.clashes, SHOWN, |name| format!("@{name}"))
}

fn totals(rows: &[Compared]) -> String {
    let number = |agreement| rows.iter().filter(|row| row.agreement == agreement).count();
    let numbers = [
        (number(Agreement::Different), "different"),
        (number(Agreement::Missing), "missing"),
        (number(Agreement::Behind), "behind"),
        (number(Agreement::Same), "identical"),
        (number(Agreement::NoSnapshots), "without snapshots"),
        (number(Agreement::TargetOnly), "only on the target"),
    ];
    let mut parts: Vec<String> =
        numbers.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    let content = |wanted: fn(&Content) -> bool| rows.iter().filter(|row| wanted(&row.content)).count();
    let contents = [
        (content(|content| matches!(content, Content::Same(_))), "the contents of {} are identical"),
        (content(|content| matches!(content, Content::Different(_))), "the contents of {} differ"),
        (content(|content| matches!(content, Content::Unreadable(_))), "the contents of {} could not be compared"),
    ];
    let told = contents.iter().filter(|(number, _)| *number > 0);
    parts.extend(told.map(|(number, words)| words.replace("{}", &number.to_string())));
    if rows.is_empty() {
        "no dataset is selected".to_owned()
    } else {
        format!("{}: {}", count(rows.len(), "dataset"), parts.join(", "))
    }
}

#[derive(Serialize)]
struct Object<'a> {
    source: &'a str,
    target: &'a str,
    dataset: &'a str,
    target_dataset: &'a str,
    state: Agreement,
    snapshots_common: usize,
    snapshots_only_source: usize,
    snapshots_only_target: usize,
    clashes: Vec<&'a str>,
    newest_common: Option<&'a str>,
    content: &'static str,
    content_bytes: Option<u64>,
    content_objects: &'a [u64],
    content_error: Option<&'a str>,
    ok: bool,
}

fn json(source: &str, target: &str, rows: &[Compared], out: &mut impl Write) -> io::Result<()> {
    for row in rows {
        let (content, content_bytes, content_objects, content_error): (_, _, &[u64], _) = match &row.content {
            Content::NotCompared => ("not_compared", None, &[], None),
            Content::Same(bytes) => ("same", Some(*bytes), &[], None),
            Content::Different(objects) => ("different", None, objects, None),
            Content::Unreadable(why) => ("unreadable", None, &[], Some(why.as_str())),
        };
        let line = Object {
            source,
            target,
            dataset: &row.dataset,
            target_dataset: &row.target,
            state: row.agreement,
            snapshots_common: row.common,
            snapshots_only_source: row.only_here,
            snapshots_only_target: row.only_there,
            clashes: row.clashes.iter().map(zfs::name::SnapshotName::as_str).collect(),
            newest_common: row.newest.as_ref().map(|pair| pair.here.as_str()),
            content,
            content_bytes,
            content_objects,
            content_error,
            ok: row.is_fine(),
        };
        out.write_all(&zfs::text::json(serde_json::to_vec(&Versioned::of(line))?))?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
