use proptest::prelude::*;

use super::*;
use zfs::Versions;

fn dataset(name: &str) -> DatasetName {
    name.parse().unwrap()
}

/// A dataset with a bookmark at this txg, and snapshots at those. Guids are a hundred times the txg.
fn doubt(name: &str, mark: u64, snapshots: &[u64]) -> Doubt {
    let snapshot = |txg: &u64| (format!("s{txg}").parse().unwrap(), Guid(txg * 100), Txg(*txg));
    Doubt {
        index: 7,
        dataset: dataset(name),
        marks: vec![(Guid(mark * 100), Txg(mark))],
        snapshots: snapshots.iter().map(snapshot).collect(),
    }
}

fn record(text: &str) -> Record {
    let line =
        format!("2026-11-28.14:57:50 [txg:{}] {}\n", text.split_once(' ').unwrap().0, text.split_once(' ').unwrap().1);
    let mut record = None;
    zfs::read_history(line.as_bytes(), Txg(0), |one| {
        record = Some(one);
        Ok(())
    })
    .unwrap();
    record.unwrap()
}

fn judged(history: &[&str], doubt: &Doubt) -> Option<Proof> {
    let records: Vec<Record> = history.iter().map(|text| record(text)).collect();
    let proofs = replay(&records, std::slice::from_ref(doubt));
    proofs[&7].get(&doubt.marks[0].0).copied()
}

#[test]
fn a_receive_that_goes_back_is_seen() {
    let back = [
        "10 snapshot p/b@2 (1)",
        "20 snapshot p/b@3 (2)",
        "30 destroy p/b@3 (2)",
        "30 clone swap p/b/%recv (9) parent=b",
        "30 snapshot p/b@4 (3)",
    ];
    assert_eq!(judged(&back, &doubt("p/b", 20, &[10, 30])), Some(Proof::WentBack(Txg(30))));
    assert_eq!(judged(&back, &doubt("p/b", 10, &[30])), None, "@2 is gone and nothing tells when it went");
    let on = [
        "20 snapshot p/b@3 (2)",
        "30 clone swap p/b/%recv (9) parent=b",
        "30 snapshot p/b@4 (3)",
        "40 destroy p/b@3 (2)",
    ];
    assert_eq!(judged(&on, &doubt("p/b", 20, &[30])), Some(Proof::Holds));
    // Another dataset's.
    let other = [
        "20 snapshot p/b@3 (2)",
        "25 snapshot p/b@4 (3)",
        "26 destroy p/b@3 (2)",
        "30 clone swap p/b/c/%recv (9) parent=c",
    ];
    assert_eq!(judged(&other, &doubt("p/b", 20, &[25])), Some(Proof::Holds));
}

#[test]
fn a_number_that_is_used_again_is_another_snapshot() {
    let history = [
        "20 snapshot p/b@3 (2)",
        "21 snapshot p/b@4 (3)",
        "22 destroy p/b@3 (2)",
        "23 snapshot p/x@1 (2)",
        "24 clone swap p/b/%rollback (9) parent=b",
        "25 destroy p/x@1 (2)",
        "26 destroy p/b@4 (3)",
        "26 clone swap p/b/%rollback (9) parent=b",
        "27 snapshot p/b@5 (4)",
    ];
    assert_eq!(judged(&history, &doubt("p/b", 20, &[27])), Some(Proof::WentBack(Txg(26))));
    assert_eq!(judged(&history[..5], &doubt("p/b", 20, &[21])), Some(Proof::Holds));
}

#[test]
fn names_are_those_of_their_time() {
    let history = [
        "20 snapshot p/a/b@3 (2)",
        "21 snapshot p/a/b@4 (3)",
        "22 destroy p/a/b@3 (2)",
        "23 rename p/a (8) -> p/n",
        "24 create p/a (10) ",
        "25 clone swap p/a/b/%recv (9) parent=b",
        "26 rename p/n/b (7) -> q x/b",
        "27 clone swap p/n/b/%recv (9) parent=b",
    ];
    let history: Vec<&str> = history.into_iter().filter(|line| !line.contains("create")).collect();
    assert_eq!(judged(&history, &doubt("q x/b", 20, &[21])), Some(Proof::Holds));
    let mut gone = history.clone();
    gone.insert(4, "23 destroy p/n/b@4 (3)");
    gone.insert(5, "23 clone swap p/n/b/%recv (9) parent=b");
    assert_eq!(judged(&gone, &doubt("q x/b", 20, &[21])), Some(Proof::WentBack(Txg(23))), "@4 went after the listing");
    assert_eq!(judged(&gone, &doubt("q x/b", 20, &[])), Some(Proof::WentBack(Txg(23))));
}

#[test]
fn a_history_that_contradicts_what_is_there_proves_nothing() {
    let short = ["21 snapshot p/b@4 (3)", "30 clone swap p/b/%recv (9) parent=b"];
    assert_eq!(judged(&short, &doubt("p/b", 20, &[21])), None, "it does not go back far enough");
    let unlogged = ["20 snapshot p/b@3 (2)", "30 clone swap p/b/%recv (9) parent=b", "30 snapshot p/b@4 (3)"];
    assert_eq!(judged(&unlogged, &doubt("p/b", 20, &[30])), None, "nothing tells when @3 went");
    let quiet = ["20 snapshot p/b@3 (2)", "22 destroy p/b@3 (2)"];
    assert_eq!(judged(&quiet, &doubt("p/b", 20, &[21])), None, "nothing tells where the other comes from");
    // What was taken after the listing is left alone.
    let later = ["20 snapshot p/b@3 (2)", "21 snapshot p/b@4 (3)", "22 destroy p/b@3 (2)", "23 snapshot p/b@5 (4)"];
    assert_eq!(judged(&later, &doubt("p/b", 20, &[21])), Some(Proof::Holds));
}

fn source(snapshots: &[u64], marks: &[(&str, u64)]) -> SourceDataset {
    let (mut all, mut bookmarks) = (Versions::default(), Versions::default());
    for txg in snapshots {
        all.push(&format!("s{txg}").parse().unwrap(), Guid(txg * 100), Txg(*txg));
    }
    for (name, txg) in marks {
        bookmarks.push(&name.parse().unwrap(), Guid(txg * 100), Txg(*txg));
    }
    SourceDataset { snapshots: all, bookmarks, ..SourceDataset::default() }
}

#[test]
fn the_newest_that_stays_is_the_witness() {
    let source = source(&[10, 20, 30, 40], &[("zfsync-0123abcd-x", 10), ("mine", 20), ("zfsync-0123abcd.x", 30)]);
    let set = |guids: &[u64]| guids.iter().map(|guid| Guid(*guid)).collect::<HashSet<Guid>>();
    let (witness, older) = source.witness(&set(&[1000, 2000, 3000])).unwrap();
    assert_eq!((witness.name, older.clone()), ("s40", vec![Guid(1000), Guid(3000)]), "nobody's but ours");
    assert_eq!(source.witness(&set(&[])), Some((witness, older.clone())), "another tool may take them");
    assert_eq!(source.witness(&set(&[3000, 4000])).unwrap().1, [Guid(1000)], "it has to be newer");
    assert_eq!(source.witness(&set(&[2000, 3000, 4000])), None);
    let open = |notes: &[(&str, &str)], going: &[u64]| {
        let notes = notes.iter().map(|(name, note)| ((*name).to_owned(), (*note).to_owned())).collect();
        source.unwitnessed(&dataset("p/b"), older.clone(), &set(going), &notes)
    };
    assert_eq!(open(&[], &[]), older);
    assert_eq!(open(&[("p/b@s20", "2000:20:1000")], &[]), [Guid(3000)]);
    assert_eq!(open(&[("p/b@s20", "2000:20:1000")], &[2000]), older, "it goes itself");
    assert_eq!(open(&[("p/b@s20", "2000:21:1000")], &[]), older, "another's note");
    let note = note_of(witness, &[Guid(1000), Guid(3000)], None);
    assert_eq!(note, "4000:40:1000,3000");
    assert_eq!(note_of(witness, &[Guid(3500)], Some(&note)), "4000:40:1000,3000,3500");
    assert_eq!(note_of(witness, &[Guid(3500)], Some("4000:41:9")), "4000:40:3500", "the note of another snapshot");
    let many: Vec<Guid> = (0..900).map(|_| Guid(u64::MAX)).collect();
    assert!(note_of(witness, &many, Some(&note)).len() <= 8191);
}

#[test]
fn witnesses_settle_what_they_have_seen() {
    let settled = |value: &str| {
        let mut doubt = doubt("p/b", 20, &[10, 30]);
        let notes = [("p/b@s30".to_owned(), value.to_owned()), ("p/b@s10".to_owned(), "1000:10:2000".to_owned())];
        let proofs = doubt.settle_by_witnesses(&notes.into_iter().collect());
        assert_eq!(proofs.is_empty(), !doubt.marks.is_empty());
        proofs.contains_key(&Guid(2000))
    };
    assert!(settled("3000:30:7,2000"));
    // Not about it; another's; damaged.
    for value in ["3000:30:7", "3000:29:2000", "3001:30:2000", "2000", "", "3000:30:", "3000:30:x,"] {
        assert!(!settled(value), "{value}");
    }
}

/// What happens to a dataset, and to one beside it.
#[derive(Debug, Clone)]
enum Act {
    Take,
    Destroy(usize),
    /// A receive on top of the snapshot at this place, with all newer ones destroyed.
    Receive(usize),
    Rename,
    Beside,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(Act::Take),
        3 => (0..9_usize).prop_map(Act::Destroy),
        3 => (0..9_usize).prop_map(Act::Receive),
        1 => Just(Act::Rename),
        1 => Just(Act::Beside),
    ];
    proptest::collection::vec(act, 1..40)
}

proptest! {
    #![proptest_config(crate::plan::model::config(400))]
    /// Against a model that remembers which content came from which.
    #[test]
    fn replays_tell_the_truth(acts in acts(), cut in 0..60_usize) {
        let (mut lines, mut txg, mut name, mut object) = (Vec::new(), 10_u64, "p/b".to_owned(), 0_u64);
        // Snapshots that are there: txg, object. Marks: txg and whether the content still comes from there.
        let mut there: Vec<(u64, u64)> = Vec::new();
        let mut marks: Vec<(u64, bool)> = Vec::new();
        for act in acts {
            txg += 1;
            match act {
                Act::Take => {
                    object += 1;
                    lines.push(format!("{txg} snapshot {name}@s{txg} ({object})"));
                    there.push((txg, object));
                    marks.push((txg, true));
                }
                Act::Destroy(at) if !there.is_empty() => {
                    let (gone, object) = there.remove(at % there.len());
                    lines.push(format!("{txg} destroy {name}@s{gone} ({object})"));
                }
                Act::Receive(at) if !there.is_empty() => {
                    let base = at % there.len();
                    for (gone, object) in there.drain(base + 1..) {
                        lines.push(format!("{txg} destroy {name}@s{gone} ({object})"));
                    }
                    lines.push(format!("{txg} clone swap {name}/%recv (900) parent=b"));
                    marks.iter_mut().filter(|(mark, _)| *mark > there[base].0).for_each(|(_, holds)| *holds = false);
                    object += 1;
                    lines.push(format!("{txg} snapshot {name}@s{txg} ({object})"));
                    there.push((txg, object));
                    marks.push((txg, true));
                }
                Act::Rename => {
                    let new = format!("p/r{txg}/b");
                    lines.push(format!("{txg} rename {name} (5) -> {new}"));
                    name = new;
                }
                Act::Beside => lines.push(format!("{txg} clone swap p/r/%recv (901) parent=r")),
                Act::Destroy(_) | Act::Receive(_) => {}
            }
        }
        let records: Vec<Record> = lines.iter().map(|line| record(line)).collect();
        let present: Vec<u64> = there.iter().map(|(txg, _)| *txg).collect();
        let orphans = marks.iter().filter(|(mark, _)| !present.contains(mark));
        for &(mark, holds) in orphans {
            let doubt = doubt(&name, mark, &present);
            let judge = |records: &[Record]| replay(records, std::slice::from_ref(&doubt))[&7].get(&Guid(mark * 100)).copied();
            let whole = judge(&records);
            prop_assert_eq!(whole.map(|proof| proof == Proof::Holds), Some(holds), "{} {:?} {:?}", mark, lines, present);
            // A ring buffer loses its oldest records: then nothing is claimed, or the same.
            let rest = judge(&records[cut.min(records.len())..]);
            prop_assert!(rest.is_none() || rest == whole);
        }
    }
}
