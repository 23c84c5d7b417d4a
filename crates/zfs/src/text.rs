//! What others have said (zfs, ssh, the other host, its login shell), made harmless for whatever it gets into: a terminal, a
//! log, JSON, mail, files of state, metrics. The only place that decides which characters are shown as they are.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;

/// How a process has ended without a word: `zfs list ended with exit status: 2`, `zfs receive was killed by SIGKILL`.
#[must_use]
pub fn ended(who: &str, status: &impl fmt::Display) -> String {
    let status = status.to_string();
    let signal = status.strip_prefix("signal: ").and_then(|signal| signal.split(['(', ')']).nth(1));
    signal.map_or_else(|| format!("{who} ended with {status}"), |signal| format!("{who} was killed by {signal}"))
}

/// An error of the operating system in its words, without the number behind them: `No such file or directory (os error 2)`.
#[must_use]
pub fn os_words(error: &impl fmt::Display) -> String {
    let mut words = error.to_string();
    while let Some(at) = words.find(OS_NUMBER) {
        let rest = &words[at + OS_NUMBER.len()..];
        let digits = rest.trim_start_matches(|ch: char| ch.is_ascii_digit());
        let Some(behind) = digits.strip_prefix(')') else { break };
        words = format!("{}{behind}", &words[..at]);
    }
    words
}

/// What std and rustix put behind an error's words, before its number.
const OS_NUMBER: &str = " (os error ";

/// So much of what a peer says at once is kept.
const MAX_SAID: usize = 8 * 1024;
/// And so many lines of it.
const MAX_LINES: usize = 100;

/// What stands before each further line of a peer's words: no line of theirs can be taken for one of ours.
pub const QUOTE: &str = "  | ";

/// What a terminal would obey or hide instead of showing: control characters (C0, DEL, C1), invisible ones, separators of
/// lines, and those that turn the direction of writing.
fn is_treacherous(ch: char) -> bool {
    ch.is_control()
        || matches!(ch,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{ffa0}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// With treacherous characters made visible (`\u{1b}`). Line feeds stay, tabs become blanks, blanks at the end go.
#[must_use]
pub fn sanitise(text: &str) -> Cow<'_, str> {
    let text = text.trim_end();
    if !text.chars().any(|ch| ch != '\n' && is_treacherous(ch)) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for (at, line) in text.lines().enumerate() {
        if at > 0 {
            clean.push('\n');
        }
        push_visible(&mut clean, line);
    }
    Cow::Owned(clean)
}

/// The same on one line: line feeds are made visible too.
#[must_use]
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_treacherous) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    push_visible(&mut clean, text);
    Cow::Owned(clean)
}

fn push_visible(clean: &mut String, text: &str) {
    for ch in text.chars() {
        match ch {
            '\t' => clean.push(' '),
            ch if is_treacherous(ch) => _ = write!(clean, "{}", ch.escape_default()),
            ch => clean.push(ch),
        }
    }
}

/// The words of a peer: [`sanitise`]d, not too long, and quoted, so that only their first line can follow words of ours.
#[must_use]
pub fn quoted(words: &str) -> String {
    let mut end = words.len().min(MAX_SAID);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    let clean = sanitise(words[..end].trim());
    let mut lines = clean.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let mut said = lines.next().unwrap_or_default().trim_start().to_owned();
    for line in lines.by_ref().take(MAX_LINES - 1) {
        said.push('\n');
        if !line.starts_with(QUOTE) {
            said.push_str(QUOTE);
        }
        said.push_str(line);
    }
    if end < words.len() || lines.next().is_some() {
        said.push_str(" [...]");
    }
    said
}

/// Text that has been [`quoted`], or not, as it was said.
#[must_use]
pub fn unquoted(said: &str) -> String {
    said.lines().map(|line| line.strip_prefix(QUOTE).unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// JSON with treacherous characters escaped in JSON's own way: serde_json does that for C0 alone. Outside of strings none can
/// stand, so readers see the same values.
#[must_use]
pub fn json(json: Vec<u8>) -> Vec<u8> {
    if json.iter().all(|byte| byte.is_ascii() && *byte != 0x7f) {
        return json;
    }
    // serde_json writes nothing but UTF-8.
    let text = String::from_utf8_lossy(&json);
    let mut clean = String::with_capacity(text.len() + 16);
    for ch in text.chars() {
        // Those below are line feeds between values: in strings serde_json has escaped them.
        if ch < ' ' || !is_treacherous(ch) {
            clean.push(ch);
            continue;
        }
        for unit in ch.encode_utf16(&mut [0; 2]) {
            let _ = write!(clean, "\\u{unit:04x}");
        }
    }
    clean.into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVIL: &str = "\u{1b}[2J\u{7}\u{7f}\u{9b}\u{202e}\u{2066}\u{2028}\u{200b}\u{61c}\u{e0041}\r\0";

    fn harmless(text: &str) -> bool {
        !text.chars().any(|ch| ch != '\n' && is_treacherous(ch))
    }

    #[test]
    fn foreign_text_cant_drive_the_terminal() {
        assert_eq!(sanitise("plain\ntext\n"), "plain\ntext");
        assert_eq!(sanitise("a\u{1b}[2Jb\tc\rd\r\ne\u{202e}f\u{9b}"), "a\\u{1b}[2Jb c\\rd\ne\\u{202e}f\\u{9b}");
        assert_eq!(sanitise("\n\u{7}"), "\n\\u{7}");
        assert!(harmless(&sanitise(EVIL)) && harmless(&quoted(EVIL)));
        assert_eq!(on_one_line("a\nzfsync: b\u{2028}"), "a\\nzfsync: b\\u{2028}");
    }

    #[test]
    fn numbers_of_the_operating_system_are_left_out() {
        let missing = std::io::Error::from_raw_os_error(2);
        assert_eq!(os_words(&missing), "No such file or directory");
        assert_eq!(
            os_words(&format!("a: {missing}; b: {missing} or so")),
            "a: No such file or directory; b: No such file or directory or so"
        );
        for other in ["no space", "x (os error y)", "x (os error 2"] {
            assert_eq!(os_words(&other), other);
        }
    }

    #[test]
    fn a_peers_lines_are_no_lines_of_ours() {
        assert_eq!(
            quoted(" cannot receive:\n\n  it is\r\nzfsync: 3 datasets in sync\n"),
            "cannot receive:\n  |   it is\n  | zfsync: 3 datasets in sync"
        );
        assert_eq!(quoted(""), "");
        let twice = quoted("a\nb");
        assert_eq!(quoted(&twice), twice);
        assert_eq!(unquoted(&twice), "a\nb");
        let long = quoted(&"ä\n".repeat(100_000));
        assert!(long.lines().count() == MAX_LINES && long.ends_with("[...]"), "{}", long.len());
        assert!(quoted(&"x".repeat(100_000)).len() < MAX_SAID + 10);
    }

    #[test]
    fn json_says_the_same_without_raw_characters() {
        let value = serde_json::json!({ "text": EVIL, "list": ["ä", 1] });
        let mut bytes = serde_json::to_vec_pretty(&value).unwrap();
        bytes.push(b'\n');
        let clean = String::from_utf8(json(bytes)).unwrap();
        assert!(harmless(&clean), "{clean:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&clean).unwrap(), value);
    }

    proptest! {
        #[test]
        fn nothing_treacherous_is_left(text in any::<String>()) {
            prop_assert!(harmless(&sanitise(&text)) && harmless(&on_one_line(&text)) && !on_one_line(&text).contains('\n'));
            let said = quoted(&text);
            prop_assert!(harmless(&said) && said.lines().skip(1).all(|line| line.starts_with(QUOTE)), "{:?}", said);
            let bytes = json(serde_json::to_vec(&text).unwrap());
            prop_assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), text);
            prop_assert!(harmless(std::str::from_utf8(&bytes).unwrap()));
        }
    }
}
