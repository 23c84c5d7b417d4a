//! zfsync's own bookmarks on the source: one per dataset and target, so that all snapshots may be pruned there without
//! breaking the chain. Here is decided how they are called and what they tell.
//!
//! A bookmark is made when its snapshot is sent, before anybody knows whether it arrives, and the one of its base stays until it
//! has: so it is the oldest that tells what a target has. A snapshot that is sent without a base gets a name with [`WAITING`].

use std::fmt;

use super::{Version, Versions};
use crate::hash;
use crate::name::{DatasetName, Guid, MAX_NAME, SnapshotName};

/// How every name of ours starts; a [`Tag`] and [`ARRIVED`] or [`WAITING`] follow.
const PREFIX: &str = "zfsync-";
/// Behind the tag: the target has this, or an older one that is marked so.
const ARRIVED: char = '-';
/// Behind the tag: nobody knows whether the target has anything.
const WAITING: char = '.';
/// Hexadecimal digits of a tag.
const DIGITS: usize = 8;

/// Gives each dataset of a target its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    /// HOST as it is reached, and the guid of the target's pool; none where only old tags are known.
    id: Option<(String, Guid)>,
    /// Hosts as they were written when tags went by that: what has such a tag is this target's, too.
    old: Vec<String>,
}

impl Tags {
    /// For a target that is reached so (nothing for this machine), on the pool whose root dataset has this guid.
    #[must_use]
    pub fn new(reached: &str, pool: Guid) -> Self {
        Self { id: Some((reached.to_owned(), pool)), old: Vec::new() }
    }

    /// For a target of which nothing is known but how its host was written.
    #[must_use]
    pub fn by_name(host: &str) -> Self {
        Self { id: None, old: vec![host.to_owned()] }
    }

    /// Knows the tags by these hosts for its own, as they were written.
    #[must_use]
    pub fn with_old(mut self, hosts: &[String]) -> Self {
        self.old.extend(hosts.iter().cloned());
        self
    }

    /// The tag of a dataset on the target, the same whichever tree it is pushed with. The same for all versions and
    /// machines too, since bookmarks outlive both.
    #[must_use]
    pub fn of(&self, target: &DatasetName) -> Tag {
        let old = self.old.iter().map(|host| digits(&format!("{host}:{target}")));
        let id = self.id.as_ref();
        let new = id.map(|(reached, pool)| digits(&format!("{reached}\n{:016x}\n{target}", pool.0)));
        let mut names = new.into_iter().chain(old);
        Tag { name: names.next().unwrap_or_default(), old: names.collect() }
    }
}

fn digits(text: &str) -> String {
    format!("{:0DIGITS$x}", hash::stable(text) >> 32)
}

/// What a bookmark of ours says of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// It has this snapshot; or, while there is an older bookmark of this kind, that one.
    Arrived,
    /// The snapshot is on its way, and there is nothing that the target is known to have.
    Waiting,
}

/// What a dataset's bookmarks tell of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTarget<'a> {
    /// Which dataset of it.
    pub tag: Tag,
    /// The newest bookmark of ours for it.
    pub newest: Version<'a>,
    /// That of what it has; none while not known to have received anything.
    pub has: Option<Version<'a>>,
}

/// Stands for one dataset of a target in the names of its bookmarks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// In the names of new ones.
    name: String,
    /// In those of older versions.
    old: Vec<String>,
}

impl Tag {
    /// All that it is called.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.old).map(String::as_str)
    }

    /// Whether both stand for the same.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.names().any(|name| other.names().any(|one| one == name))
    }

    /// Whether a bookmark of this name is ours, for this target, and has the name that it would get now.
    #[must_use]
    pub fn names_now(&self, bookmark: &str) -> bool {
        split(bookmark).is_some_and(|(tag, _, _)| tag == self.name)
    }

    /// Whether it is by an older version.
    #[must_use]
    pub fn is_old_name(&self, bookmark: &str) -> bool {
        split(bookmark).is_some_and(|(tag, _, _)| self.old.iter().any(|old| tag == old))
    }

    /// Whether a bookmark of this name is ours, for this target.
    #[must_use]
    pub fn owns(&self, bookmark: &str) -> bool {
        split(bookmark).is_some_and(|(tag, _, _)| self.names().any(|name| name == tag))
    }

    /// Whether a bookmark of this name is ours, for this target, and of this kind.
    #[must_use]
    pub fn owns_as(&self, kind: MarkKind, bookmark: &str) -> bool {
        split(bookmark).is_some_and(|(tag, found, _)| found == kind && self.names().any(|name| name == tag))
    }

    /// How the bookmark of this snapshot shall be called, given those that the dataset has. `None` when there is one
    /// already, or when no name is left: longer than ZFS allows, or taken by strangers.
    #[must_use]
    pub fn name_for(
        &self,
        kind: MarkKind,
        dataset: &DatasetName,
        (snapshot, guid): (&SnapshotName, Guid),
        there: &[(SnapshotName, Guid)],
    ) -> Option<SnapshotName> {
        let is_it = |name: &str| self.owns_as(kind, name) && self.names_now(name);
        if there.iter().any(|(name, theirs)| *theirs == guid && is_it(name.as_str())) {
            return None;
        }
        let sign = match kind {
            MarkKind::Arrived => ARRIVED,
            MarkKind::Waiting => WAITING,
        };
        let plain = format!("{PREFIX}{}{sign}{snapshot}", self.name);
        let with_guid = format!("{plain}-{:016x}", guid.0);
        let short = format!("{PREFIX}{}{sign}-{:016x}", self.name, guid.0);
        let fits = |name: &String| dataset.as_str().len() + 1 + name.len() <= MAX_NAME;
        let free = |name: &String| there.iter().all(|(other, _)| other.as_str() != name);
        let name = [plain, with_guid, short].into_iter().find(|name| fits(name) && free(name))?;
        name.parse().ok()
    }

    /// How a bookmark of this tag shall be called under another one, given those that the dataset has. `None` as for [`Tag::name_for`], and
    /// for what isn't one of this tag.
    #[must_use]
    pub fn renamed(
        &self,
        other: &Self,
        dataset: &DatasetName,
        (name, guid): (&str, Guid),
        there: &[(SnapshotName, Guid)],
    ) -> Option<SnapshotName> {
        let (_, kind, _) = split(name).filter(|_| self.owns(name))?;
        other.name_like(kind, dataset, (name, guid), there)
    }

    /// How a bookmark of ours shall be called once it stands for what nobody knows to have arrived.
    #[must_use]
    pub fn withdrawn(
        &self,
        dataset: &DatasetName,
        bookmark: (&str, Guid),
        there: &[(SnapshotName, Guid)],
    ) -> Option<SnapshotName> {
        self.name_like(MarkKind::Waiting, dataset, bookmark, there)
    }

    /// A name for what another bookmark of ours stands for.
    fn name_like(
        &self,
        kind: MarkKind,
        dataset: &DatasetName,
        (name, guid): (&str, Guid),
        there: &[(SnapshotName, Guid)],
    ) -> Option<SnapshotName> {
        // A short name doesn't tell its snapshot; nor will the new one.
        let snapshot = snapshot_of_name(name, guid).parse().or_else(|_| "x".repeat(240).parse()).ok()?;
        self.name_for(kind, dataset, (&snapshot, guid), there)
    }

    /// What the target has at the least, as the dataset's bookmarks tell; none when they don't.
    #[must_use]
    pub fn has<'a>(&self, bookmarks: &'a Versions) -> Option<Version<'a>> {
        bookmarks.iter().find(|mark| self.owns_as(MarkKind::Arrived, mark.name))
    }

    /// The newest of a dataset's bookmarks that is ours, for this target: its place.
    #[must_use]
    pub fn newest(&self, bookmarks: &Versions) -> Option<usize> {
        (0..bookmarks.len()).rev().find(|&at| bookmarks.get(at).is_some_and(|mark| self.owns(mark.name)))
    }
}

/// What is known of each target that the dataset has a bookmark of ours for.
#[must_use]
pub fn known_targets(bookmarks: &Versions) -> Vec<KnownTarget<'_>> {
    let mut known: Vec<KnownTarget<'_>> = Vec::new();
    for mark in bookmarks.iter().rev() {
        let Some((tag, kind, _)) = split(mark.name) else { continue };
        let at = known.iter().position(|known| known.tag.name == tag).unwrap_or_else(|| {
            known.push(KnownTarget { tag: Tag { name: tag.to_owned(), old: Vec::new() }, newest: mark, has: None });
            known.len() - 1
        });
        if kind == MarkKind::Arrived {
            known[at].has = Some(mark);
        }
    }
    known
}

/// Whether a bookmark of this name is one of ours, whichever the target.
#[must_use]
pub fn is_our_bookmark(name: &str) -> bool {
    split(name).is_some()
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The name that the snapshot of a bookmark had when the bookmark was made, as far as the bookmark's name tells: what to
/// ask the target for. A bookmark that isn't one of ours is usually called as its snapshot.
#[must_use]
pub fn snapshot_of<'a>(bookmark: &Version<'a>) -> &'a str {
    snapshot_of_name(bookmark.name, bookmark.guid)
}

/// The same for the bookmark's name and guid.
#[must_use]
pub fn snapshot_of_name(bookmark: &str, guid: Guid) -> &str {
    let Some((_, _, name)) = split(bookmark) else { return bookmark };
    let with_guid = name.len().checked_sub(17).and_then(|at| name.split_at_checked(at));
    match with_guid {
        Some((snapshot, suffix)) if suffix == format!("-{:016x}", guid.0) => snapshot,
        _ => name,
    }
}

/// Tag, kind and rest of a name of ours, whichever the target.
fn split(bookmark: &str) -> Option<(&str, MarkKind, &str)> {
    let (tag, rest) = bookmark.strip_prefix(PREFIX)?.split_at_checked(DIGITS)?;
    let is_tag = tag.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let (kind, rest) = match rest.strip_prefix(ARRIVED) {
        Some(rest) => (MarkKind::Arrived, rest),
        None => (MarkKind::Waiting, rest.strip_prefix(WAITING)?),
    };
    is_tag.then_some((tag, kind, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Txg;

    fn tag() -> Tag {
        Tags::new("beta:22", Guid(7)).of(&"bpool/t".parse().unwrap())
    }

    fn named(there: &[(&str, u64)], snapshot: &str, guid: u64) -> Option<String> {
        let there: Vec<(SnapshotName, Guid)> =
            there.iter().map(|(name, guid)| (name.parse().unwrap(), Guid(*guid))).collect();
        let (dataset, snapshot) = ("a/s".parse().unwrap(), snapshot.parse().unwrap());
        let name = tag().name_for(MarkKind::Arrived, &dataset, (&snapshot, Guid(guid)), &there);
        name.map(|name| name.to_string())
    }

    #[test]
    fn tags_are_fixed_for_ever() {
        let target = "bpool/t".parse().unwrap();
        assert_eq!(tag().to_string(), TAG);
        assert_eq!(Tags::by_name("beta").of(&target).to_string(), OLD);
        for (reached, pool, dataset) in
            [("", 7, "bpool/t"), ("beta:23", 7, "bpool/t"), ("beta:22", 8, "bpool/t"), ("beta:22", 7, "bpool/u")]
        {
            assert!(!tag().is(&Tags::new(reached, Guid(pool)).of(&dataset.parse().unwrap())));
        }
    }

    /// A change would orphan everybody's bookmarks.
    const TAG: &str = "66c54372";
    /// By the name of the host, as older versions have it.
    const OLD: &str = "b932dc64";

    #[test]
    fn old_tags_count_until_new_ones_are_there() {
        let tag = Tags::new("beta:22", Guid(7)).with_old(&["beta".to_owned()]).of(&"bpool/t".parse().unwrap());
        let old: SnapshotName = format!("zfsync-{OLD}-s").parse().unwrap();
        assert!(tag.owns(old.as_str()) && tag.owns_as(MarkKind::Arrived, old.as_str()));
        assert!(tag.is_old_name(old.as_str()) && !tag.names_now(old.as_str()));
        assert!(tag.is(&Tags::by_name("beta").of(&"bpool/t".parse().unwrap())));
        let (dataset, snapshot) = ("a/s".parse().unwrap(), "s".parse().unwrap());
        let new = tag.name_for(MarkKind::Arrived, &dataset, (&snapshot, Guid(1)), &[(old, Guid(1))]).unwrap();
        assert_eq!(new.as_str(), format!("zfsync-{TAG}-s"));
        assert!(tag.names_now(new.as_str()));
    }

    #[test]
    fn names_tell_the_snapshot_and_avoid_strangers() {
        let plain = format!("zfsync-{TAG}-s1");
        assert_eq!(named(&[], "s1", 7), Some(plain.clone()));
        assert_eq!(named(&[(&plain, 7)], "s1", 7), None, "it is there");
        let suffixed = format!("{plain}-0000000000000009");
        assert_eq!(named(&[(&plain, 7)], "s1", 9), Some(suffixed.clone()));
        let short = format!("zfsync-{TAG}--0000000000000009");
        assert_eq!(named(&[(&plain, 7), (&suffixed, 8)], "s1", 9), Some(short.clone()));
        assert_eq!(named(&[(&plain, 7), (&suffixed, 8), (&short, 8)], "s1", 9), None);
        assert_eq!(named(&[], &"x".repeat(240), 9), Some(short), "the full name would be too long");
    }

    #[test]
    fn the_snapshot_is_read_from_the_name() {
        let read = |name: &str, guid| {
            let version = Version { name, guid: Guid(guid), txg: Txg(1) };
            snapshot_of(&version).to_owned()
        };
        assert_eq!(read("zfsync-0123abcd-s 1", 9), "s 1");
        assert_eq!(read("zfsync-0123abcd.s 1", 9), "s 1");
        assert_eq!(read("zfsync-0123abcd-s1-0000000000000009", 9), "s1");
        assert_eq!(read("zfsync-0123abcd-s1-0000000000000009", 8), "s1-0000000000000009", "part of its name");
        for foreign in
            ["s1", "zfsync-s1", "zfsync-0123ABCD-s1", "zfsync-0123abcds1", "zfsync-\u{e4}\u{e4}\u{e4}\u{e4}-x"]
        {
            assert_eq!(read(foreign, 9), foreign);
        }
    }

    #[test]
    fn only_the_targets_own_count() {
        let mut marks = Versions::default();
        let own = format!("zfsync-{TAG}-b");
        for (name, txg) in [("a", 1), (own.as_str(), 2), ("zfsync-0123abcd-c", 3)] {
            marks.push(&name.parse().unwrap(), Guid(txg), Txg(txg));
        }
        assert_eq!(tag().newest(&marks), Some(1));
        let known: Vec<(String, &str)> =
            known_targets(&marks).into_iter().map(|known| (known.tag.to_string(), known.newest.name)).collect();
        assert_eq!(known, [("0123abcd".to_owned(), "zfsync-0123abcd-c"), (TAG.to_owned(), own.as_str())]);
    }

    #[test]
    fn the_oldest_tells_what_has_arrived() {
        let has = |names: &[&str]| {
            let mut marks = Versions::default();
            for (name, txg) in names.iter().zip(1..) {
                marks.push(&format!("zfsync-{TAG}{name}").parse().unwrap(), Guid(txg), Txg(txg));
            }
            let known = known_targets(&marks);
            assert_eq!(known.len(), usize::from(!names.is_empty()));
            let has = known.first().and_then(|known| known.has).map(|mark| mark.guid.0);
            assert_eq!(tag().has(&marks).map(|mark| mark.guid.0), has);
            has
        };
        assert_eq!(has(&[]), None);
        assert_eq!(has(&[".first"]), None, "nobody knows whether it has arrived");
        assert_eq!(has(&["-base", "-next", "-newest"]), Some(1));
        assert_eq!(has(&[".first", "-second"]), Some(2));
        let name = |kind, there: &[(SnapshotName, Guid)]| {
            tag()
                .name_for(kind, &"p/a".parse().unwrap(), (&"s".parse().unwrap(), Guid(7)), there)
                .map(|one| one.to_string())
        };
        let waiting = name(MarkKind::Waiting, &[]).unwrap();
        assert_eq!(waiting, format!("zfsync-{TAG}.s"));
        let there = [(waiting.parse().unwrap(), Guid(7))];
        assert_eq!(name(MarkKind::Waiting, &there), None);
        assert_eq!(name(MarkKind::Arrived, &there), Some(format!("zfsync-{TAG}-s")));
    }
}
