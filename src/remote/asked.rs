//! What has been asked over a channel. Nothing else is taken from a helper: no answer that belongs to no question, none of
//! another kind, and no more than what was asked for can have. So a helper can neither confuse the run nor fill the memory.

use std::collections::{HashMap, HashSet};
use std::mem::{Discriminant, discriminant};
use std::time::{Duration, Instant};

use helper::wire::{Reply, Request};
use zfs::name::DatasetName;
use zfs::{Answer, Most, Note, Noted, Query};

/// So many snapshots may be in the answer to any listing, and so many more for each dataset that was named in it.
const SNAPSHOTS: (usize, usize) = (200_000, 10_000);
/// The same for a whole tree, whose datasets nobody has counted.
const TREE_SNAPSHOTS: usize = 5_000_000;
/// So many datasets, and notes on them, may be in a tree.
const DATASETS: usize = 500_000;
/// So many checksums may come of one snapshot: as many as it can have files, a thousandth part of it.
const PARTS: usize = 4_000_000;
/// So long is a checksum.
const SUM: usize = 32;
/// So long is a name in a long answer on average at most.
const NAME: usize = 64;
/// Signs of life count at most so often.
const BEAT: Duration = Duration::from_millis(500);
/// Most features of a pool that a stream can need.
const FEATURES: usize = 64;
/// Most estimates of one stream: `zfs send -v` makes one.
const ESTIMATES: usize = 100;

/// The questions that are open.
#[derive(Debug, Default)]
pub(super) struct Asked(HashMap<u64, Question>);

#[derive(Debug)]
enum Question {
    /// One answer, each of so many places at most once.
    Places(Kind, usize),
    /// The same, and before it those of these names that can't be read.
    Ask(usize, HashSet<String>),
    Listing {
        of: HashSet<DatasetName>,
        tree: Option<DatasetName>,
        left: Left,
    },
    Names {
        top: DatasetName,
        left: Left,
    },
    Notes {
        left: Left,
    },
    /// So many parts may still come.
    Content(usize),
    Probe,
    Outlook,
    /// [`Reply::Examined`], or why not.
    Examine,
    Prune(usize),
    Receive {
        heard: Option<Instant>,
    },
    /// Answered in parts of one kind, the first one's, which may have so much.
    Query(Option<Discriminant<Answer>>, Left),
    /// Whether it has begun, and how many estimates may still come.
    Stream(bool, usize),
    /// Only [`Reply::Done`].
    Deed,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Dates,
    Bases,
}

/// What an answer may still have.
#[derive(Debug)]
struct Left {
    items: usize,
    text: usize,
}

impl Left {
    fn new(items: usize) -> Self {
        // A short answer may have long names, and none may fill the memory.
        let text = items.saturating_mul(NAME).max(4 << 20);
        Self { items: items.min(Most::ANYWHERE.marks), text: text.min(Most::ANYWHERE.text) }
    }

    fn take(&mut self, items: usize, text: usize) -> Result<(), String> {
        let left = self.items.checked_sub(items).zip(self.text.checked_sub(text));
        let (items, text) = left.ok_or("its answer is longer than the request allows")?;
        (self.items, self.text) = (items, text);
        Ok(())
    }
}

impl Asked {
    /// Takes note of a request that is about to be sent.
    pub fn note(&mut self, request: &Request) {
        let question = match request {
            Request::Ask { names, .. } => Question::Ask(names.len(), names.iter().cloned().collect()),
            Request::Dates { names, .. } => Question::Places(Kind::Dates, names.len()),
            Request::Bases { names, .. } => Question::Places(Kind::Bases, names.len()),
            Request::List { datasets, .. } => {
                let most = datasets.len().saturating_mul(SNAPSHOTS.1).saturating_add(SNAPSHOTS.0);
                Question::Listing { of: datasets.iter().cloned().collect(), tree: None, left: Left::new(most) }
            }
            Request::Tree { dataset, .. } => {
                let (of, tree) = (HashSet::new(), Some(dataset.clone()));
                Question::Listing { of, tree, left: Left::new(TREE_SNAPSHOTS) }
            }
            Request::Names { dataset, .. } => Question::Names { top: dataset.clone(), left: Left::new(DATASETS) },
            Request::Notes { dataset, snapshots, .. } => {
                let tree = if dataset.is_some() { DATASETS } else { 0 };
                // Three kinds of notes, and room for their values.
                let items = tree.saturating_add(snapshots.len().saturating_mul(3));
                let text = items.saturating_mul(4 * NAME).max(4 << 20);
                Question::Notes { left: Left { items, text } }
            }
            Request::Content { .. } => Question::Content(PARTS),
            Request::Probe { .. } => Question::Probe,
            Request::Outlook { .. } => Question::Outlook,
            Request::Examine { .. } => Question::Examine,
            Request::Prune { snapshots, .. } => Question::Prune(snapshots.len()),
            Request::Receive { .. } => Question::Receive { heard: None },
            Request::Query { query, .. } => Question::Query(None, Left::new(most_of(query))),
            Request::Stream { .. } => Question::Stream(false, ESTIMATES),
            Request::Cancel { .. } => return,
            Request::Clear { .. }
            | Request::Lock { .. }
            | Request::Resolve { .. }
            | Request::TryResolve { .. }
            | Request::Rename { .. }
            | Request::Note { .. }
            | Request::Destroy { .. }
            | Request::TryDestroy { .. } => Question::Deed,
        };
        self.0.insert(request.id(), question);
    }

    /// Whether more of an answer may come.
    pub fn is_open(&self, id: u64) -> bool {
        self.0.contains_key(&id)
    }

    /// Whether an answer is to be passed on; an error tells how it breaks the protocol.
    pub fn take(&mut self, reply: &Reply) -> Result<bool, String> {
        let id = reply.id();
        let Some(question) = self.0.get_mut(&id) else {
            // The last sign of life of a receive may come after its end.
            return if let Reply::Beat { .. } = reply {
                Ok(false)
            } else {
                Err("it answers a request that was not made".into())
            };
        };
        match (reply, question) {
            (Reply::Found { found, .. }, Question::Ask(asked, _)) => {
                places(found.iter().map(|(place, ..)| *place), *asked)?;
            }
            (Reply::Unread { name, .. }, Question::Ask(_, left)) => {
                // Each once.
                if !left.remove(name) {
                    return Err("it reports something that was not requested".into());
                }
                return Ok(true);
            }
            (Reply::Unread { .. } | Reply::Listed { .. }, Question::Listing { of, tree, left }) => {
                of_a_listing(reply, (of, tree.as_ref()), left)?;
                return Ok(true);
            }
            (Reply::Dated { dates, .. }, Question::Places(Kind::Dates, asked)) => {
                places(dates.iter().map(|(place, _)| *place), *asked)?;
            }
            (Reply::Bases { bases, .. }, Question::Places(Kind::Bases, asked)) => {
                places(bases.iter().map(|(place, _)| *place), *asked)?;
            }
            (Reply::Names { datasets, .. }, Question::Names { top, left }) => {
                return of_names(datasets, top, left);
            }
            (Reply::Notes { notes, .. }, Question::Notes { left }) => {
                return of_notes(notes, left);
            }
            (Reply::Content { parts, .. }, Question::Content(left)) => {
                return of_a_content(parts, left);
            }
            (Reply::Probed { disabled, .. }, Question::Probe) if disabled.len() <= FEATURES => {}
            (Reply::Pruned { pruned, .. }, Question::Prune(asked))
                if pruned.destroyed <= *asked && pruned.pinned.len() + pruned.absent.len() <= *asked => {}
            (Reply::Beat { .. }, Question::Receive { heard }) => {
                return Ok(is_due(heard));
            }
            (Reply::Answer { part, .. }, Question::Query(kind, left)) => return of_an_answer(part, kind, left),
            (reply @ (Reply::Begin { .. } | Reply::Estimated { .. }), Question::Stream(begun, left)) => {
                return of_a_stream(reply, begun, left);
            }
            (Reply::Done { failure: None, .. }, Question::Stream(..)) => {
                return Err("it reports a stream as finished without its end".into());
            }
            // These have an answer of their own when all went well.
            (
                Reply::Done { failure: None, .. },
                Question::Places(..)
                | Question::Ask(..)
                | Question::Probe
                | Question::Outlook
                | Question::Examine
                | Question::Prune(_),
            ) => {
                return Err("it reports a request as finished without an answer".into());
            }
            (Reply::Outlook { .. }, Question::Outlook)
            | (Reply::Examined { .. }, Question::Examine)
            | (Reply::Ended { .. }, Question::Stream(true, _))
            | (Reply::Done { .. }, _) => {}
            _ => return Err("its answer doesn't match the request".into()),
        }
        self.0.remove(&id);
        Ok(true)
    }
}

/// Names of what lies within a tree.
fn of_names(datasets: &[DatasetName], top: &DatasetName, left: &mut Left) -> Result<bool, String> {
    if let Some(other) = datasets.iter().find(|dataset| !dataset.is_within(top)) {
        return Err(format!("it names {other}, which was not requested"));
    }
    left.take(datasets.len().max(1), datasets.iter().map(|dataset| dataset.as_str().len()).sum())?;
    Ok(true)
}

/// User properties.
fn of_notes(notes: &[Noted], left: &mut Left) -> Result<bool, String> {
    if notes.iter().any(|note| note.value.len() > Note::MAX_VALUE) {
        return Err("a property is longer than ZFS allows".into());
    }
    left.take(notes.len().max(1), notes.iter().map(|note| note.name.len() + note.value.len()).sum())?;
    Ok(true)
}

/// Checksums, of which only so many are left.
fn of_a_content(parts: &[(u64, String)], left: &mut usize) -> Result<bool, String> {
    let odd = parts.iter().any(|(_, sum)| sum.len() != SUM || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()));
    *left = left.checked_sub(parts.len()).filter(|_| !odd).ok_or("its checksums are invalid")?;
    Ok(true)
}

/// A part of a listing: of these datasets, or of all within a tree.
fn of_a_listing(
    reply: &Reply,
    (of, tree): (&HashSet<DatasetName>, Option<&DatasetName>),
    left: &mut Left,
) -> Result<(), String> {
    let wanted = |dataset: &DatasetName| of.contains(dataset) || tree.is_some_and(|top| dataset.is_within(top));
    match reply {
        Reply::Unread { name, words, .. } => {
            if !name.parse().is_ok_and(|dataset| wanted(&dataset)) {
                return Err("it reports something that was not requested".into());
            }
            left.take(1, name.len() + words.len())
        }
        Reply::Listed { dataset, facts, snapshots, .. } => {
            if !wanted(dataset) {
                return Err(format!("it lists {dataset}, which was not requested"));
            }
            let token = facts.token.as_ref().map_or(0, |token| token.0.len());
            let text = snapshots.iter().map(|(name, ..)| name.as_str().len()).sum::<usize>() + token;
            // An empty part counts too.
            left.take(snapshots.len().max(1), text + dataset.as_str().len())
        }
        _ => Err("its answer doesn't match the request".into()),
    }
}

/// Whether a sign of life counts, after the one that was heard before.
fn is_due(heard: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let due = heard.is_none_or(|heard| now.duration_since(heard) >= BEAT);
    if due {
        *heard = Some(now);
    }
    due
}

/// A part of an answer about a source.
fn of_an_answer(part: &Answer, kind: &mut Option<Discriminant<Answer>>, left: &mut Left) -> Result<bool, String> {
    if *kind.get_or_insert(discriminant(part)) != discriminant(part) {
        return Err("its answer has two different types".into());
    }
    left.take(part.len().max(1), part.text())?;
    Ok(true)
}

/// What comes beside a stream: its beginning once, then its estimates.
fn of_a_stream(reply: &Reply, begun: &mut bool, left: &mut usize) -> Result<bool, String> {
    match reply {
        Reply::Begin { .. } if !*begun => *begun = true,
        Reply::Estimated { .. } if *begun => {
            *left = left.checked_sub(1).ok_or("it has too many estimates of one stream")?;
        }
        _ => return Err("its answer doesn't match the request".into()),
    }
    Ok(true)
}

/// So many items the answer to a question about a source may have.
fn most_of(query: &Query) -> usize {
    match query {
        // Records of a pool's history, properties of a tree: nobody has counted them.
        Query::History { .. } | Query::PropertiesBelow { .. } => TREE_SNAPSHOTS,
        Query::Properties { .. } | Query::Names => DATASETS,
        // All snapshots of each.
        Query::SnapshotNotes { datasets, .. } => datasets.len().saturating_mul(SNAPSHOTS.1).saturating_add(SNAPSHOTS.0),
        // And an empty part.
        query => query.len().saturating_add(1),
    }
}

/// Places in a question come in their order, each once.
fn places(mut places: impl Iterator<Item = u32>, asked: usize) -> Result<(), String> {
    let mut least = 0;
    let fits = places.all(|place| {
        let fits = place as usize >= least && (place as usize) < asked;
        least = place as usize + 1;
        fits
    });
    if fits { Ok(()) } else { Err("its answer has positions that the request doesn't have".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs::name::{Guid, Txg};
    use zfs::{Failure, Kind as DatasetKind, Refusal, TargetFacts};

    fn dataset(name: &str) -> DatasetName {
        name.parse().unwrap()
    }

    fn asked(request: &Request) -> Asked {
        let mut asked = Asked::default();
        asked.note(request);
        asked
    }

    fn done(id: u64) -> Reply {
        Reply::Done { id, failure: None, warning: None }
    }

    fn listed(id: u64, name: &str, snapshots: usize) -> Reply {
        let facts = TargetFacts {
            kind: DatasetKind::Filesystem,
            partial: false,
            token: None,
            unborn: false,
            empty: false,
            unsure: None,
            written: None,
            encryption: zfs::Encryption::Off,
        };
        let snapshots = (0..snapshots).map(|n| (format!("s{n}").parse().unwrap(), Guid(1), Txg(1))).collect();
        Reply::Listed { id, dataset: dataset(name), facts, snapshots }
    }

    #[test]
    fn an_endless_listing_is_ended() {
        let mut asked = asked(&Request::List { id: 1, datasets: vec![dataset("b/x")] });
        let part = listed(1, "b/x", 2000);
        let taken = (0..1000).take_while(|_| asked.take(&part).is_ok()).count();
        assert_eq!(taken, (SNAPSHOTS.0 + SNAPSHOTS.1) / 2000);
        let mut empty = self::asked(&Request::List { id: 1, datasets: vec![dataset("b/x")] });
        let taken = (0..1_000_000).take_while(|_| empty.take(&listed(1, "b/x", 0)).is_ok()).count();
        assert_eq!(taken, SNAPSHOTS.0 + SNAPSHOTS.1);
    }

    #[test]
    fn no_answer_fills_the_memory() {
        let datasets = |n: usize| vec![dataset("b/x"); n];
        let history = Query::History { pool: "b".into(), since: Txg(0) };
        let notes = Query::SnapshotNotes { property: "zfsync:x".into(), datasets: datasets(2000) };
        for query in [history, notes, Query::PropertiesBelow { dataset: dataset("b/x") }, Query::Names] {
            let left = Left::new(most_of(&query));
            assert!(left.items <= Most::ANYWHERE.marks && left.text <= Most::ANYWHERE.text, "{query:?}: {left:?}");
        }
        let list = Request::List { id: 1, datasets: datasets(100_000) };
        let Some(Question::Listing { left, .. }) = asked(&list).0.remove(&1) else { panic!() };
        assert_eq!((left.items, left.text), (Most::ANYWHERE.marks, Most::ANYWHERE.text));
    }

    #[test]
    fn only_what_was_asked_for_is_taken() {
        let list = Request::List { id: 1, datasets: vec![dataset("b/x")] };
        assert_eq!(asked(&list).take(&listed(1, "b/x", 3)), Ok(true));
        assert!(asked(&list).take(&listed(1, "b/y", 3)).unwrap_err().contains("b/y"));
        assert!(asked(&list).take(&listed(2, "b/x", 3)).is_err());
        let tree = Request::Tree { id: 1, dataset: dataset("b/x") };
        assert_eq!(asked(&tree).take(&listed(1, "b/x/y", 3)), Ok(true));
        assert!(asked(&tree).take(&listed(1, "b/xy", 3)).is_err());
        let names = Request::Names { id: 1, dataset: dataset("b/x") };
        let answer = |name: &str| Reply::Names { id: 1, datasets: vec![dataset(name)] };
        assert_eq!(asked(&names).take(&answer("b/x/y")), Ok(true));
        assert!(asked(&names).take(&answer("b/y")).is_err());
        assert!(asked(&names).take(&listed(1, "b/x", 1)).is_err());
    }

    #[test]
    fn places_are_those_of_the_question() {
        let question = Request::Ask { id: 1, names: vec!["a".into(), "b".into()] };
        let found =
            |places: &[u32]| Reply::Found { id: 1, found: places.iter().map(|at| (*at, Guid(1), Txg(1))).collect() };
        for good in [&[][..], &[0], &[1], &[0, 1]] {
            assert_eq!(asked(&question).take(&found(good)), Ok(true), "{good:?}");
        }
        for bad in [&[2][..], &[0, 0], &[1, 0], &[u32::MAX]] {
            assert!(asked(&question).take(&found(bad)).is_err(), "{bad:?}");
        }
        assert!(asked(&question).take(&done(1)).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_told_once_and_of_what_was_asked_for() {
        let unread = |name: &str| Reply::Unread { id: 1, name: name.into(), words: "I/O error".into() };
        let mut ask = asked(&Request::Ask { id: 1, names: vec!["b/x".into(), "b/x@s".into()] });
        assert_eq!((ask.take(&unread("b/x")), ask.take(&unread("b/x@s"))), (Ok(true), Ok(true)));
        assert!(ask.take(&unread("b/x")).is_err());
        assert_eq!(ask.take(&Reply::Found { id: 1, found: vec![] }), Ok(true));
        let list = Request::List { id: 1, datasets: vec![dataset("b/x")] };
        assert_eq!(asked(&list).take(&unread("b/x")), Ok(true));
        assert!(asked(&list).take(&unread("b/y")).is_err());
        assert!(asked(&Request::Probe { id: 1, dataset: dataset("b/x") }).take(&unread("b/x")).is_err());
    }

    #[test]
    fn checksums_are_checksums() {
        let reading = zfs::Reading {
            dataset: dataset("b/x"),
            snapshot: "s".parse().unwrap(),
            guid: Guid(1),
            raw: false,
            only: None,
        };
        let question = Request::Content { id: 1, reading };
        let answer = |sum: &str| Reply::Content { id: 1, bytes: 1, parts: vec![(0, sum.to_owned())] };
        let mut open = asked(&question);
        assert_eq!(open.take(&answer(&"0a".repeat(SUM / 2))), Ok(true));
        assert_eq!(open.take(&Reply::Content { id: 1, bytes: 2, parts: vec![] }), Ok(true));
        assert_eq!(open.take(&done(1)), Ok(true));
        for odd in ["", "0a", &"0g".repeat(SUM / 2), &"0a".repeat(SUM)] {
            assert!(asked(&question).take(&answer(odd)).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_question_is_answered_once() {
        let mut deed = asked(&Request::Clear { id: 1, dataset: dataset("b/x") });
        assert_eq!(deed.take(&done(1)), Ok(true));
        assert!(deed.take(&done(1)).is_err());
        let failure = Failure { refusal: Refusal::Other, words: String::new() };
        let mut question = asked(&Request::Probe { id: 1, dataset: dataset("b/x") });
        assert_eq!(question.take(&Reply::Done { id: 1, failure: Some(failure), warning: None }), Ok(true));
        // Signs of life cost nothing, however many come.
        assert_eq!(question.take(&Reply::Beat { id: 1 }), Ok(false));
    }
}
