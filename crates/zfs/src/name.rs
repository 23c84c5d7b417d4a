//! Names and identities of ZFS objects, parsed once: past this file nothing handles them as bare strings or numbers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest name of a dataset or snapshot in bytes: `ZFS_MAX_DATASET_NAME_LEN` is 256 with the final NUL
/// (OpenZFS `include/sys/fs/zfs.h`).
pub const MAX_NAME: usize = 255;

/// Why a string is no name that ZFS would accept (the rules of OpenZFS `module/zcommon/zfs_namecheck.c`).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// The whole name or what follows `@` or `#` is empty.
    #[error("the name is empty")]
    Empty,
    /// Longer than [`MAX_NAME`].
    #[error("{0:?} has {len} bytes; ZFS allows {MAX_NAME} for a whole name, pool and '@snapshot' included", len = .0.len())]
    TooLong(String),
    /// A `/` at its start: a path of the file system.
    #[error("{0:?} is a path, not a dataset name; did you mean {dataset:?}?", dataset = .0.trim_matches('/'))]
    Path(String),
    /// `/` at the end, or two of them together.
    #[error("{0:?} has an empty component (a '/' at its end, or two in a row); did you mean {meant:?}?", meant = without_empty(.0))]
    EmptyComponent(String),
    /// A component is `.` or `..`.
    #[error("{0:?} has a component '.' or '..'")]
    DotComponent(String),
    /// A character outside letters, digits and `-_.: `.
    #[error("{name:?} has the character {ch:?}; ZFS allows letters, digits, '-', '_', '.', ':' and spaces")]
    Character {
        /// The whole name.
        name: String,
        /// The first offending character.
        ch: char,
    },
    /// A pool's name starts with something else than a letter.
    #[error("{0:?} starts with a pool name that doesn't begin with a letter")]
    Pool(String),
    /// `@` where a dataset was expected.
    #[error("{0:?} is a snapshot; name the dataset (without '@...')")]
    IsSnapshot(String),
    /// `#` where a dataset was expected.
    #[error("{0:?} is a bookmark; name the dataset (without '#...')")]
    IsBookmark(String),
    /// No `@` where a snapshot was expected.
    #[error("{0:?} is not a snapshot (dataset@snapshot)")]
    NotSnapshot(String),
}

/// The name without its empty components.
fn without_empty(name: &str) -> String {
    name.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

fn legal(ch: char) -> bool {
    ch.is_ascii_alphanumeric() || matches!(ch, '-' | '_' | '.' | ':' | ' ')
}

fn check_component(whole: &str, part: &str) -> Result<(), NameError> {
    if part.is_empty() {
        return Err(NameError::EmptyComponent(whole.to_owned()));
    }
    if part == "." || part == ".." {
        return Err(NameError::DotComponent(whole.to_owned()));
    }
    match part.chars().find(|&ch| !legal(ch)) {
        Some(ch) => Err(NameError::Character { name: whole.to_owned(), ch }),
        None => Ok(()),
    }
}

/// A filesystem's or volume's full name, as `pool/a/b`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatasetName(Box<str>);

impl DatasetName {
    /// The name as ZFS writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pool that holds it.
    #[must_use]
    pub fn pool(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The dataset above; `None` for a pool's root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// Every dataset above, the pool's root first.
    #[must_use]
    pub fn ancestors(&self) -> Vec<Self> {
        let mut all: Vec<Self> = std::iter::successors(self.parent(), Self::parent).collect();
        all.reverse();
        all
    }

    /// Whether this is `other` or lies below it; whole components count, so `a/bc` is not within `a/b`.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.below(other).is_some()
    }

    /// The path from `base` down to this dataset; empty for `base` itself, `None` when it isn't within `base`.
    #[must_use]
    pub fn below(&self, base: &Self) -> Option<RelPath> {
        let rest = self.0.strip_prefix(base.as_str())?;
        if rest.is_empty() {
            return Some(RelPath(String::new().into()));
        }
        rest.strip_prefix('/').map(|rest| RelPath(rest.into()))
    }

    /// The dataset at `path` below this one.
    ///
    /// # Errors
    /// The joined name can be too long for ZFS although both parts are fine.
    pub fn join(&self, path: &RelPath) -> Result<Self, NameError> {
        if path.0.is_empty() {
            return Ok(self.clone());
        }
        let name = format!("{}/{}", self.0, path.0);
        if name.len() > MAX_NAME {
            return Err(NameError::TooLong(name));
        }
        Ok(Self(name.into()))
    }

    /// `self@snapshot`, as ZFS writes it.
    #[must_use]
    pub fn at(&self, snapshot: &str) -> String {
        format!("{}@{snapshot}", self.0)
    }
}

impl FromStr for DatasetName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.contains('@') {
            return Err(NameError::IsSnapshot(name.to_owned()));
        }
        if name.contains('#') {
            return Err(NameError::IsBookmark(name.to_owned()));
        }
        if name.starts_with('/') {
            return Err(NameError::Path(name.to_owned()));
        }
        for part in name.split('/') {
            check_component(name, part)?;
        }
        if !name.starts_with(|ch: char| ch.is_ascii_alphabetic()) {
            return Err(NameError::Pool(name.to_owned()));
        }
        if name.len() > MAX_NAME {
            return Err(NameError::TooLong(name.to_owned()));
        }
        Ok(Self(name.into()))
    }
}

impl TryFrom<String> for DatasetName {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        name.parse()
    }
}

impl From<DatasetName> for String {
    fn from(name: DatasetName) -> Self {
        name.0.into()
    }
}

impl AsRef<str> for DatasetName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A dataset's path relative to SOURCE (and so to TARGET); empty for the top itself.
///
/// Ordered as a tree is read: a dataset, then all below it, then its next sibling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct RelPath(Box<str>);

impl Ord for RelPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // By component: as plain strings, "a b" would come between "a" and "a/c".
        self.0.split('/').cmp(other.0.split('/'))
    }
}

impl PartialOrd for RelPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl RelPath {
    /// The path without a leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many levels below the top: 0 for the top itself.
    #[must_use]
    pub fn depth(&self) -> usize {
        if self.0.is_empty() { 0 } else { self.0.split('/').count() }
    }

    /// The path of the dataset above; `None` for the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map_or("", |(parent, _)| parent).into()))
    }
}

/// What follows `@` in a snapshot's name or `#` in a bookmark's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotName(Box<str>);

impl SnapshotName {
    /// Wraps a name that was checked when it was parsed.
    #[must_use]
    pub fn from_checked(name: &str) -> Self {
        Self(name.into())
    }

    /// The name without its `@` or `#`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SnapshotName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(ch) = name.chars().find(|&ch| !legal(ch)) {
            return Err(NameError::Character { name: name.to_owned(), ch });
        }
        if name.len() > MAX_NAME {
            return Err(NameError::TooLong(name.to_owned()));
        }
        Ok(Self(name.into()))
    }
}

impl TryFrom<String> for SnapshotName {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        name.parse()
    }
}

impl From<SnapshotName> for String {
    fn from(name: SnapshotName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A snapshot's identity: kept by `zfs recv`, shared by a snapshot and its bookmarks, never by two different snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Guid(pub u64);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What ZFS keeps of a cut receive, for `zfs send -t`; opaque to us.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResumeToken(pub String);

/// The transaction group that made a snapshot: within one dataset of one pool it gives the true order, which names and
/// clocks don't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Txg(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(name: &str) -> Result<DatasetName, NameError> {
        name.parse()
    }

    #[test]
    fn accepts_what_zfs_accepts() {
        for name in ["p", "pool/a", "pool/a b", "pool/ x ", "p/..x", "p/f1.2 echo ", "p/a:b-c_d", "P9/9"] {
            assert_eq!(dataset(name).unwrap().as_str(), name);
        }
        let longest = format!("p/{}", "x".repeat(253));
        assert!(dataset(&longest).is_ok());
    }

    #[test]
    fn refuses_what_zfs_refuses() {
        assert_eq!(dataset(""), Err(NameError::Empty));
        assert!(matches!(dataset("/p"), Err(NameError::Path(_))));
        assert!(matches!(dataset("p/"), Err(NameError::EmptyComponent(_))));
        assert!(matches!(dataset("p//a"), Err(NameError::EmptyComponent(_))));
        assert!(matches!(dataset("p/.."), Err(NameError::DotComponent(_))));
        assert!(matches!(dataset("p/a$b"), Err(NameError::Character { ch: '$', .. })));
        assert!(matches!(dataset("p/ä"), Err(NameError::Character { ch: 'ä', .. })));
        assert!(matches!(dataset("9p"), Err(NameError::Pool(_))));
        assert!(matches!(dataset("p@s"), Err(NameError::IsSnapshot(_))));
        assert!(matches!(dataset("p#b"), Err(NameError::IsBookmark(_))));
        let long = format!("p/{}", "x".repeat(254));
        assert_eq!(dataset(&long), Err(NameError::TooLong(long)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (name, words) in [
            ("/pool/x/", "\"/pool/x/\" is a path, not a dataset name; did you mean \"pool/x\"?"),
            ("p/a$b", "has the character '$'; ZFS allows letters"),
            (&"p".repeat(256), "has 256 bytes; ZFS allows 255 for a whole name"),
            ("p/", "empty component"),
        ] {
            let said = dataset(name).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn whole_components_count() {
        let base = dataset("t/target").unwrap();
        assert!(dataset("t/target/a").unwrap().is_within(&base));
        assert!(base.is_within(&base));
        assert!(!dataset("t/target_shouldnotbeexcluded").unwrap().is_within(&base));
    }

    #[test]
    fn paths_join_and_split() {
        let base = dataset("p/a").unwrap();
        let deep = dataset("p/a/b/c").unwrap();
        let path = deep.below(&base).unwrap();
        assert_eq!((path.as_str(), path.depth()), ("b/c", 2));
        assert_eq!(path.parent().unwrap().as_str(), "b");
        assert_eq!(dataset("q").unwrap().join(&path).unwrap().as_str(), "q/b/c");
        let names: Vec<_> = deep.ancestors().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["p", "p/a", "p/a/b"]);
        assert!(dataset(&format!("p/{}", "x".repeat(252))).unwrap().join(&path).is_err());
    }
}
