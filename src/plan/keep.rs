//! Which snapshots of a dataset are kept, and which are pruned: the rules' word, what other rules have no say in, and what a target
//! still needs.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::calendar::Calendar;
use super::naming::Naming;
use super::retention::{Aged, KeptBy, Rules};
use zfs::name::Txg;
use zfs::{Version, Versions};

/// Which snapshots the rules are about; no other is ever touched.
#[derive(Debug, Clone)]
pub struct Scope {
    /// How own snapshots are called.
    pub naming: Naming,
    /// Whether snapshots that zfsync hasn't made count too.
    pub foreign: bool,
    matching: Option<GlobSet>,
    excluded: GlobSet,
}

/// Why a snapshot is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// The rules are not about it.
    OutOfScope,
    /// A rule keeps it.
    Rule(KeptBy),
    /// A target has it as its newest, or lacks it still.
    NeededBy(String),
}

/// From here on a dataset's snapshots are needed: the newest that both sides have, and all after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// Its place in the order of the dataset; 0 for all.
    pub since: Txg,
    /// By whom, for messages.
    pub by: String,
}

impl Scope {
    /// `matching` and `excluded` are globs for names of snapshots; an exclude wins. An error tells the glob and what is
    /// wrong with it.
    pub fn new(naming: Naming, foreign: bool, matching: &[String], excluded: &[String]) -> Result<Self, String> {
        let matching = if matching.is_empty() { None } else { Some(globs(matching)?) };
        Ok(Self { naming, foreign, matching, excluded: globs(excluded)? })
    }

    /// Whether the rules are about a snapshot of this name.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        (self.foreign || self.naming.format.parse(name).is_some())
            && self.matching.as_ref().is_none_or(|globs| globs.is_match(name))
            && !self.excluded.is_match(name)
    }

    /// Age and class as the name tells them, or as far as it doesn't, `creation`.
    #[must_use]
    pub fn age(&self, name: &str, creation: Option<i64>) -> Aged {
        match self.naming.format.parse(name) {
            None => Aged { time: creation, class: None },
            Some(stamp) => Aged { time: stamp.moment(&self.naming.zone, creation), class: stamp.class },
        }
    }
}

/// For each snapshot of a dataset (oldest first) why it is kept; one without a reason is pruned. `age` tells what the rules need of each.
#[must_use]
pub fn kept<'a>(
    snapshots: &'a Versions,
    scope: &Scope,
    rules: &Rules,
    calendar: &Calendar,
    needed: &[Needed],
    age: impl Fn(&Version<'a>) -> Aged,
) -> Vec<Option<Kept>> {
    let covered: Vec<usize> =
        snapshots.iter().enumerate().filter(|(_, snapshot)| scope.covers(snapshot.name)).map(|(at, _)| at).collect();
    let ages: Vec<Aged> = covered.iter().filter_map(|at| snapshots.get(*at)).map(|snapshot| age(&snapshot)).collect();
    let mut stays = vec![Some(Kept::OutOfScope); snapshots.len()];
    for (at, kept) in covered.into_iter().zip(rules.apply(&ages, calendar)) {
        stays[at] = kept.map(Kept::Rule);
    }
    let first = needed.iter().min_by_key(|needed| needed.since);
    for (snapshot, stays) in snapshots.iter().zip(&mut stays).filter(|(_, stays)| stays.is_none()) {
        *stays = first.filter(|needed| snapshot.txg >= needed.since).map(|needed| Kept::NeededBy(needed.by.clone()));
    }
    stays
}

/// What a target needs of a dataset, given what it has of it.
#[must_use]
pub fn needed_by(by: &str, snapshots: &Versions, bookmarks: &Versions, has: &Versions) -> Needed {
    let theirs: std::collections::HashSet<_> = has.iter().map(|snapshot| snapshot.guid).collect();
    let common = |versions: &Versions| {
        versions.iter().rev().find(|version| theirs.contains(&version.guid)).map(|version| version.txg)
    };
    // Nothing in common: everything may still have to be sent.
    Needed { since: common(snapshots).max(common(bookmarks)).unwrap_or(Txg(0)), by: by.to_owned() }
}

fn globs(patterns: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = GlobBuilder::new(pattern).backslash_escape(true).build();
        set.add(glob.map_err(|error| format!("{pattern:?}: {}", error.kind()))?);
    }
    set.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use jiff::tz::TimeZone;
    use zfs::name::Guid;

    fn versions(all: &[(&str, u64)]) -> Versions {
        let mut versions = Versions::default();
        for (name, txg) in all {
            versions.push(&name.parse().unwrap(), Guid(txg * 10), Txg(*txg));
        }
        versions.sort();
        versions
    }

    fn scope(foreign: bool, matching: &[&str], excluded: &[&str]) -> Scope {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        Scope::new(naming(), foreign, &own(matching), &own(excluded)).unwrap()
    }

    fn naming() -> Naming {
        Naming { format: "%y%m%d-%H%M%S_{class}".parse().unwrap(), zone: TimeZone::UTC }
    }

    fn calendar() -> Calendar {
        Calendar { zone: TimeZone::UTC, now: 2_000_000_000 }
    }

    fn goes(snapshots: &Versions, scope: &Scope, rules: &Rules, needed: &[Needed]) -> Vec<String> {
        let stays = kept(snapshots, scope, rules, &calendar(), needed, |snapshot| scope.age(snapshot.name, None));
        let gone = snapshots.iter().zip(stays).filter(|(_, stays)| stays.is_none());
        gone.map(|(snapshot, _)| snapshot.name.to_owned()).collect()
    }

    const NAMES: [(&str, u64); 5] =
        [("241120-000000_D", 1), ("mine", 2), ("241121-000000_D", 3), ("241122-000000_D", 4), ("241122-010000_H", 5)];

    fn last(count: usize) -> Rules {
        Rules { last: Some(count), ..Rules::default() }
    }

    #[test]
    fn only_what_the_rules_are_about_goes() {
        let all = versions(&NAMES);
        assert_eq!(
            goes(&all, &scope(false, &[], &[]), &last(1), &[]),
            ["241120-000000_D", "241121-000000_D", "241122-000000_D"]
        );
        assert_eq!(goes(&all, &scope(false, &["*_D"], &["24112[12]*"]), &last(0), &[]), Vec::<String>::new());
        assert_eq!(goes(&all, &scope(false, &["*_D"], &["241121*"]), &last(0), &[]), ["241120-000000_D"]);
        assert_eq!(goes(&all, &scope(true, &["mine", "*H"], &[]), &last(1), &[]), ["mine"]);
    }

    #[test]
    fn what_a_target_needs_stays() {
        let all = versions(&NAMES);
        let none = Versions::default();
        let needed = |has: &[(&str, u64)], marks: &[(&str, u64)]| {
            let needed = needed_by("beta", &all, &versions(marks), &versions(has));
            goes(&all, &scope(false, &[], &[]), &last(1), &[needed])
        };
        assert_eq!(needed(&[("x", 3)], &[]), ["241120-000000_D"], "by guid, whatever its name");
        assert_eq!(needed(&[("x", 2)], &[("m", 2)]), ["241120-000000_D"]);
        assert_eq!(needed(&[("x", 9)], &[]), Vec::<String>::new(), "nothing in common yet");
        assert_eq!(needed(&[("x", 4), ("y", 1)], &[]), ["241120-000000_D", "241121-000000_D"]);
        // Of two targets the one that is further behind counts.
        let both =
            [needed_by("a", &all, &none, &versions(&[("x", 4)])), needed_by("b", &all, &none, &versions(&[("x", 1)]))];
        assert_eq!(goes(&all, &scope(false, &[], &[]), &last(1), &both), Vec::<String>::new());
        let stays = kept(&all, &scope(false, &[], &[]), &last(1), &calendar(), &both, |_| Aged::default());
        assert_eq!(stays[0], Some(Kept::NeededBy("b".into())));
        assert_eq!(stays[1], Some(Kept::OutOfScope));
        assert_eq!(stays[4], Some(Kept::Rule(KeptBy::Last)));
    }

    #[test]
    fn bad_globs_are_told() {
        assert!(Scope::new(naming(), false, &["[".into()], &[]).unwrap_err().contains("[\""));
    }

    proptest! {
        #[test]
        fn the_newest_common_never_goes(
            days in proptest::collection::btree_set(0_u64..300, 1..30),
            common in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
            keep in 0_usize..4,
            periods in proptest::option::of(proptest::sample::select(vec!["7d", "1d,4w", "12m"])),
        ) {
            let name = |day: u64| {
                let date = jiff::civil::date(2024, 1, 1).checked_add(jiff::Span::new().days(i64::try_from(day).unwrap()));
                format!("{}-000000_D", date.unwrap().strftime("%y%m%d"))
            };
            let names: Vec<(String, u64)> = days.iter().map(|day| (name(*day), *day + 1)).collect();
            let borrowed: Vec<(&str, u64)> = names.iter().map(|(name, txg)| (name.as_str(), *txg)).collect();
            let all = versions(&borrowed);
            let has: Vec<(&str, u64)> = common.iter().map(|at| *at.get(&borrowed)).collect();
            let has = versions(&has);
            let rules = Rules { last: Some(keep), periods: periods.map(|text| text.parse().unwrap()), ..Rules::default() };
            let scope = scope(false, &[], &[]);
            let needed = [needed_by("t", &all, &Versions::default(), &has)];
            let stays = kept(&all, &scope, &rules, &calendar(), &needed, |snapshot| scope.age(snapshot.name, None));
            let newest_common = has.newest().map_or(Txg(0), |newest| newest.txg);
            for (snapshot, stays) in all.iter().zip(&stays) {
                prop_assert!(stays.is_some() || snapshot.txg < newest_common);
            }
            prop_assert!(stays.last().unwrap().is_some());
            // Again: nothing more goes.
            let rest: Versions = all.iter().zip(&stays).filter(|(_, stays)| stays.is_some()).map(|(one, _)| one).collect();
            let again = kept(&rest, &scope, &rules, &calendar(), &needed, |snapshot| scope.age(snapshot.name, None));
            prop_assert!(again.iter().all(Option::is_some));
        }
    }
}
