//! The grace and its clocks, and how much may go at a time.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn name(text: &str) -> DatasetName {
    text.parse().unwrap()
}

fn doomed(text: &str, since: Option<i64>, newest: Option<&str>) -> Doomed {
    let newest = newest.map(|name| name.parse().unwrap());
    Doomed { dataset: name(text), snapshots: vec![("s".parse().unwrap(), Guid(1)); 3], newest, since }
}

fn due(missing: &Missing, since: &HashMap<String, i64>, made: &HashMap<String, i64>, now: i64, grace: Duration) -> Due {
    missing.due(Times { since, made, now }, grace)
}

#[test]
fn the_grace_counts_from_when_it_was_first_missed() {
    let found = Missing {
        datasets: ["b/t/a/b", "b/t/a", "b/t/c"].iter().map(|text| doomed(text, None, None)).collect(),
        snapshots: vec![(name("b/t"), vec![("s".parse().unwrap(), Guid(1)), ("u".parse().unwrap(), Guid(2))])],
        ..Missing::default()
    };
    let now = 1_000_000;
    let none = HashMap::new();
    let at_once = due(&found, &none, &none, now, Duration::ZERO);
    assert_eq!((at_once.datasets.len(), at_once.snapshots[0].1.len(), at_once.noted.len()), (3, 2, 0));
    let first = due(&found, &none, &none, now, HOUR);
    assert_eq!(first.noted, ["b/t/a/b", "b/t/a", "b/t/c", "b/t@s", "b/t@u"]);
    assert_eq!((first.datasets_wait, first.snapshots_wait, first.next), (3, 2, Some(now + 3600)));
    assert_eq!((first.datasets, first.snapshots), (vec![], vec![]));

    let mut later = found;
    // The child came later: its parent has to wait for it. A time to come is no time.
    for (doomed, since) in later.datasets.iter_mut().zip([now - 10, now - 5000, now + 5000]) {
        doomed.since = Some(since);
    }
    let since = HashMap::from([("b/t@s".to_owned(), now - 3600), ("b/t@u".to_owned(), now - 3599)]);
    let made = HashMap::from([("b/t@s".to_owned(), 5)]);
    assert_eq!(later.witnesses(&since, now, HOUR), ["b/t@s"]);
    let due = due(&later, &since, &made, now, HOUR);
    assert_eq!((due.datasets, due.datasets_wait, due.noted), (vec![], 3, vec!["b/t/c".to_owned()]));
    assert_eq!(due.snapshots, [(name("b/t"), vec![("s".parse().unwrap(), Guid(1))])]);
    assert_eq!((due.snapshots_wait, due.next), (1, Some(now + 1)));
}

#[test]
fn a_clock_that_was_wrong_starts_the_grace_anew() {
    let now = 1_800_000_000;
    // Noted when the clock said 2001; its newest snapshot is of last year.
    let (noted, made) = (1_000_000_000, now - 30_000_000);
    let found = Missing {
        datasets: vec![doomed("b/t/a", Some(noted), Some("s"))],
        snapshots: vec![(name("b/t"), vec![("s".parse().unwrap(), Guid(1))])],
        ..Missing::default()
    };
    let since = HashMap::from([("b/t@s".to_owned(), noted)]);
    assert_eq!(found.witnesses(&since, now, HOUR), ["b/t/a@s", "b/t@s"]);
    for dates in [HashMap::new(), HashMap::from([("b/t/a@s".to_owned(), made), ("b/t@s".to_owned(), made)])] {
        let due = due(&found, &since, &dates, now, HOUR);
        assert_eq!((due.datasets.len(), due.snapshots.len(), due.noted), (0, 0, vec!["b/t/a".into(), "b/t@s".into()]));
    }
    let right = HashMap::from([("b/t/a@s".to_owned(), noted - 1), ("b/t@s".to_owned(), noted)]);
    let due = due(&found, &since, &right, now, HOUR);
    assert_eq!((due.datasets.len(), due.snapshots.len(), due.noted.len()), (1, 1, 0));
}

#[test]
fn both_clocks_count() {
    let week = Duration::from_secs(7 * 86400);
    let now = 1_800_000_000;
    assert_eq!(Clocks::new(now, None).wrong(week), None, "an older helper");
    assert_eq!(Clocks::new(now, None).at(now + 5).now(), now + 5);
    for (there, later) in [(now + 3600, now + 5), (now - 3600, now - 3595), (now, now + 5)] {
        let clocks = Clocks::new(now, Some(there));
        assert_eq!((clocks.wrong(week), clocks.at(now + 5).now()), (None, later), "{there}");
    }
    let jumped = Clocks::new(now, Some(now - 30 * 86400)).wrong(week).unwrap();
    assert!(jumped.contains("its clock is 2592000 seconds behind this machine's"), "{jumped}");
    assert!(Clocks::new(now, Some(now + 3601)).wrong(week).unwrap().contains("3601 seconds ahead of"));
    // Shorter than an hour, the grace itself is the limit; without one no clock matters.
    assert!(Clocks::new(now, Some(now + 61)).wrong(Duration::from_secs(60)).is_some());
    assert_eq!(Clocks::new(now, Some(i64::MIN)).wrong(Duration::ZERO), None);
    assert!(Clocks::new(now, Some(i64::MIN)).wrong(week).is_some());
}

/// Both clocks agree, and were set back: what was made before is of time to come.
#[test]
fn a_snapshot_of_time_to_come_tells_of_a_clock_that_is_behind() {
    let week = Duration::from_secs(7 * 86400);
    let now = 1_800_000_000;
    let clocks = Clocks::new(now, Some(now));
    let dates = |late: i64| {
        [("b/t@s3", now), ("b/t@s2", now + late), ("b/t@s1", 5)].map(|(name, date)| (name.to_owned(), date))
    };
    let behind = |late, grace| clocks.behind(&dates(late), grace);
    let text = behind(864_000, week).unwrap();
    assert!(text.contains("b/t@s2 was made 864000 seconds after the time that the clocks show"), "{text}");
    assert_eq!(behind(3600, week), None);
    assert_eq!((behind(864_000, Duration::ZERO), clocks.behind(&[], week)), (None, None));
    assert!(behind(61, Duration::from_secs(60)).is_some());
    // Or the host that took it had a clock that was ahead. Whoever has it may need it as the base of the next increment, if another source.
    assert!(
        text.contains("and of the one that took the snapshot") && !text.contains("destroyed that snapshot"),
        "{text}"
    );
}

#[test]
fn the_newest_of_each_name_are_asked_for_their_dates() {
    let target = |all: &[(&str, u64)]| crate::plan::fixture::target(crate::plan::fixture::numbered(all));
    let names = |there: &HashMap<DatasetName, TargetDataset>| -> Vec<String> { dated(there) };
    let there = HashMap::from([
        (name("b/t"), target(&[("s1", 1), ("s2", 4)])),
        (name("b/t/a"), target(&[("s1", 2), ("s2", 5), ("own", 6)])),
    ]);
    assert_eq!(names(&there), ["b/t/a@own", "b/t/a@s2", "b/t/a@s1"]);
    let many = |from: u64| -> Vec<(String, u64)> { (from..300).map(|number| (format!("s{number}"), number)).collect() };
    let of = |many: &[(String, u64)], later: u64| {
        target(&many.iter().map(|(name, number)| (name.as_str(), *number + later)).collect::<Vec<_>>())
    };
    let found = names(&HashMap::from([(name("b/t"), of(&many(1), 0))]));
    assert_eq!((found.len(), found[0].as_str(), found[99].as_str()), (100, "b/t@s299", "b/t@s200"));
    // Whichever is looked at first.
    let there = HashMap::from([
        (name("b/t"), of(&many(1), 0)),
        (name("b/t/a"), of(&many(1), 1000)),
        (name("b/t/b"), of(&many(250), 500)),
    ]);
    let found = names(&there);
    assert_eq!((found.len(), found[0].as_str(), found[99].as_str()), (100, "b/t/a@s299", "b/t/a@s200"));
}

#[test]
fn how_much_may_go() {
    for (text, of_8, of_100) in [("12", 12, 12), ("30%", 2, 30), ("0", 0, 0), ("100%", 8, 100)] {
        let max: MaxDelete = text.parse().unwrap();
        assert_eq!((max.of(8), max.of(100), max.to_string()), (of_8, of_100, text.to_owned()));
    }
    assert_eq!((MaxDelete::Cautious.of(8), MaxDelete::Cautious.of(100)), (10, 25));
    for bad in ["", "%", "-1", "101%", "x", "1.5%", "5 %"] {
        assert!(bad.parse::<MaxDelete>().is_err(), "{bad:?}");
    }
}

#[test]
fn more_than_may_go_is_listed() {
    let going = Due {
        datasets: vec![doomed("b/t/a", None, None)],
        snapshots: vec![(name("b/t"), vec![("s".parse().unwrap(), Guid(1))])],
        ..Due::default()
    };
    let check = |total, max: &str| going.too_much(total, max.parse().unwrap());
    assert_eq!(check((4, 4), "100%"), None);
    assert_eq!(check((4, 8), "50%"), None, "1 of 4 datasets, 4 of 8 snapshots");
    assert_eq!(going.too_much((1, 4), MaxDelete::Cautious), None);
    let snapshots = check((4, 10), "30%").unwrap();
    assert_eq!(snapshots.names, ["b/t/a", "b/t@s"]);
    assert!(
        snapshots.to_string().starts_with("1 of 4 datasets and 4 of 10 snapshots would be destroyed"),
        "{snapshots}"
    );
    assert!(check((10, 10), "3").is_some() && check((10, 10), "4").is_none());
    assert!(check((3, 100), "30%").is_some(), "no dataset of three");
}
