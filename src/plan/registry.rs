//! The targets that SOURCE is known to have: noted on it as user properties, one for each, so that retention heeds also
//! those that have no bookmark of ours, and that nobody names.
//!
//! A target is who is reached by this way, on this pool, under this name. How the way is written makes no difference; a pool that was
//! replaced by another one of its name is another target. Whoever lies about its pool gets a place of its own, never that of
//! another: only who is reached by the same way, or knows the guid of TARGET itself, counts as the same.

use serde::{Deserialize, Serialize};

use super::SourceDataset;
use super::filter::{Filter, Given};
use zfs::name::{DatasetName, Guid, RelPath};
use zfs::{Note, TARGET_PROPERTY, Tag, Tags, hash, known_targets};

/// So many targets are noted: a host that has a new pool each time must not fill SOURCE with notes.
const MOST: usize = 64;
/// So many ways to one are noted beside the first.
const WAYS: usize = 8;
/// So many selections are kept apart; more of them count as everything.
const SELECTIONS: usize = 8;

/// A target, as it is noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// TARGET as it was written.
    #[serde(rename = "as")]
    pub written: String,
    /// How its host was reached when it was noted, as `NAME:PORT`; empty for this machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Other ways that have led to it since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// TARGET's dataset.
    pub dataset: DatasetName,
    /// The guid of its pool's root dataset.
    pub pool: Guid,
    /// The guid of TARGET's dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<Guid>,
    /// When it was noted, in seconds since 1970.
    pub since: i64,
    /// Hosts as they were written in old tags that it has taken over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old: Vec<String>,
    /// What was selected for it; a dataset that none of these selects is not its own.
    #[serde(default)]
    pub selected: Vec<Given>,
}

impl Registered {
    /// Stands for it where it can't be told by TARGET alone.
    #[must_use]
    pub fn id(&self) -> String {
        let Self { host, dataset, pool, .. } = self;
        format!("{:016x}", hash::stable(&format!("{host}\n{:016x}\n{dataset}", pool.0)))
    }

    /// The user property that holds it.
    #[must_use]
    pub fn property(&self) -> String {
        format!("{TARGET_PROPERTY}{}", self.id())
    }

    /// What the property says. ZFS takes so much and no more; what would be longer counts as everything selected.
    #[must_use]
    pub fn value(&self) -> String {
        let text = |one: &Self| serde_json::to_string(one).unwrap_or_default();
        let value = text(self);
        if value.len() <= Note::MAX_VALUE {
            return value;
        }
        text(&Self { selected: vec![Given::default()], ..self.clone() })
    }

    /// How its bookmarks are called.
    #[must_use]
    pub fn tags(&self) -> Tags {
        Tags::new(&self.host, self.pool).with_old(&self.old)
    }

    /// Whether this way leads to it.
    #[must_use]
    pub fn is_at(&self, host: &str, dataset: &DatasetName) -> bool {
        self.dataset == *dataset && (self.host == host || self.also.iter().any(|other| other == host))
    }

    /// Whether it is noted with all that lies below, and this is its counterpart of a dataset there, by this way.
    #[must_use]
    pub fn covers(&self, host: &str, path: &RelPath, target: &DatasetName) -> bool {
        let all = self.selected.contains(&Given::default());
        all && self.is_at(host, &self.dataset) && self.dataset.join(path).is_ok_and(|one| one == *target)
    }

    /// The tag of its counterpart of a dataset of SOURCE; none where it has no such.
    #[must_use]
    pub fn tag(&self, path: &RelPath) -> Option<Tag> {
        let selects = |given: &Given| {
            // What can't be read selects everything.
            Filter::new(given.depth, &given.include, &given.exclude).map_or(true, |filter| filter.selects(path))
        };
        let selected = self.selected.is_empty() || self.selected.iter().any(selects);
        // Whose name would be too long there has no counterpart, and so no bookmark: all of it is still to come.
        let target = self.dataset.join(path).unwrap_or_else(|_| self.dataset.clone());
        selected.then(|| self.tags().of(&target))
    }

    /// The same, whether that is selected or not.
    #[must_use]
    pub fn any_tag(&self, path: &RelPath) -> Option<Tag> {
        Some(self.tags().of(&self.dataset.join(path).ok()?))
    }

    fn select(&mut self, given: &Given) {
        if self.selected.contains(given) || self.selected.contains(&Given::default()) {
            return;
        }
        let all = *given == Given::default() || self.selected.len() >= SELECTIONS;
        if all {
            self.selected = vec![Given::default()];
        } else {
            self.selected.push(given.clone());
        }
    }
}

/// What a run sees of its target.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// TARGET as it was written.
    pub written: String,
    /// As in [`Registered::host`].
    pub host: String,
    /// TARGET's dataset.
    pub dataset: DatasetName,
    /// The guid of its pool's root dataset.
    pub pool: Guid,
    /// That of TARGET, if it exists.
    pub top: Option<Guid>,
    /// The time.
    pub now: i64,
    /// What is selected.
    pub selected: &'a Given,
}

/// Which target a run has met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What is to be noted of it.
    pub target: Registered,
    /// Whether that is noted already.
    pub noted: bool,
    /// What is odd about it.
    pub odd: Option<String>,
}

/// All targets that are noted on a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry(Vec<Registered>);

impl Registry {
    /// Reads notes: pairs of property and value. What makes no sense is left out.
    pub fn read<'a>(notes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let read = |(property, value): (&str, &str)| {
            let target: Registered = serde_json::from_str(value).ok()?;
            (property == target.property()).then_some(target)
        };
        let mut all: Vec<Registered> = notes.into_iter().filter_map(read).collect();
        all.sort_by_key(|one| (one.since, one.id()));
        Self(all)
    }

    /// Each of them, the first noted first.
    pub fn iter(&self) -> impl Iterator<Item = &Registered> {
        self.0.iter()
    }

    /// Those to which this way has led.
    pub fn at<'a>(&'a self, host: &'a str, dataset: &'a DatasetName) -> impl Iterator<Item = &'a Registered> {
        self.0.iter().filter(move |one| one.is_at(host, dataset))
    }

    /// Which of them a run has met, or that it is a new one.
    #[must_use]
    pub fn identify(&self, seen: &Seen<'_>) -> Identity {
        let here = |one: &&Registered| one.dataset == seen.dataset && one.pool == seen.pool;
        let same_way = self.0.iter().filter(here).find(|one| one.host == seen.host);
        let proven = || self.0.iter().filter(here).find(|one| one.top.is_some() && one.top == seen.top);
        let Some(known) = same_way.or_else(proven) else { return self.new_one(seen) };
        let mut target = known.clone();
        target.top = seen.top.or(target.top);
        if !target.is_at(&seen.host, &seen.dataset) && target.also.len() < WAYS {
            target.also.push(seen.host.clone());
        }
        target.select(seen.selected);
        Identity { noted: target == *known, target, odd: None }
    }

    fn new_one(&self, seen: &Seen<'_>) -> Identity {
        let Seen { written, host, dataset, pool, top, now, selected } = seen.clone();
        let selected = vec![selected.clone()];
        let (also, old) = (Vec::new(), Vec::new());
        let target = Registered { written, host, also, dataset, pool, top, since: now, old, selected };
        let replaced = self.0.iter().find(|one| one.is_at(&target.host, &target.dataset));
        let alike = self.0.iter().find(|one| one.pool == target.pool && one.dataset == target.dataset);
        let same_top = self.0.iter().find(|one| one.pool == target.pool && one.top.is_some() && one.top == target.top);
        let forget = |one: &Registered| format!("zfsync forget SOURCE {}", one.id());
        let name = &target.written;
        let odd = if self.0.len() >= MOST {
            Some(format!(
                "{name} is not recorded on SOURCE, which already has {MOST} targets: zfsync targets SOURCE lists them, zfsync forget removes one"
            ))
        } else if let Some(one) = replaced {
            Some(format!(
                "{name} is on another pool than before: snapshots that the former target may need are kept on SOURCE; if it won't come back: {}",
                forget(one)
            ))
        } else if let Some(one) = alike {
            // Where both are written alike, as after a push there and a pull from there, the ways to them differ.
            let way = |of: &Registered| {
                if one.written == *name {
                    format!("{} (by way of {})", of.written, of.host)
                } else {
                    of.written.clone()
                }
            };
            Some(format!(
                "{} is on a pool with the same GUID as that of {}: if they are the same target, {} (otherwise SOURCE keeps what either of them needs)",
                way(&target),
                way(one),
                forget(one)
            ))
        } else {
            same_top.map(|one| {
                let (was, now) = (&one.dataset, &target.dataset);
                format!("{now} seems to be {was}, renamed: SOURCE keeps what {was} may need until {}", forget(one))
            })
        };
        Identity { noted: self.0.len() >= MOST, target, odd }
    }

    /// Whether a target can take over the bookmarks with old tags by this host: the first that has what they are of does.
    #[must_use]
    pub fn may_take_over(&self, target: &Registered, host: &str) -> bool {
        let taken = |one: &Registered| one.dataset == target.dataset && one.old.iter().any(|old| old == host);
        !self.0.iter().any(taken)
    }
}

/// Whether a dataset has bookmarks of this target by their old names alone, and what the target has is one of them.
pub(super) fn has_old(source: &SourceDataset, tag: &Tag, has: impl Fn(Guid) -> bool) -> bool {
    let mut old = source.bookmarks.iter().filter(|mark| tag.is_old_name(mark.name));
    let new = source.bookmarks.iter().any(|mark| tag.names_now(mark.name));
    !new && old.any(|mark| has(mark.guid))
}

/// The bookmarks of ours that are of no target among these: their tags.
#[must_use]
pub fn strangers(source: &SourceDataset, tags: &[Tag]) -> Vec<Tag> {
    let known = known_targets(&source.bookmarks).into_iter().map(|known| known.tag);
    known.filter(|tag| !tags.iter().any(|one| one.is(tag))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen<'a>(host: &str, pool: u64, top: Option<u64>, selected: &'a Given) -> Seen<'a> {
        let dataset = "b/t".parse().unwrap();
        let written = format!("{host}:b/t");
        Seen { written, host: host.into(), dataset, pool: Guid(pool), top: top.map(Guid), now: 17, selected }
    }

    /// With what this run notes.
    fn with(registry: &Registry, identity: &Identity) -> Registry {
        let mut all = registry.0.clone();
        all.retain(|one| one.id() != identity.target.id());
        all.push(identity.target.clone());
        let notes: Vec<(String, String)> =
            all.iter().map(|one| (one.property(), serde_json::to_string(one).unwrap())).collect();
        Registry::read(notes.iter().map(|(property, value)| (property.as_str(), value.as_str())))
    }

    fn is_same(one: &Identity, other: &Identity) -> bool {
        let name: DatasetName = "b/t/c".parse().unwrap();
        one.target.tags().of(&name).is(&other.target.tags().of(&name))
    }

    #[test]
    fn the_way_and_the_pool_make_a_target() {
        let all = Given::default();
        let none = Registry::default();
        let first = none.identify(&seen("beta:22", 7, None, &all));
        assert!(!first.noted && first.odd.is_none());
        let one = with(&none, &first);
        let again = one.identify(&seen("beta:22", 7, None, &all));
        assert!(again.noted && is_same(&first, &again));
        // It exists now, which is worth a note.
        let there = one.identify(&seen("beta:22", 7, Some(70), &all));
        assert!(!there.noted && is_same(&first, &there));
        let one = with(&one, &there);
        // Another port, another pool; and the same pool by a way that nobody knows.
        let port = one.identify(&seen("beta:23", 8, Some(80), &all));
        assert!(port.odd.is_none() && !is_same(&first, &port));
        let replaced = one.identify(&seen("beta:22", 9, None, &all));
        assert!(replaced.odd.as_ref().unwrap().contains("another pool") && !is_same(&first, &replaced));
        // By another name of the host: the guid of TARGET proves it.
        let alias = one.identify(&seen("10.0.0.2:22", 7, Some(70), &all));
        assert!(is_same(&first, &alias) && alias.odd.is_none());
        let one = with(&one, &alias);
        assert_eq!(one.at("10.0.0.2:22", &"b/t".parse().unwrap()).count(), 1);
        assert!(one.identify(&seen("10.0.0.2:22", 7, Some(70), &all)).noted);
        // Whoever says that it is on the pool, and knows nothing else, is another one.
        for top in [None, Some(71)] {
            let liar = one.identify(&seen("mallory:22", 7, top, &all));
            assert!(!is_same(&first, &liar) && liar.odd.unwrap().contains("same GUID as that of"));
        }
        // Both are written alike.
        let odd = one.identify(&Seen { written: "beta:22:b/t".into(), ..seen("pulls", 7, None, &all) }).odd.unwrap();
        let said =
            "beta:22:b/t (by way of pulls) is on a pool with the same GUID as that of beta:22:b/t (by way of beta:22)";
        assert!(odd.starts_with(said), "{odd}");
    }

    #[test]
    fn a_new_pool_each_time_is_not_noted_without_end() {
        let all = Given::default();
        let mut registry = Registry::default();
        for pool in 0..100 {
            let identity = registry.identify(&seen("mallory:22", pool, None, &all));
            if identity.noted {
                assert!(identity.odd.unwrap().contains("not recorded"));
            } else {
                registry = with(&registry, &identity);
            }
        }
        assert_eq!(registry.iter().count(), MOST);
    }

    #[test]
    fn what_was_never_selected_is_not_the_targets() {
        let path =
            |name: &str| format!("p/{name}").parse::<DatasetName>().unwrap().below(&"p".parse().unwrap()).unwrap();
        let without = Given { exclude: vec!["tmp".into()], ..Given::default() };
        let mut target = Registry::default().identify(&seen("beta:22", 7, None, &without)).target;
        assert!(target.tag(&path("a")).is_some() && target.tag(&path("tmp/x")).is_none());
        target.select(&Given { include: vec!["tmp/x".into()], ..Given::default() });
        assert!(target.tag(&path("tmp/x")).is_some() && target.tag(&path("tmp")).is_none());
        target.select(&Given::default());
        assert!(target.tag(&path("tmp")).is_some());
        assert_eq!(target.selected, [Given::default()]);
        for level in 0..20 {
            target.select(&Given { depth: Some(level), ..Given::default() });
        }
        assert_eq!(target.selected.len(), 1);
        // More than a property can hold is everything, too.
        let long = Given { exclude: vec!["x".repeat(9000)], ..Given::default() };
        let target = Registry::default().identify(&seen("beta:22", 7, None, &long)).target;
        let read = Registry::read([(target.property().as_str(), target.value().as_str())]);
        assert_eq!(read.iter().next().unwrap().selected, [Given::default()]);
        assert!(read.identify(&seen("beta:22", 7, None, &long)).noted);
    }

    #[test]
    fn notes_that_make_no_sense_are_none() {
        let all = Given::default();
        let target = Registry::default().identify(&seen("beta:22", 7, None, &all)).target;
        let value = serde_json::to_string(&target).unwrap();
        assert_eq!(
            value,
            r#"{"as":"beta:22:b/t","host":"beta:22","dataset":"b/t","pool":7,"since":17,"selected":[{}]}"#
        );
        let (property, other) = (target.property(), format!("{TARGET_PROPERTY}0"));
        let read = |notes: &[(&str, &str)]| Registry::read(notes.iter().copied()).iter().count();
        assert_eq!(read(&[(&property, &value)]), 1);
        // One under another's name, as if it had been copied by hand.
        assert_eq!(read(&[(&other, &value), (&property, "{}"), (&property, "")]), 0);
    }

    #[test]
    fn old_tags_are_taken_over_once() {
        let all = Given::default();
        let mut first = Registry::default().identify(&seen("beta:22", 7, None, &all));
        first.target.old = vec!["beta".into()];
        let one = with(&Registry::default(), &first);
        let second = one.identify(&seen("beta:23", 8, None, &all)).target;
        assert!(!one.may_take_over(&second, "beta") && one.may_take_over(&second, "other"));
        let mut source = SourceDataset::default();
        let tag = Tags::new("beta:22", Guid(7)).with_old(&["beta".into()]).of(&"b/t".parse().unwrap());
        let mut mark = |name: String, guid| {
            source.bookmarks.push(&name.parse().unwrap(), Guid(guid), zfs::name::Txg(guid));
            [1, 2].map(|guid| has_old(&source, &tag, |has| has == Guid(guid)))
        };
        let old = Tags::by_name("beta").of(&"b/t".parse().unwrap());
        assert_eq!(mark(format!("zfsync-{old}-s"), 1), [true, false]);
        assert_eq!(mark(format!("zfsync-{tag}-s"), 1), [false, false], "it has been taken over");
    }
}
