//! The examples in a command's help.

/// Puts what an example does above it: beside it, it would be wrapped into the next line's column on a narrow screen.
pub(super) fn stacked(command: clap::Command) -> clap::Command {
    match command.get_after_help().map(ToString::to_string) {
        Some(help) if help.starts_with(HEAD) => command.after_help(stack(&help)),
        _ => command,
    }
}

const HEAD: &str = "Examples:\n";

fn stack(help: &str) -> String {
    let (examples, rest) = help.split_at(help.find("\n\n").unwrap_or(help.len()));
    let lines = examples.lines().map(|line| match line.trim_start().split_once("  ") {
        Some((example, what)) => format!("  {}:\n    {example}", what.trim()),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n") + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_example_does_stands_above_it() {
        let help = "Examples:\n  zfsync a b    do it\n  zfsync a -n b  show it\n  zfsync c\n\nWords  of more.";
        let stacked =
            "Examples:\n  do it:\n    zfsync a b\n  show it:\n    zfsync a -n b\n  zfsync c\n\nWords  of more.";
        assert_eq!(stack(help), stacked);
    }
}
