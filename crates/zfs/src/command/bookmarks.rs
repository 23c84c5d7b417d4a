//! Bookmarks of the source: command lines that make and destroy them, one by one or many in one transaction.

use std::io::{self, BufRead, Write};
use std::process::{Command, Output, Stdio};

use super::parse::for_lines;
use super::{ParseError, Zfs};
use crate::name::{DatasetName, SnapshotName};

/// A bookmark to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBookmark {
    /// Of a snapshot of this dataset.
    pub dataset: DatasetName,
    /// What it is made of.
    pub origin: Origin,
    /// Its name.
    pub name: SnapshotName,
}

/// What a bookmark is made of. A copy of a bookmark is as good as one of its snapshot (zfs-bookmark(8), since OpenZFS 2.0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A snapshot.
    Snapshot(SnapshotName),
    /// Another bookmark.
    Bookmark(SnapshotName),
}

impl NewBookmark {
    fn origin(&self) -> String {
        match &self.origin {
            Origin::Snapshot(name) => self.dataset.at(name.as_str()),
            Origin::Bookmark(name) => format!("{}#{name}", self.dataset),
        }
    }

    fn full_name(&self) -> String {
        format!("{}#{}", self.dataset, self.name)
    }
}

/// Takes pairs of snapshot and bookmark; returns the error numbers by bookmark. Names come as arguments, so none is ever
/// code. `zfs.sync.bookmark` exists since OpenZFS 2.0 (zfs-program(8)).
const PROGRAM: &str = r#"
args = ...
argv = args["argv"]
failed = {}
i = 1
while argv[i] do
    err = zfs.sync.bookmark(argv[i], argv[i + 1])
    if err ~= 0 then
        failed[argv[i + 1]] = err
    end
    i = i + 2
end
return failed
"#;

impl Zfs {
    /// Makes one bookmark.
    #[must_use]
    pub fn bookmark(&self, new: &NewBookmark) -> Command {
        self.command(["bookmark".to_owned(), new.origin(), new.full_name()])
    }

    /// The bookmarks of a dataset, one a line. Read it with [`read_marks`].
    #[must_use]
    pub fn list_bookmarks(&self, dataset: &DatasetName) -> Command {
        self.command(["list", "-Hp", "-d", "1", "-t", "bookmark", "-o", "name", dataset.as_str()])
    }

    /// When the snapshot of a bookmark was made, in seconds since 1970.
    #[must_use]
    pub fn creation_of_bookmark(&self, bookmark: &str) -> Command {
        self.command(["list", "-Hp", "-t", "bookmark", "-o", "creation", bookmark])
    }

    /// Destroys a bookmark, and can destroy nothing else: the name has a `#`.
    #[must_use]
    pub fn destroy_bookmark(&self, dataset: &DatasetName, name: &SnapshotName) -> Command {
        self.command(["destroy".to_owned(), format!("{dataset}#{name}")])
    }

    /// Makes many bookmarks of one pool in one transaction; only for root. Returns those that failed; an error when none was
    /// made, as the program could not run.
    pub fn bookmark_many(&self, new: &[NewBookmark]) -> io::Result<Vec<NewBookmark>> {
        let Some(first) = new.first() else { return Ok(Vec::new()) };
        let mut command = self.command(["program", "-j", first.dataset.pool(), "-"]);
        for one in new {
            command.arg(one.origin()).arg(one.full_name());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends without reading says why on stderr.
            let _ = stdin.write_all(PROGRAM.as_bytes());
        }
        failed_of(new, &child.wait_with_output()?)
    }
}

/// Reads [`Zfs::list_bookmarks`] of this dataset.
pub fn read_marks(input: impl BufRead, dataset: &DatasetName) -> Result<Vec<SnapshotName>, ParseError> {
    let mut all = Vec::new();
    for_lines(input, |line| {
        let name = line.strip_prefix(dataset.as_str()).and_then(|rest| rest.strip_prefix('#'));
        let name = name.and_then(|name| name.parse().ok());
        all.push(name.ok_or_else(|| ParseError::line("it is no bookmark of the dataset", line))?);
        Ok::<_, ParseError>(())
    })?;
    Ok(all)
}

fn failed_of(new: &[NewBookmark], output: &Output) -> io::Result<Vec<NewBookmark>> {
    let words = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !output.status.success() {
        return Err(io::Error::other(words()));
    }
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let failed = said.get("return");
    let has_failed = |one: &&NewBookmark| failed.is_some_and(|failed| failed.get(one.full_name()).is_some());
    Ok(new.iter().filter(has_failed).cloned().collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn new(snapshot: &str) -> NewBookmark {
        NewBookmark {
            dataset: "p/a b".parse().unwrap(),
            origin: Origin::Snapshot(snapshot.parse().unwrap()),
            name: format!("mark-{snapshot}").parse().unwrap(),
        }
    }

    fn args(command: &Command) -> Vec<String> {
        command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn command_lines() {
        let zfs = Zfs::at("zfs");
        assert_eq!(args(&zfs.bookmark(&new("s"))), ["bookmark", "p/a b@s", "p/a b#mark-s"]);
        let copy = NewBookmark { origin: Origin::Bookmark("old".parse().unwrap()), ..new("s") };
        assert_eq!(args(&zfs.bookmark(&copy)), ["bookmark", "p/a b#old", "p/a b#mark-s"]);
        let gone = zfs.destroy_bookmark(&"p/a b".parse().unwrap(), &"mark".parse().unwrap());
        assert_eq!(args(&gone), ["destroy", "p/a b#mark"]);
    }

    #[test]
    fn failures_of_a_program_are_found() {
        let output = |code: i32, stdout: &str| Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: stdout.into(),
            stderr: b"no such program\n".into(),
        };
        let both = [new("s"), new("t")];
        let some = output(0, r#"{"return":{"p/a b#mark-t":17}}"#);
        assert_eq!(failed_of(&both, &some).unwrap(), [new("t")]);
        assert_eq!(failed_of(&both, &output(0, r#"{"return":{}}"#)).unwrap(), []);
        assert_eq!(failed_of(&both, &output(0, "{}")).unwrap(), []);
        assert!(failed_of(&both, &output(1, "")).unwrap_err().to_string().contains("no such program"));
        assert!(failed_of(&both, &output(0, "odd")).is_err());
    }
}
