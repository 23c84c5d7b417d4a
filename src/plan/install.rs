//! Decides whether a helper may be installed where something is.

/// What lies where a helper is to be installed.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// Nothing.
    Nothing,
    /// Just what would be installed.
    Same,
    /// Something else; this is what it says to `--version`.
    Other(&'a str),
    /// Something that is no file which can be read, in words.
    NoFile(&'a str),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Install {
    /// Nothing: it is there.
    Current,
    /// Install it.
    Do,
    /// Keep what is there, for this reason.
    Keep(String),
}

/// Decides. `version`: of what would be installed.
#[must_use]
pub fn install(found: Found<'_>, version: &str, force: bool) -> Install {
    let said = match found {
        Found::Nothing => return Install::Do,
        Found::Same => return Install::Current,
        Found::NoFile(what) => return Install::Keep(format!("{what}: move it away first")),
        Found::Other(said) => said,
    };
    if let Some(theirs) = version_after("zfsync ", said) {
        return Install::Keep(format!("it is a complete zfsync {theirs}, which is a helper, too"));
    }
    let Some(theirs) = version_after("zfsync-helper ", said) else {
        return Install::Keep("it is not zfsync: move it away first".into());
    };
    if numbers(theirs) > numbers(version) && !force {
        return Install::Keep(format!("it is a newer helper ({theirs}); --force replaces it by {version}"));
    }
    Install::Do
}

fn version_after<'a>(name: &str, said: &'a str) -> Option<&'a str> {
    let version = said.strip_prefix(name)?.split_whitespace().next()?;
    version.starts_with(|ch: char| ch.is_ascii_digit()).then_some(version)
}

/// Of `1.2.3-rc.1` the first three.
fn numbers(version: &str) -> Vec<u64> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    release.split('.').map(|number| number.parse().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_an_older_helper_is_replaced() {
        let found = |said| install(Found::Other(said), "0.10.0", false);
        assert_eq!(install(Found::Nothing, "0.10.0", false), Install::Do);
        assert_eq!(install(Found::Same, "0.10.0", true), Install::Current);
        assert_eq!(found("zfsync-helper 0.9.1 (protocol 2)"), Install::Do);
        assert_eq!(found("zfsync-helper 0.10.0 (protocol 2)"), Install::Do);
        for (said, force, why) in [
            ("zfsync-helper 0.11.0 (protocol 3)", false, "newer"),
            ("zfsync 0.9.0", true, "a complete zfsync 0.9.0"),
            ("zfsync-helper", true, "not zfsync"),
            ("", true, "not zfsync"),
            ("GNU coreutils 9.1", true, "not zfsync"),
        ] {
            let decided = install(Found::Other(said), "0.10.0", force);
            assert!(matches!(&decided, Install::Keep(words) if words.contains(why)), "{said}: {decided:?}");
        }
        assert_eq!(install(Found::Other("zfsync-helper 0.11.0"), "0.10.0", true), Install::Do);
        let kept = Install::Keep("it is a directory: move it away first".into());
        assert_eq!(install(Found::NoFile("it is a directory"), "0.10.0", true), kept);
    }
}
