//! What a prune destroys on either side, dataset by dataset.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::SourceDataset;
use super::calendar::Calendar;
use super::keep::{Kept, Needed, Scope, kept, needed_by};
use super::retention::{KeptBy, Rules};
use zfs::name::{DatasetName, Guid, SnapshotName, Txg};
use zfs::{KnownTarget, Tag, Version, Versions, known_targets};

/// What a target has of one dataset of the source.
#[derive(Debug, Clone)]
pub struct Peer<'a> {
    /// The target's dataset, for messages.
    pub label: String,
    /// What the names of its bookmarks on the source have in them.
    pub tag: Tag,
    /// What is known of it.
    pub has: Has<'a>,
}

/// What is known of a target's dataset.
#[derive(Debug, Clone, Copy)]
pub enum Has<'a> {
    /// It has these snapshots.
    Snapshots(&'a Versions),
    /// It doesn't exist.
    Nothing,
    /// It was not asked: its bookmarks on the source tell what it had at the least.
    Bookmark,
}

/// How snapshots are chosen.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// Which snapshots.
    pub scope: &'a Scope,
    /// What stays of them.
    pub rules: &'a Rules,
    /// Whose periods count, and up to when.
    pub calendar: &'a Calendar,
    /// When the snapshots were made whose names don't tell, by full name.
    pub dates: &'a HashMap<String, i64>,
    /// What has come to a copy as the newest from its own source.
    pub received: &'a HashSet<Guid>,
}

/// One dataset's share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Which dataset.
    pub dataset: DatasetName,
    /// What goes, oldest first.
    pub goes: Vec<(SnapshotName, Guid)>,
    /// How many stay by the rules.
    pub by_rule: usize,
    /// What stays as it says that it will be made later; no rule counts it.
    pub ahead: Vec<SnapshotName>,
    /// How many stay as the rules are not about them.
    pub out_of_scope: usize,
    /// How many stay only because the source of this copy continues from them.
    pub received: usize,
    /// How many stay only because somebody needs them.
    pub needed: usize,
    /// Who.
    pub needed_by: BTreeSet<String>,
}

impl Choice<'_> {
    fn cut(&self, dataset: &DatasetName, snapshots: &Versions, needed: &[Needed]) -> Cut {
        let age = |snapshot: &Version<'_>| {
            // Few are asked for: mostly the names tell.
            let creation = || self.dates.get(&dataset.at(snapshot.name)).copied();
            self.scope.age(snapshot.name, if self.dates.is_empty() { None } else { creation() })
        };
        let mut cut = Cut {
            dataset: dataset.clone(),
            goes: Vec::new(),
            by_rule: 0,
            ahead: Vec::new(),
            out_of_scope: 0,
            received: 0,
            needed: 0,
            needed_by: BTreeSet::new(),
        };
        let stays = kept(snapshots, self.scope, self.rules, self.calendar, needed, age);
        for (snapshot, stays) in snapshots.iter().zip(stays) {
            match stays {
                None if self.received.contains(&snapshot.guid) => cut.received += 1,
                None => cut.goes.push((snapshot.snapshot_name(), snapshot.guid)),
                Some(Kept::Rule(KeptBy::Future)) => cut.ahead.push(snapshot.snapshot_name()),
                Some(Kept::Rule(_)) => cut.by_rule += 1,
                Some(Kept::OutOfScope) => cut.out_of_scope += 1,
                Some(Kept::NeededBy(who)) => {
                    cut.needed += 1;
                    cut.needed_by.insert(who);
                }
            }
        }
        cut
    }
}

/// What goes of a dataset of the source. Targets that nobody has named are known by their bookmarks (`heed_bookmarks`).
#[must_use]
pub fn prune_source(
    dataset: &DatasetName,
    source: &SourceDataset,
    peers: &[Peer<'_>],
    heed_bookmarks: bool,
    choice: &Choice<'_>,
) -> Cut {
    let (none, marks) = (Versions::default(), all_marks(source));
    let needed = peers.iter().map(|peer| match peer.has {
        Has::Snapshots(has) => needed_by(&peer.label, &source.snapshots, &source.bookmarks, has),
        Has::Nothing => needed_by(&peer.label, &source.snapshots, &source.bookmarks, &none),
        Has::Bookmark => since(source, peer.tag.has(&marks), peer.label.clone()),
    });
    let mut needed: Vec<Needed> = needed.collect();
    if heed_bookmarks {
        let others = known_targets(&marks);
        let others = others.into_iter().filter(|known| !peers.iter().any(|peer| peer.tag.is(&known.tag)));
        needed.extend(others.map(|known| {
            let name = known.has.unwrap_or(known.newest).name;
            let mark = shell_words::quote(&format!("{dataset}#{name}")).into_owned();
            let by = format!(
                "a target that is not recorded (--only-named-targets ignores it; if it no longer exists: zfs destroy {mark})"
            );
            since(source, known.has, by)
        }));
    }
    choice.cut(dataset, &source.snapshots, &needed)
}

/// What somebody needs who has what this bookmark stands for.
fn since(source: &SourceDataset, has: Option<Version<'_>>, by: String) -> Needed {
    match has {
        None => Needed { since: Txg(0), by },
        Some(mark) if source.false_bookmarks.iter().any(|one| one.guid == mark.guid) => {
            let why =
                "it is unproven that it is still part of the dataset's history, as only root can read zpool history -i";
            Needed { since: Txg(0), by: format!("{by}: only its bookmark #{} is known, and {why}", mark.name) }
        }
        Some(mark) => Needed { since: mark.txg, by },
    }
}

/// All bookmarks of a dataset, whether they are to be believed or not.
fn all_marks(source: &SourceDataset) -> Versions {
    source.bookmarks.iter().chain(source.false_bookmarks.iter()).collect()
}

/// Whether what goes of a dataset depends on a bookmark whose snapshot is gone.
#[must_use]
pub fn relies_on_orphans(source: &SourceDataset, peers: &[Peer<'_>], heed_bookmarks: bool) -> bool {
    let orphans: HashSet<Guid> = source.orphans().map(|mark| mark.guid).collect();
    if orphans.is_empty() {
        return false;
    }
    let is_orphan = |mark: Option<Version<'_>>| mark.is_some_and(|mark| orphans.contains(&mark.guid));
    let asked = |peer: &Peer<'_>| match peer.has {
        Has::Snapshots(has) => has.iter().any(|snapshot| orphans.contains(&snapshot.guid)),
        Has::Nothing => false,
        Has::Bookmark => is_orphan(peer.tag.has(&source.bookmarks)),
    };
    let known = |known: KnownTarget<'_>| is_orphan(known.has);
    peers.iter().any(asked) || (heed_bookmarks && known_targets(&source.bookmarks).into_iter().any(known))
}

/// What goes of a dataset of a target: never the newest that the source has too, nor what is newer.
#[must_use]
pub fn prune_target(dataset: &DatasetName, target: &Versions, source: &SourceDataset, choice: &Choice<'_>) -> Cut {
    let theirs: Versions = source.snapshots.iter().chain(source.bookmarks.iter()).collect();
    let needed = needed_by("the source", target, &Versions::default(), &theirs);
    choice.cut(dataset, target, &[needed])
}

/// The newest snapshot of a copy that was not taken there, so that it has come from the copy's source: the next increment starts from it.
/// As others may have been taken there by hand, the newest that is called as zfsync's own, too.
#[must_use]
pub fn newest_of_others(copy: &Versions, scope: &Scope, is_taken: impl Fn(&str) -> bool) -> Vec<Guid> {
    let others = || copy.iter().rev().filter(|snapshot| !is_taken(snapshot.name));
    let named = others().find(|snapshot| scope.naming.format.parse(snapshot.name).is_some());
    others().next().into_iter().chain(named).map(|snapshot| snapshot.guid).collect()
}

/// The snapshots whose dates have to be asked for: their names don't tell.
#[must_use]
pub fn undated(dataset: &DatasetName, snapshots: &Versions, scope: &Scope) -> Vec<String> {
    let undated = |snapshot: &Version<'_>| scope.covers(snapshot.name) && scope.age(snapshot.name, None).time.is_none();
    snapshots.iter().filter(undated).map(|snapshot| dataset.at(snapshot.name)).collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::plan::fixture::numbered as versions;
    use crate::plan::{Format, Naming};
    use zfs::Tags;

    fn names(cut: &Cut) -> Vec<&str> {
        cut.goes.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn with<T>(act: impl FnOnce(&Choice<'_>) -> T) -> T {
        let naming = Naming { format: Format::default(), zone: TimeZone::UTC };
        let scope = Scope::new(naming, true, &[], &[]).unwrap();
        let rules = Rules { last: Some(1), ..Rules::default() };
        let calendar = Calendar { zone: TimeZone::UTC, now: 2_000_000_000 };
        let (dates, received) = (HashMap::new(), HashSet::new());
        act(&Choice { scope: &scope, rules: &rules, calendar: &calendar, dates: &dates, received: &received })
    }

    #[test]
    fn targets_that_nobody_named_are_heeded() {
        let dataset: DatasetName = "t/a".parse().unwrap();
        let tag = |host| Tags::new(host, Guid(1)).of(&dataset);
        let mark = format!("zfsync-{}-c", tag("old"));
        let source = SourceDataset {
            snapshots: versions(&[("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)]),
            bookmarks: versions(&[(&mark, 3)]),
            ..SourceDataset::default()
        };
        with(|choice| {
            let cut = prune_source(&dataset, &source, &[], true, choice);
            assert_eq!((names(&cut), cut.needed), (vec!["a", "b"], 2));
            assert!(cut.needed_by.first().unwrap().contains(&mark), "{:?}", cut.needed_by);
            assert_eq!(names(&prune_source(&dataset, &source, &[], false, choice)), ["a", "b", "c", "d"]);
            // What a named target has is known better than by its bookmark.
            let has = versions(&[("x", 4)]);
            let peer = |host| Peer { label: "beta:t/a".into(), tag: tag(host), has: Has::Snapshots(&has) };
            assert_eq!(names(&prune_source(&dataset, &source, &[peer("old")], true, choice)), ["a", "b", "c"]);
            assert_eq!(names(&prune_source(&dataset, &source, &[peer("new")], true, choice)), ["a", "b"]);
            let missing = Peer { has: Has::Nothing, ..peer("old") };
            assert_eq!(names(&prune_source(&dataset, &source, &[missing], true, choice)), [""; 0]);
            let unasked = |host| Peer { has: Has::Bookmark, ..peer(host) };
            assert_eq!(names(&prune_source(&dataset, &source, &[unasked("old")], false, choice)), ["a", "b"]);
            assert_eq!(names(&prune_source(&dataset, &source, &[unasked("new")], false, choice)), [""; 0]);
        });
    }

    #[test]
    fn what_is_on_its_way_has_not_arrived() {
        let dataset: DatasetName = "t/a".parse().unwrap();
        let tag = Tags::new("old", Guid(1)).of(&dataset);
        let source = |marks: &[(&str, u64)]| {
            let marks: Vec<(String, u64)> =
                marks.iter().map(|(mark, at)| (format!("zfsync-{tag}{mark}"), *at)).collect();
            let marks: Vec<(&str, u64)> = marks.iter().map(|(mark, at)| (mark.as_str(), *at)).collect();
            SourceDataset {
                snapshots: versions(&[("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)]),
                bookmarks: versions(&marks),
                ..SourceDataset::default()
            }
        };
        let peer = || Peer { label: "old:t/a".into(), tag: tag.clone(), has: Has::Bookmark };
        with(|choice| {
            for (marks, goes) in [
                (&[("-b", 2), ("-e", 5)][..], &["a"][..]),
                (&[(".e", 5)], &[]),
                (&[(".b", 2), ("-c", 3)], &["a", "b"]),
                (&[], &[]),
            ] {
                let source = source(marks);
                assert_eq!(names(&prune_source(&dataset, &source, &[peer()], false, choice)), goes, "{marks:?}");
                if !marks.is_empty() {
                    assert_eq!(names(&prune_source(&dataset, &source, &[], true, choice)), goes, "{marks:?}");
                }
            }
        });
    }

    #[test]
    fn a_target_keeps_its_base() {
        let dataset: DatasetName = "t/a".parse().unwrap();
        let target = versions(&[("a", 1), ("b", 2), ("own", 9)]);
        let source = |snapshots: &[(&str, u64)], bookmarks: &[(&str, u64)]| SourceDataset {
            snapshots: versions(snapshots),
            bookmarks: versions(bookmarks),
            ..SourceDataset::default()
        };
        with(|choice| {
            assert_eq!(names(&prune_target(&dataset, &target, &source(&[("b", 2), ("c", 3)], &[]), choice)), ["a"]);
            assert_eq!(names(&prune_target(&dataset, &target, &source(&[("c", 3)], &[("m", 1)]), choice)), [""; 0]);
            assert_eq!(names(&prune_target(&dataset, &target, &source(&[("c", 3)], &[("m", 2)]), choice)), ["a"]);
            assert_eq!(names(&prune_target(&dataset, &target, &source(&[("c", 3)], &[]), choice)), [""; 0]);
        });
    }

    #[test]
    fn a_copy_keeps_what_its_source_continues_from() {
        let dataset: DatasetName = "t/a".parse().unwrap();
        let names = ["241101-000000_D", "241102-000000_D", "hand", "241103-000000_D", "241104-000000_D"];
        let all: Vec<(&str, u64)> = names.into_iter().zip(1..).collect();
        let source = SourceDataset { snapshots: versions(&all), ..SourceDataset::default() };
        with(|choice| {
            let newest =
                newest_of_others(&source.snapshots, choice.scope, |name| name > "241102-000000_D" && name != "hand");
            let guid = |at: usize| source.snapshots.get(at).unwrap().guid;
            assert_eq!(newest, [guid(2), guid(1)]);
            let received = newest.into_iter().collect();
            let cut = prune_source(&dataset, &source, &[], true, &Choice { received: &received, ..*choice });
            let goes: Vec<&str> = cut.goes.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!((goes, cut.received), (vec!["241101-000000_D", "241103-000000_D"], 2));
            // Of a copy where none was taken the newest stays anyway.
            assert_eq!(newest_of_others(&source.snapshots, choice.scope, |_| false), [guid(4), guid(4)]);
            assert_eq!(newest_of_others(&source.snapshots, choice.scope, |_| true), []);
        });
    }

    fn pruned(all: &Versions, cut: &Cut) -> Versions {
        all.iter().filter(|one| cut.goes.iter().all(|(_, guid)| *guid != one.guid)).collect()
    }

    fn guids(all: &Versions) -> Vec<Guid> {
        all.iter().map(|one| one.guid).collect()
    }

    proptest! {
        /// Whichever side is pruned first, and however often, both end alike.
        #[test]
        fn the_order_of_prunes_makes_no_difference(
            snapshots in proptest::collection::btree_map(0_i64..900, 0_u8..4, 1..40),
            last in 0_usize..4,
            periods in proptest::option::of(proptest::sample::select(vec!["7d", "4d,4w", "3w,12m,2y"])),
        ) {
            // By day: on one side, on the other, or on both.
            let name = |day: i64| {
                let date = jiff::civil::date(2024, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
                format!("{}-000000_D", date.strftime("%y%m%d"))
            };
            let side = |places: [u8; 2]| {
                let here = snapshots.iter().filter(|(_, place)| **place == 3 || places.contains(place));
                let named: Vec<(String, u64)> = here.map(|(day, _)| (name(*day), day.unsigned_abs() + 1)).collect();
                versions(&named.iter().map(|(name, number)| (name.as_str(), *number)).collect::<Vec<_>>())
            };
            let dataset: DatasetName = "t/a".parse().unwrap();
            let source = |snapshots| SourceDataset { snapshots, ..SourceDataset::default() };
            let naming = Naming { format: Format::default(), zone: TimeZone::UTC };
            let scope = Scope::new(naming, false, &[], &[]).unwrap();
            let rules = Rules { last: Some(last), periods: periods.map(|text| text.parse().unwrap()), classes: None };
            let calendar = Calendar { zone: TimeZone::UTC, now: 2_000_000_000 };
            let (dates, received) = (HashMap::new(), HashSet::new());
            let choice = Choice { scope: &scope, rules: &rules, calendar: &calendar, dates: &dates, received: &received };
            let here = |here: &Versions, there: &Versions| {
                let peer = Peer { label: "t".into(), tag: Tags::new("", Guid(1)).of(&dataset), has: Has::Snapshots(there) };
                pruned(here, &prune_source(&dataset, &source(here.clone()), &[peer], true, &choice))
            };
            let there = |here: &Versions, there: &Versions| {
                pruned(there, &prune_target(&dataset, there, &source(here.clone()), &choice))
            };
            let (begin, theirs) = (side([0, 1]), side([2, 2]));
            let source_first = here(&begin, &theirs);
            let one = (guids(&source_first), guids(&there(&source_first, &theirs)));
            let target_first = there(&begin, &theirs);
            let other = (guids(&here(&begin, &target_first)), guids(&target_first));
            prop_assert_eq!(&one, &other);
            let again = here(&source_first, &target_first);
            prop_assert_eq!((guids(&again), guids(&there(&again, &target_first))), one);
        }
    }
}
