//! Bookmarks of the source: command lines that make and destroy them, one by one or many in one transaction.

use std::collections::HashSet;
use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::parse::for_lines;
use super::{Call, ParseError, Zfs};
use crate::name::{DatasetName, SnapshotName};

/// A bookmark to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBookmark {
    /// Of a snapshot of this dataset.
    pub dataset: DatasetName,
    /// What it is made of.
    pub origin: Origin,
    /// Its name.
    pub name: SnapshotName,
}

/// What a bookmark is made of. A copy of a bookmark is as good as one of its snapshot (zfs-bookmark(8), since OpenZFS 2.0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    pub fn bookmark(&self, new: &NewBookmark) -> Call {
        self.command(["bookmark".to_owned(), new.origin(), new.full_name()])
    }

    /// The bookmarks of a dataset, one a line. Read it with [`read_marks`].
    #[must_use]
    pub fn list_bookmarks(&self, dataset: &DatasetName) -> Call {
        self.command(["list", "-Hp", "-d", "1", "-t", "bookmark", "-o", "name", dataset.as_str()])
    }

    /// Destroys a bookmark, and can destroy nothing else: the name has a `#`.
    #[must_use]
    pub fn destroy_bookmark(&self, dataset: &DatasetName, name: &SnapshotName) -> Call {
        self.command(["destroy".to_owned(), format!("{dataset}#{name}")])
    }

    /// Makes many bookmarks, all of the pool of the first, in one transaction; only for root. Read it with
    /// [`read_failed_bookmarks`].
    #[must_use]
    pub fn bookmark_many(&self, new: &[NewBookmark]) -> Call {
        let pool = new.first().map_or("", |first| first.dataset.pool());
        let mut command = self.command(["program", "-j", pool, "-"]);
        for one in new {
            command.arg(one.origin()).arg(one.full_name());
        }
        command.with_input(PROGRAM)
    }
}

/// Reads [`Zfs::list_bookmarks`] of this dataset.
pub fn read_marks(input: impl BufRead, dataset: &DatasetName) -> Result<Vec<SnapshotName>, ParseError> {
    let mut all = Vec::new();
    for_lines(input, |line| {
        let name = line.strip_prefix(dataset.as_str()).and_then(|rest| rest.strip_prefix('#'));
        let name = name.and_then(|name| name.parse().ok());
        all.push(name.ok_or_else(|| ParseError::line("it is not a bookmark of the dataset", line))?);
        Ok::<_, ParseError>(())
    })?;
    Ok(all)
}

/// Reads what [`Zfs::bookmark_many`] prints: the places of those that failed.
pub fn read_failed_bookmarks(input: impl BufRead, new: &[NewBookmark]) -> Result<HashSet<usize>, ParseError> {
    let said: serde_json::Value = serde_json::from_reader(input).map_err(|error| ParseError::Io(error.into()))?;
    let failed = said.get("return");
    let has_failed = |one: &NewBookmark| failed.is_some_and(|failed| failed.get(one.full_name()).is_some());
    Ok(new.iter().enumerate().filter(|(_, one)| has_failed(one)).map(|(place, _)| place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(snapshot: &str) -> NewBookmark {
        NewBookmark {
            dataset: "p/a b".parse().unwrap(),
            origin: Origin::Snapshot(snapshot.parse().unwrap()),
            name: format!("mark-{snapshot}").parse().unwrap(),
        }
    }

    fn args(command: &Call) -> Vec<String> {
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
        let both = [new("s"), new("t")];
        let failed = |said: &str| read_failed_bookmarks(said.as_bytes(), &both);
        assert_eq!(failed(r#"{"return":{"p/a b#mark-t":17}}"#).unwrap(), HashSet::from([1]));
        assert_eq!(failed(r#"{"return":{}}"#).unwrap(), HashSet::new());
        assert_eq!(failed("{}").unwrap(), HashSet::new());
        assert!(failed("odd").is_err());
    }
}
