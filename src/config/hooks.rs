//! Commands of the user's own that a job runs before and after its parts.

use std::str::FromStr;
use std::time::Duration;

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
        }
    }

    /// Whether what it is about comes after it.
    #[must_use]
    pub fn is_before(self) -> bool {
        matches!(self, Self::PreSnapshot | Self::PrePush)
    }
}

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
        let mut words = shell_words::split(text).map_err(|error| format!("{text:?} is no command: {error}"))?;
        if words.first().is_none_or(String::is_empty) {
            return Err("the command is empty".into());
        }
        if text.contains('\0') {
            return Err("a command has no NUL in it".into());
        }
        let args = words.split_off(1);
        Ok(Self { program: words.concat(), args })
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
}
