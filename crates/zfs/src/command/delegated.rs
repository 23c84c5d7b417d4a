//! What root has allowed other accounts to do with a dataset, as `zfs allow DATASET` tells it (zfs-allow(8)).

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, Zfs};
use crate::Granted;
use crate::name::DatasetName;

/// Who may receive into a dataset beside root.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Receivers {
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
    everyone: bool,
}

/// Where a block's lines belong (`print_fs_perms` in `cmd/zfs/zfs_main.c`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    /// Names for several permissions at once.
    Sets,
    /// For the dataset that the block speaks of.
    Local,
    /// For those below it.
    Below,
    /// For both.
    Both,
    /// For whoever creates something: it is among the local ones of what was created.
    Created,
    /// Unknown to us.
    Other,
}

impl Section {
    fn read(line: &str) -> Self {
        match line {
            "Permission sets:" => Self::Sets,
            "Create time permissions:" => Self::Created,
            "Local permissions:" => Self::Local,
            "Descendent permissions:" => Self::Below,
            "Local+Descendent permissions:" => Self::Both,
            _ => Self::Other,
        }
    }
}

impl Zfs {
    /// The permissions that are delegated on a dataset and on those above it. Read it with [`Receivers::read`].
    #[must_use]
    pub fn delegated(&self, dataset: &DatasetName) -> Call {
        self.command(["allow", dataset.as_str()])
    }
}

impl Receivers {
    /// Reads what is delegated on `dataset`.
    #[must_use]
    pub fn read(text: &str, dataset: &DatasetName) -> Self {
        let sets: BTreeSet<&str> = lines(text)
            .filter(|(_, section, line)| *section == Section::Sets && receives(line, &BTreeSet::new()))
            .filter_map(|(_, _, line)| line.split_whitespace().next())
            .collect();
        let mut all = Self::default();
        for (block, section, line) in lines(text) {
            let own = block == dataset.as_str();
            let counts = match section {
                Section::Both => true,
                Section::Local => own,
                Section::Below => !own,
                Section::Sets | Section::Created | Section::Other => false,
            };
            if !counts || !receives(line, &sets) {
                continue;
            }
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("user"), Some(name)) => _ = all.users.insert(name.to_owned()),
                (Some("group"), Some(name)) => _ = all.groups.insert(name.to_owned()),
                (Some("everyone"), _) => all.everyone = true,
                _ => {}
            }
        }
        all
    }

    /// Whether an account of this name, in these groups, is one of them.
    pub fn include<'a>(&self, user: &str, groups: impl IntoIterator<Item = &'a str>) -> bool {
        self.everyone || self.users.contains(user) || groups.into_iter().any(|group| self.groups.contains(group))
    }
}

impl Granted {
    /// Reads what is delegated on `dataset` to an account of this name, in these groups.
    #[must_use]
    pub fn read(text: &str, dataset: &DatasetName, user: &str, groups: &[&str]) -> Self {
        let mut sets = BTreeMap::new();
        for (_, _, line) in lines(text).filter(|(_, section, _)| *section == Section::Sets) {
            let Some((name, permissions)) = line.split_once(' ') else { continue };
            // A set of the same name nearer to the dataset, which comes first, wins.
            sets.entry(name).or_insert(permissions);
        }
        let (mut here, mut below) = (BTreeSet::new(), BTreeSet::new());
        for (block, section, line) in lines(text) {
            let own = block == dataset.as_str();
            let (counts_here, counts_below) = match section {
                Section::Both => (true, true),
                Section::Local => (own, false),
                Section::Below => (!own, true),
                Section::Created => (false, true),
                Section::Sets | Section::Other => continue,
            };
            if section != Section::Created && !is_for(line, user, groups) {
                continue;
            }
            let permissions = expand(line.rsplit(' ').next().unwrap_or_default(), &sets, 0);
            here.extend(permissions.iter().filter(|_| counts_here).cloned());
            below.extend(permissions.into_iter().filter(|_| counts_below));
        }
        Self { here: here.into_iter().collect(), below: below.into_iter().collect() }
    }
}

/// Whether a line is about this account.
fn is_for(line: &str, user: &str, groups: &[&str]) -> bool {
    // A name of a group may have blanks, the permissions behind it have none.
    let who = line.rsplit_once(' ').map_or(line, |(who, _)| who);
    match who.split_once(' ') {
        Some(("user", name)) => name == user,
        Some(("group", name)) => are_in(groups, name),
        _ => who == "everyone",
    }
}

/// Whether these groups, torn apart at blanks as id(1) prints them, have this one.
fn are_in(groups: &[&str], name: &str) -> bool {
    let words: Vec<&str> = name.split(' ').collect();
    groups.windows(words.len()).any(|some| some == words)
}

/// The permissions of a line, those of its sets in place of them. Sets may hold sets.
fn expand(permissions: &str, sets: &BTreeMap<&str, &str>, depth: usize) -> Vec<String> {
    const DEEPEST: usize = 8;
    let mut all = Vec::new();
    for one in permissions.split(',') {
        match sets.get(one) {
            Some(more) if depth < DEEPEST => all.extend(expand(more, sets, depth + 1)),
            // It lets receive what a run without --rollback and its like receives.
            _ if one == "receive:append" => all.push("receive".to_owned()),
            _ => all.push(one.to_owned()),
        }
    }
    all
}

/// Each permission line with its block's dataset and its section.
fn lines(text: &str) -> impl Iterator<Item = (&str, Section, &str)> {
    let (mut block, mut section) = ("", Section::Other);
    text.lines().filter_map(move |line| {
        if let Some(rest) = line.strip_prefix("---- Permissions on ") {
            block = rest.trim_end_matches('-').trim_end();
        } else if let Some(permissions) = line.strip_prefix('\t') {
            return Some((block, section, permissions));
        } else {
            section = Section::read(line);
        }
        None
    })
}

/// Whether the permissions, which come last in a line, let somebody receive.
fn receives(line: &str, sets: &BTreeSet<&str>) -> bool {
    let permissions = line.rsplit(' ').next().unwrap_or_default();
    permissions.split(',').any(|one| matches!(one, "receive" | "receive:append") || sets.contains(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From OpenZFS 2.3.9.
    const TEXT: &str = "\
---- Permissions on bpool/data/a -------------------------------------
Local permissions:
\tuser own create,receive
---- Permissions on bpool/data ---------------------------------------
Permission sets:
\t@in create,mount,receive
\t@out send
Create time permissions:
\tdestroy,receive
Local permissions:
\tuser above create,receive
Descendent permissions:
\tuser below receive
Local+Descendent permissions:
\tuser both create,mount,receive
\tuser insider @in
\tuser outsider @out,create
\tuser adder create,receive:append
\tgroup staff @in
";

    #[test]
    fn what_an_account_may_do() {
        let of = |dataset: &str, user: &str, groups: &[&str]| {
            let Granted { here, below } = Granted::read(TEXT, &dataset.parse().unwrap(), user, groups);
            (here.join(","), below.join(","))
        };
        let words = |here: &str, below: &str| (here.to_owned(), below.to_owned());
        // Whoever creates something may destroy it, and receive into it.
        assert_eq!(of("bpool/data/a", "own", &[]), words("create,receive", "destroy,receive"));
        assert_eq!(of("bpool/data/a", "above", &[]), words("", "destroy,receive"));
        assert_eq!(of("bpool/data/a", "below", &[]), words("receive", "destroy,receive"));
        assert_eq!(of("bpool/data/a", "both", &[]), words("create,mount,receive", "create,destroy,mount,receive"));
        assert_eq!(of("bpool/data/a", "insider", &[]), of("bpool/data/a", "both", &[]));
        assert_eq!(of("bpool/data/a", "outsider", &[]), words("create,send", "create,destroy,receive,send"));
        assert_eq!(of("bpool/data/a", "adder", &[]), words("create,receive", "create,destroy,receive"));
        assert_eq!(of("bpool/data/a", "somebody", &["users", "staff"]), of("bpool/data/a", "both", &[]));
        assert_eq!(of("bpool/data", "above", &[]), words("create,receive", "destroy,receive"));
        let directory = "---- Permissions on p ---\nLocal+Descendent permissions:\n\tgroup domain users send\n";
        for (groups, sends) in [("x domain users", true), ("users domain", false), ("domain", false), ("", false)] {
            let groups: Vec<&str> = groups.split_whitespace().collect();
            let granted = Granted::read(directory, &"p".parse().unwrap(), "x", &groups);
            assert_eq!(!granted.here.is_empty(), sends, "{groups:?}");
        }
        let circle = "---- Permissions on p ---\nPermission sets:\n\t@a @b,send\n\t@b @a\nLocal+Descendent permissions:\n\teveryone @a\n";
        let granted = Granted::read(circle, &"p".parse().unwrap(), "x", &[]);
        assert!(granted.here.contains(&"send".to_owned()));
    }

    #[test]
    fn who_may_receive() {
        let may = |dataset: &str, user: &str| {
            let receivers = Receivers::read(TEXT, &dataset.parse().unwrap());
            receivers.include(user, ["users"])
        };
        for (user, in_a, in_data) in [
            ("own", true, false),
            ("above", false, true),
            ("below", true, false),
            ("both", true, true),
            ("insider", true, true),
            ("adder", true, true),
            ("outsider", false, false),
            ("somebody", false, false),
        ] {
            assert_eq!(may("bpool/data/a", user), in_a, "{user}");
            // What is said of a child is not part of the answer for its parent.
            let data = TEXT.split_once("---- Permissions on bpool/data -").unwrap().1;
            let text = format!("---- Permissions on bpool/data -{data}");
            let receivers = Receivers::read(&text, &"bpool/data".parse().unwrap());
            assert_eq!(receivers.include(user, ["users"]), in_data, "{user}");
        }
        let receivers = Receivers::read(TEXT, &"bpool/data/a".parse().unwrap());
        assert!(receivers.include("somebody", ["users", "staff"]));
        let everyone = "---- Permissions on p ------\nLocal+Descendent permissions:\n\teveryone receive\n";
        assert!(Receivers::read(everyone, &"p/x".parse().unwrap()).include("somebody", []));
        assert_eq!(Receivers::read("", &"p".parse().unwrap()), Receivers::default());
    }
}
