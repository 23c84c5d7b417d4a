//! What could not be done with bookmarks, and the commands by which root grants what that takes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use zfs::name::DatasetName;
use zfs::permission;

/// So many commands are named at most.
const GRANTS: usize = 5;

/// What could not be done with bookmarks, once for all datasets.
pub(super) struct Problem {
    /// What it means.
    pub(super) meaning: &'static str,
    /// Of the first dataset.
    said: String,
    /// What it takes.
    permissions: &'static str,
    /// Where zfs didn't permit it: datasets, or what is above all of them.
    lacking: BTreeSet<DatasetName>,
}

impl Problem {
    /// That of the first dataset.
    pub(super) fn new(meaning: &'static str, said: String, permissions: &'static str) -> Self {
        Self { meaning, said, permissions, lacking: BTreeSet::new() }
    }

    /// Nobody needs to destroy more than what is named; the rest is granted on the nearest dataset that is above all of them.
    pub(super) fn lacks(&mut self, dataset: &DatasetName) {
        let above = |on: &DatasetName| {
            std::iter::successors(Some(on.clone()), DatasetName::parent).find(|above| dataset.is_within(above))
        };
        match self.lacking.first().filter(|_| self.permissions != permission::CLEAR).and_then(above) {
            Some(common) => self.lacking = BTreeSet::from([common]),
            None => _ = self.lacking.insert(dataset.clone()),
        }
    }

    /// In words, with the commands by which root grants it.
    pub(super) fn text(&self, user: &str) -> String {
        // What is delegated on a dataset counts for those below it.
        let is_covered = |on: &DatasetName| on.ancestors().iter().any(|above| self.lacking.contains(above));
        let on = self.lacking.iter().filter(|on| !is_covered(on));
        let grants: BTreeSet<String> =
            on.filter_map(|on| permission::grant(user, &self.said, self.permissions, on)).collect();
        let mut text = format!("{}: {}", self.meaning, self.said);
        for grant in grants.iter().take(GRANTS) {
            let _ = write!(text, "\n  root on the source's host{}{grant}", permission::GRANT);
        }
        if let Some(more) = grants.len().checked_sub(GRANTS).filter(|more| *more > 0) {
            let _ = write!(text, "\n  and {more} more datasets that need the same");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_destroy_is_granted_where_it_is_needed_only() {
        for (permissions, on) in [(permission::CLEAR, vec!["p/a", "p/b/c"]), (permission::BOOKMARK, vec!["p"])] {
            let mut problem = Problem::new("m", "s".into(), permissions);
            for dataset in ["p/a", "p/a/x", "p/b/c"] {
                problem.lacks(&dataset.parse().unwrap());
            }
            let grant = |on: &&str| {
                format!("\n  root on the source's host{}zfs allow u {permissions} '{on}'", permission::GRANT)
            };
            assert_eq!(problem.text("u"), format!("m: s{}", on.iter().map(grant).collect::<String>()));
            assert_eq!(problem.text("root"), "m: s");
        }
    }

    #[test]
    fn of_very_many_commands_a_few_are_named() {
        let told = |said: &str, count: u32| {
            let mut problem = Problem::new("m", said.into(), permission::CLEAR);
            (0..count).for_each(|n| problem.lacks(&format!("p/{n:04}").parse().unwrap()));
            problem.text("u")
        };
        let many = told("permission denied", 1000);
        assert_eq!(many.matches(permission::GRANT).count(), 5, "{many}");
        assert!(many.ends_with("\n  and 995 more datasets that need the same"), "{many}");
        let few = told("permission denied", 5);
        assert!(few.ends_with("zfs allow u destroy,mount 'p/0004'"), "{few}");
        // One for the whole pool.
        let off = told("delegated administration is disabled on pool", 1000);
        assert!(off.ends_with(" delegate the permission: zpool set delegation=on 'p'"), "{off}");
    }
}
