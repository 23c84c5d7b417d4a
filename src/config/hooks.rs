//! Commands of the user's own that a job runs before and after its parts.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the snapshot; the job stops if it fails.
    PreSnapshot,
    /// After the snapshot, whatever became of it.
    PostSnapshot,
    /// Before the targets are served; the job stops if it fails.
    PrePush,
    /// After the targets were served, whatever became of that.
    PostPush,
    /// When all of the job has succeeded, with the result as JSON on stdin.
    OnSuccess,
    /// When some of the job has failed, or it was interrupted; with the result as JSON on stdin.
    OnFailure,
}

impl When {
    /// As the file has it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::PreSnapshot => "pre-snapshot",
            Self::PostSnapshot => "post-snapshot",
            Self::PrePush => "pre-push",
            Self::PostPush => "post-push",
            Self::OnSuccess => "on-success",
            Self::OnFailure => "on-failure",
        }
    }

    /// Whether what it is about comes after it.
    #[must_use]
    pub fn is_before(self) -> bool {
        matches!(self, Self::PreSnapshot | Self::PrePush)
    }
}

/// What runs a hook that asks for a shell.
const SHELL: &str = "/bin/sh";

/// A command line in its words; there is one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCommand {
    /// What is run.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
}

impl FromStr for HookCommand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = shell_words::split(text).map_err(|error| format!("{text:?} is not a valid command: {error}"))?;
        if let Some(operator) = unquoted_operator(text) {
            return Err(format!(
                "{text:?} has {operator} outside of quotes, but hooks are run without a shell: to use one, write \
                 {{ command = {text:?}, shell = true }}; to pass it as an argument, quote it or write a list ([\"program\", \"argument\"])"
            ));
        }
        Self::of(words)
    }
}

impl HookCommand {
    fn of(mut words: Vec<String>) -> Result<Self, String> {
        if words.first().is_none_or(String::is_empty) {
            return Err("the command is empty".into());
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err("a command can't contain a NUL character".into());
        }
        let args = words.split_off(1);
        Ok(Self { program: words.concat(), args })
    }

    /// A line for the shell.
    fn shell(line: String) -> Result<Self, String> {
        if line.trim().is_empty() {
            return Err("the command is empty".into());
        }
        Self::of(vec![SHELL.into(), "-c".into(), line])
    }
}

/// What a shell would not take as it stands: such a line was written for a shell, and would do something else without one.
fn unquoted_operator(text: &str) -> Option<String> {
    if let Some(assignment) = text.split_whitespace().next().filter(|word| is_assignment(word)) {
        return Some(assignment.to_owned());
    }
    let (mut single, mut double) = (false, false);
    let mut rest = text.char_indices();
    while let Some((at, ch)) = rest.next() {
        let next = text[at + ch.len_utf8()..].chars().next();
        let expands = ch == '`'
            || ch == '$' && next.is_some_and(|next| next.is_ascii_alphanumeric() || "_{(@*#?$!".contains(next));
        match ch {
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            _ if single => {}
            '\\' => _ = rest.next(),
            _ if expands => return Some(text[at..].chars().take(2).collect()),
            _ if double => {}
            '|' | '&' | ';' | '<' | '>' | '(' | ')' => {
                return Some(text[at..].chars().take_while(|more| *more == ch).collect());
            }
            '\n' => return Some("a line break".into()),
            '*' | '?' => return Some(ch.into()),
            // The program of this name is one; and so is what only ends with a tilde.
            '[' if !is_word(text, at) => return Some(ch.into()),
            '~' if begins_word(text, at) => return Some(ch.into()),
            _ => {}
        }
    }
    None
}

/// Whether a word sets a variable for the program that follows.
fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    let begins = name.starts_with(|ch: char| ch.is_ascii_alphabetic() || ch == '_');
    begins && name.chars().all(|ch| ch.is_ascii_alphanumeric() || ch == '_')
}

fn begins_word(text: &str, at: usize) -> bool {
    text[..at].chars().next_back().is_none_or(char::is_whitespace)
}

/// Whether the character at this place is a word of its own.
fn is_word(text: &str, at: usize) -> bool {
    begins_word(text, at) && text[at..].chars().nth(1).is_none_or(char::is_whitespace)
}

/// As a string in its words, as a list of words, or as a table with `shell = true`.
impl<'de> Deserialize<'de> for HookCommand {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyForm;

        /// The table.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            command: String,
            #[serde(default)]
            shell: bool,
        }

        impl<'de> Visitor<'de> for AnyForm {
            type Value = HookCommand;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command, a list of its words, or { command = \"...\", shell = true }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HookCommand, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<HookCommand, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = all.next_element()? {
                    words.push(word);
                }
                HookCommand::of(words).map_err(A::Error::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HookCommand, A::Error> {
                let Table { command, shell } = Table::deserialize(MapAccessDeserializer::new(map))?;
                let read = if shell { HookCommand::shell(command) } else { command.parse() };
                read.map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(AnyForm)
    }
}

impl std::fmt::Display for HookCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shell_words::join(std::iter::once(&self.program).chain(&self.args)))
    }
}

/// The hooks of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// The commands.
    pub commands: Vec<(When, HookCommand)>,
    /// So long each may take.
    pub timeout: Duration,
}

impl Hooks {
    /// Unless the file says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(300);

    /// The command for a moment.
    #[must_use]
    pub fn command(&self, when: When) -> Option<&HookCommand> {
        self.commands.iter().find(|(at, _)| *at == when).map(|(_, command)| command)
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self { commands: Vec::new(), timeout: Self::TIMEOUT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_a_shell_would() {
        let hook: HookCommand = "/bin/freeze 'my db' --now".parse().unwrap();
        assert_eq!((hook.program.as_str(), hook.args.len()), ("/bin/freeze", 2));
        assert_eq!(hook.args[0], "my db");
        assert_eq!(hook.to_string(), "/bin/freeze 'my db' --now");
        for bad in ["", "  ", "''", "it's", "a\0b"] {
            assert!(bad.parse::<HookCommand>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_was_written_for_a_shell_is_refused() {
        for (line, operator) in [
            ("db freeze && sync", "&&"),
            ("a | b", "|"),
            ("a || b", "||"),
            ("a; b", ";"),
            ("a &", "&"),
            ("a >/tmp/log 2>&1", ">"),
            ("a <in", "<"),
            ("(a)", "("),
            ("a $HOME", "$H"),
            ("a \"$HOME\"", "$H"),
            ("a $(b)", "$("),
            ("a \"`b`\"", "`b"),
            ("a\nb", "a line break"),
            ("a 'b' 'c'&'d'", "&"),
            ("rm -f /var/tmp/*.dump", "*"),
            ("a /x/file?", "?"),
            ("a /x/[ab]", "["),
            ("~/bin/freeze now", "~"),
            ("a ~postgres/x", "~"),
            ("PGUSER=backup psql -c x", "PGUSER=backup"),
            ("  _a1= b", "_a1="),
        ] {
            let error = line.parse::<HookCommand>().unwrap_err();
            assert!(
                error.contains(&format!(" has {operator} outside of quotes")) && error.contains("shell = true"),
                "{line}: {error}"
            );
        }
        for line in [
            "a 'b && c' \"d | e; f\" g\\;h",
            "sh -c 'echo $A > b'",
            "a \"it's & so\" 'x\"|\"'",
            "a 5$ \\$x b=c",
            "[ -f /x ]",
            "a '*' \"?\" \\* \"[a]\" '~' x~ ]",
            "/bin/a=b c",
            "env A=b c",
        ] {
            let hook: HookCommand = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(hook.to_string().parse(), Ok(hook), "{line}");
        }
    }

    #[test]
    fn a_list_and_a_shell_are_ways_to_say_it() {
        #[derive(Debug, Deserialize)]
        struct File {
            hook: HookCommand,
        }
        let read = |value: &str| toml::from_str::<File>(&format!("hook = {value}")).map(|file| file.hook);
        let words = |hook: HookCommand| [vec![hook.program], hook.args].concat();
        assert_eq!(words(read("'a \"b c\"'").unwrap()), ["a", "b c"]);
        assert_eq!(words(read("['a', '|', '$b', '']").unwrap()), ["a", "|", "$b", ""]);
        assert_eq!(words(read("{ command = 'a | b', shell = true }").unwrap()), ["/bin/sh", "-c", "a | b"]);
        assert_eq!(words(read("{ command = 'a b' }").unwrap()), ["a", "b"]);
        for (bad, why) in [
            ("'a | b'", "has | outside of quotes"),
            ("{ command = 'a | b', shell = false }", "has | outside of quotes"),
            ("{ command = ' ', shell = true }", "the command is empty"),
            ("{ shell = true }", "missing field `command`"),
            ("{ command = 'a', shel = true }", "unknown field `shel`"),
            ("[]", "the command is empty"),
            ("[1]", "expected a string"),
            ("5", "a command, a list of its words, or"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
