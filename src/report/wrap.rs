//! Long lines for people on a terminal are broken between words. What is no terminal gets them whole.

use std::borrow::Cow;
use std::io::{self, Write};

use textwrap::core::display_width;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use super::look::columns;

/// On a terminal that is narrower than this nothing can be read anyway.
const LEAST: usize = 30;
/// What stands before the further parts of a line, behind its own indentation.
const FURTHER: &str = "    ";
/// A line is never broken behind one of these: somebody may copy the command.
const COMMANDS: [(&str, &[&str]); 5] = [
    (
        "zfs",
        &[
            "allow",
            "change-key",
            "clone",
            "create",
            "destroy",
            "get",
            "hold",
            "inherit",
            "list",
            "load-key",
            "mount",
            "promote",
            "release",
            "rename",
            "rollback",
            "send",
            "set",
            "unallow",
            "unmount",
            "upgrade",
        ],
    ),
    ("zpool", &["clear", "export", "history", "import", "set", "status", "upgrade"]),
    (
        "zfsync",
        &[
            "cron", "doctor", "forget", "helper", "prune", "pull", "push", "recv", "restore", "run", "send",
            "snapshot", "status", "targets", "verify",
        ],
    ),
    ("sudo", &["zfs", "zfsync", "-n"]),
    ("doas", &["zfs", "zfsync", "-n"]),
];

/// Breaks the lines that are written, if stderr is a terminal. Lines are written when they are complete.
pub(super) struct Wrapped<W: Write> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> Wrapped<W> {
    pub fn new(out: W) -> Self {
        Self { out, line: Vec::new() }
    }
}

impl<W: Write> Write for Wrapped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let lines = std::mem::replace(&mut self.line, rest);
            self.out.write_all(for_stderr(&String::from_utf8_lossy(&lines)).as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Drop for Wrapped<W> {
    fn drop(&mut self) {
        // A last line without its end.
        let _ = self.out.write_all(&self.line);
    }
}

/// Text as this process's stderr should get it.
#[must_use]
pub fn for_stderr(text: &str) -> Cow<'_, str> {
    wrapped(text, columns(&io::stderr()))
}

/// Text with each line broken that is too long for so many columns, if there is a limit.
pub(super) fn wrapped(text: &str, columns: Option<usize>) -> Cow<'_, str> {
    let Some(columns) = columns.filter(|columns| *columns >= LEAST) else { return Cow::Borrowed(text) };
    if text.lines().all(|line| display_width(line) <= columns) {
        return Cow::Borrowed(text);
    }
    let mut all = String::with_capacity(text.len() + 64);
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        all.push_str(&parts(line, columns).join("\n"));
        all.push_str(end);
    }
    Cow::Owned(all)
}

/// Holds the words of a command together while its line is broken.
const GLUE: char = '\u{a0}';

/// The parts of a line. A command in it is never broken, however long.
pub(super) fn parts(line: &str, columns: usize) -> Vec<String> {
    if display_width(line) <= columns || is_excerpt(line) {
        return vec![line.to_owned()];
    }
    // What a host has said stays marked in each part.
    let own = line.len() - line.trim_start_matches([' ', '|']).len();
    let further = format!("{}{FURTHER}", &line[..own]);
    let options = Options::new(columns)
        .initial_indent(&line[..own])
        .subsequent_indent(&further)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    // Nobody copies from a line that has such characters of its own.
    let glued = if line.contains(GLUE) { line[own..].to_owned() } else { glued(&line[own..]) };
    let broken = textwrap::wrap(glued.trim_end(), options);
    broken.iter().map(|part| part.replace(GLUE, " ")).collect()
}

/// The line with the words of its commands held together.
fn glued(line: &str) -> String {
    let (mut all, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(at) = command_in(rest) {
        let (prose, command) = rest.split_at(at);
        let (command, after) = command.split_at(command_length(command));
        all.push_str(prose);
        all.push_str(&command.replace(' ', &GLUE.to_string()));
        rest = after;
    }
    all + rest
}

/// How far a command goes that this text begins with: to the punctuation behind it.
fn command_length(text: &str) -> usize {
    let inside = text.trim_start_matches(['\'', '(', '"']);
    let begins = text.len() - inside.len();
    let quoted = text.starts_with(['\'', '"']);
    let mut in_quotes = false;
    for (at, ch) in inside.char_indices() {
        let ends_word = inside[at + ch.len_utf8()..].chars().next().is_none_or(|next| next == ' ');
        match ch {
            '\'' | '"' if quoted && ends_word => return begins + at,
            '\'' | '"' => in_quotes = !in_quotes,
            ')' if !in_quotes => return begins + at,
            ',' | ';' | ':' if !in_quotes && ends_word => return begins + at,
            ' ' if !in_quotes && inside[at..].starts_with(" (") => return begins + at,
            _ => {}
        }
    }
    text.len()
}

/// A line of a file, with its number and a caret below it.
fn is_excerpt(line: &str) -> bool {
    line.split_once(" | ").is_some_and(|(number, _)| number.trim_start().bytes().all(|byte| byte.is_ascii_digit()))
        && line.trim_start().starts_with(|ch: char| ch.is_ascii_digit())
}

/// Where the first command begins.
fn command_in(line: &str) -> Option<usize> {
    let starts = line.match_indices(' ').map(|(at, _)| at + 1);
    std::iter::once(0).chain(starts).find(|at| {
        let mut words = line[*at..].split(' ');
        let program = words.next().unwrap_or_default().trim_start_matches(['\'', '(', '"']);
        let verb = words.next().unwrap_or_default().trim_end_matches(['\'', ')', '"', ',', ';', '.', ':']);
        COMMANDS.iter().any(|(name, verbs)| *name == program && verbs.contains(&verb))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        let text = "s/1 -> d/1: failed: there is a long story to be told\n  and below it is one more line\nshort\n";
        assert_eq!(
            wrapped(text, Some(30)),
            "s/1 -> d/1: failed: there is a\n    long story to be told\n  and below it is one more\n      line\nshort\n"
        );
        assert_eq!(wrapped(text, None), text);
        assert_eq!(wrapped(text, Some(29)), text);
        assert_eq!(
            wrapped("  | what a host has said in a long line", Some(30)),
            "  | what a host has said in a\n  |     long line"
        );
    }

    #[test]
    fn commands_stay_whole() {
        let command = "zfs allow repl receive,create,mount,canmount 'pool/data'";
        for (line, broken) in [
            (format!("root can delegate it: {command}"), format!("root can delegate it:\n    {command}")),
            (format!("  | {command}"), format!("  | {command}")),
            (
                format!("if it is not wanted any more then use '{command}'"),
                format!("if it is not wanted any more\n    then use\n    '{command}'"),
            ),
        ] {
            assert_eq!(wrapped(&line, Some(30)), broken);
        }
        let short = "a long way before it comes, then: zfs get all p";
        assert_eq!(wrapped(short, Some(40)), "a long way before it comes, then:\n    zfs get all p");
        // What follows is broken as what comes before.
        let prose =
            "if the key was not changed on purpose (zfs change-key -i pool/data), find out who has changed it there";
        assert_eq!(
            wrapped(prose, Some(40)),
            "if the key was not changed on purpose\n    (zfs change-key -i pool/data), find\n    out who has changed it there"
        );
        let two = "run zfs get all 'a b, c' or zfs list -r pool/data; it tells which of them is left there";
        assert_eq!(
            wrapped(two, Some(40)),
            "run\n    zfs get all 'a b, c' or zfs list -r pool/data;\n    it tells which of them is left there"
        );
        // Prose about them is prose.
        assert_eq!(command_in("the zfs command of zfsync itself"), None);
    }

    #[test]
    fn colours_take_no_room() {
        let text = "p: \u{1b}[31mconflict\u{1b}[0m: a few words";
        assert_eq!(wrapped(text, Some(30)), text);
    }

    #[test]
    fn a_writer_writes_whole_lines() {
        let mut bytes = Vec::new();
        let mut wrapped = Wrapped::new(&mut bytes);
        write!(wrapped, "one {}\ntw", 1).unwrap();
        assert_eq!(wrapped.line, b"tw");
        drop(wrapped);
        assert_eq!(bytes, b"one 1\ntw");
    }

    proptest! {
        #[test]
        fn no_word_is_lost(text in "[ |]{0,4}([a-z]{1,12} ?(zfs get )?){0,20}", columns in 30..80_usize) {
            let broken = wrapped(&text, Some(columns)).into_owned();
            let words = |text: &str| text.split_whitespace().filter(|word| word.contains(|ch| ch != '|')).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&broken), words(&text));
        }
    }
}
