use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::super::calendar::Zone;
use super::*;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 366 * DAY;
const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
/// The start of 2024 in UTC.
const START: i64 = 1_704_067_200;

fn zone(text: &str) -> TimeZone {
    text.parse::<Zone>().unwrap().zone().clone()
}

/// Late enough for nothing to be in the future.
fn calendar() -> Calendar {
    Calendar { zone: TimeZone::UTC, now: START + 100 * YEAR }
}

fn aged(times: &[i64]) -> Vec<Aged> {
    times.iter().map(|time| Aged { time: Some(*time), class: None }).collect()
}

fn at(texts: &[&str]) -> Vec<Aged> {
    aged(&texts.iter().map(|text| text.parse::<Timestamp>().unwrap().as_second()).collect::<Vec<_>>())
}

fn keep(text: &str) -> Rules {
    Rules { periods: Some(text.parse().unwrap()), ..Rules::default() }
}

fn stay_by(rules: &Rules, snapshots: &[Aged], calendar: &Calendar) -> Vec<usize> {
    let kept = rules.apply(snapshots, calendar);
    (0..snapshots.len()).filter(|at| kept[*at].is_some()).collect()
}

fn stay(rules: &Rules, snapshots: &[Aged]) -> Vec<usize> {
    stay_by(rules, snapshots, &calendar())
}

#[test]
fn a_period_keeps_its_newest() {
    let quarters: Vec<i64> = (0..10).map(|quarter| START + quarter * HOUR / 4).collect();
    // Of the hours 0 to 3 | 4 to 7 | 8 and 9.
    assert_eq!(stay(&keep("2h"), &aged(&quarters)), [7, 9]);
    assert_eq!(stay(&keep("24h"), &aged(&quarters)), [3, 7, 9]);
    assert_eq!(stay(&keep("1d"), &aged(&quarters)), [9]);
}

#[test]
fn rules_go_their_own_ways() {
    // Two snapshots a day for ten days: days are not counted from where the hours end.
    let halves: Vec<i64> = (0..20).map(|half| START + half * 12 * HOUR).collect();
    assert_eq!(stay(&keep("3h"), &aged(&halves)), [17, 18, 19]);
    assert_eq!(stay(&keep("3d"), &aged(&halves)), [15, 17, 19]);
    assert_eq!(stay(&keep("3h,3d"), &aged(&halves)), [15, 17, 18, 19]);
    assert_eq!(keep("3d,3h"), keep("3h,3d"), "in whatever order they are written");
    let both = Rules { last: Some(4), ..keep("3d") };
    assert_eq!(stay(&both, &aged(&halves)), [15, 16, 17, 18, 19]);
}

#[test]
fn what_is_ahead_of_the_clock_is_kept_and_not_counted() {
    // One of 48 hourly ones says that it was made a year later.
    let mut hours: Vec<i64> = (0..48).map(|hour| START + hour * HOUR).collect();
    hours[30] += YEAR;
    let now = Calendar { now: START + 48 * HOUR, ..calendar() };
    let kept = keep("24h").apply(&aged(&hours), &now);
    assert_eq!(kept[30], Some(KeptBy::Future));
    let stays = stay_by(&keep("24h"), &aged(&hours), &now);
    assert_eq!(stays, (23..48).collect::<Vec<_>>(), "24 beside it");
    // The newest one says so: the newest of the others stays as well, whatever the rules.
    hours.push(START + 2 * YEAR);
    let none = Rules { last: Some(0), ..Rules::default() };
    assert_eq!(stay_by(&none, &aged(&hours), &now), [30, 47, 48]);
    assert_eq!(stay_by(&Rules { last: Some(2), ..Rules::default() }, &aged(&hours), &now), [30, 46, 47, 48]);
    // A clock that has lost its time takes all for the future, and nothing goes.
    let lost = Calendar { now: 0, ..calendar() };
    assert_eq!(stay_by(&keep("1h"), &aged(&hours), &lost).len(), 49);
}

#[test]
fn a_clock_that_was_behind_costs_nothing() {
    // The machine started in 1970, took one snapshot, and got its time back.
    let mut hours: Vec<i64> = (0..30).map(|hour| START + hour * HOUR).collect();
    hours.insert(28, 60);
    let (true_ones, as_made) = (6..31, 7..31);
    assert!(as_made.contains(&28));
    assert_eq!(stay(&keep("24h"), &aged(&hours)), true_ones.collect::<Vec<_>>());
    // It was behind by some minutes: the newest of the hour by its date, and the one that was made last.
    let back = at(&["2024-11-22T10:20:00Z", "2024-11-22T10:50:00Z", "2024-11-22T10:25:00Z", "2024-11-22T11:00:00Z"]);
    assert_eq!(stay(&keep("2h"), &back), [1, 2, 3]);
    // It stays behind for two days: neither these nor the true ones go.
    let mut days: Vec<i64> = (0..40).map(|hour| START + hour * HOUR).collect();
    days.extend((0..40).map(|hour| START - YEAR + hour * HOUR));
    assert_eq!(stay(&keep("3h"), &aged(&days)), [37, 38, 39, 77, 78, 79]);
}

#[test]
fn what_has_no_date_stays() {
    let mut snapshots = aged(&[START, START + 10 * DAY]);
    snapshots[0].time = None;
    assert_eq!(stay(&keep("1h"), &snapshots), [0, 1]);
    snapshots[0].time = Some(i64::MIN);
    assert_eq!(stay(&keep("1h"), &snapshots), [0, 1], "what no calendar has");
}

#[test]
fn the_second_half_past_two_is_another_hour() {
    let berlin = Calendar { zone: zone(BERLIN), ..calendar() };
    let autumn = at(&["2024-10-26T23:30:00Z", "2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z", "2024-10-27T02:30:00Z"]);
    assert_eq!(stay_by(&keep("4h"), &autumn, &berlin), [0, 1, 2, 3]);
    assert_eq!(stay_by(&keep("1d"), &autumn, &berlin), [3]);
    // There is no half past two in spring, and nothing is missed.
    let spring = at(&["2024-03-31T00:30:00Z", "2024-03-31T01:30:00Z", "2024-03-31T02:30:00Z"]);
    assert_eq!(stay_by(&keep("3h"), &spring, &berlin), [0, 1, 2]);
    // Midnight is where the zone has it.
    let evening = at(&["2024-11-22T22:30:00Z", "2024-11-22T23:30:00Z"]);
    assert_eq!(stay_by(&keep("2d"), &evening, &berlin), [0, 1]);
    assert_eq!(stay(&keep("2d"), &evening), [1]);
}

#[test]
fn classes_count_for_themselves() {
    let classes = [Class::Day, Class::Hour, Class::Hour, Class::Minute, Class::Day, Class::Minute, Class::Second];
    let snapshots: Vec<Aged> = classes.iter().map(|class| Aged { time: None, class: Some(*class) }).collect();
    let rules = |text: &str| Rules { classes: Some(text.parse().unwrap()), ..Rules::default() };
    assert_eq!(stay(&rules("s=1,m=1,h=1,d=1"), &snapshots), [2, 4, 5, 6]);
    assert_eq!(stay(&rules("s=0,m=0,h=0,d=0"), &snapshots), [6], "the newest always stays");
    assert_eq!(stay(&rules("m=0"), &snapshots), [0, 1, 2, 4, 6], "no rule for the others");
    let mut odd = snapshots.clone();
    odd[0].class = None;
    assert_eq!(stay(&rules("s=0,m=0,h=0,d=0"), &odd), [0, 6], "nor for what has no class");
    let both = Rules { last: Some(2), ..rules("s=0,m=0,h=0,d=0") };
    assert_eq!(stay(&both, &odd), [0, 5, 6], "another rule takes nothing away");
}

#[test]
fn rules_are_read() {
    let periods = |text: &str| text.parse::<Periods>().map_err(|error| error.reason);
    let [hours, days] = [Span { count: 24, unit: Unit::Hour }, Span { count: 7, unit: Unit::Day }];
    assert_eq!(periods("24h, 7d").unwrap().0, [hours, days]);
    assert_eq!(periods("7d,24h").unwrap().0, [hours, days]);
    let all = periods("1y,12m,4w,7d,24h,60min").unwrap();
    assert_eq!(all.to_string(), "60min,24h,7d,4w,12m,1y");
    assert_eq!(all.words(), "60 minutes, 24 hours, 7 days, 4 weeks, 12 months, 1 year");
    for bad in
        ["", ",", "h", "24", "0h", "-1h", "24x", "24h,12h", "1.5h", "99999999999h", "24\u{e4}", "24h,", "+1h", "24 h"]
    {
        assert!(periods(bad).is_err(), "{bad:?}");
    }
    assert_eq!("S=1,d=20".parse::<PerClass>().unwrap().0, [(Class::Second, 1), (Class::Day, 20)]);
    for bad in ["", "s", "s=", "x=1", "s=1,s=2", "s=-1", "\u{e4}=1"] {
        assert!(bad.parse::<PerClass>().is_err(), "{bad:?}");
    }
}

fn any_periods() -> impl Strategy<Value = Periods> {
    let texts = vec!["3h", "24h,7d", "1h,2d,1w", "2d,12m", "1y", "10min,5h,3d,2w,2m,1y"];
    proptest::sample::select(texts).prop_map(|text| text.parse().unwrap())
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let class = (0_usize..4, 0_usize..4).prop_map(|(class, count)| (Class::ALL[class], count));
    let classes = proptest::option::of(proptest::collection::vec(class, 0..4).prop_map(PerClass::new));
    (proptest::option::of(0_usize..5), classes, proptest::option::of(any_periods()))
        .prop_map(|(last, classes, periods)| Rules { last, classes, periods })
}

fn any_zone() -> impl Strategy<Value = TimeZone> {
    proptest::sample::select(vec!["UTC", BERLIN, "EST5EDT,M3.2.0,M11.1.0", "<+0545>-5:45"]).prop_map(zone)
}

/// As they are made: mostly one after another, now and then by a clock that is wrong, or nobody knows when.
fn any_snapshots() -> impl Strategy<Value = Vec<Aged>> {
    let step = prop_oneof![8 => 0..2 * HOUR, 3 => 0..3 * DAY, 1 => 0..3 * YEAR];
    let wrong = proptest::option::weighted(0.1, -2 * YEAR..2 * YEAR);
    let one = (step, wrong, proptest::bool::weighted(0.95), proptest::option::weighted(0.8, 0_usize..4));
    proptest::collection::vec(one, 0..60).prop_map(|all| {
        let mut clock = START;
        let made = all.into_iter().map(|(step, wrong, dated, class)| {
            clock += step;
            let time = dated.then_some(clock + wrong.unwrap_or(0));
            Aged { time, class: class.map(|at| Class::ALL[at]) }
        });
        made.collect()
    })
}

/// What is there in the end, when snapshots may be followed by a prune, at some moment before the last.
fn history(rules: &Rules, made: &[Aged], prunes: &[Option<i64>], calendar: &Calendar) -> Vec<usize> {
    let mut there: Vec<usize> = Vec::new();
    for (at, prune) in (0..made.len()).zip(prunes) {
        there.push(at);
        if let Some(now) = *prune {
            there = pruned(rules, made, &there, &Calendar { now, ..calendar.clone() });
        }
    }
    pruned(rules, made, &there, calendar)
}

fn pruned(rules: &Rules, made: &[Aged], there: &[usize], calendar: &Calendar) -> Vec<usize> {
    let snapshots: Vec<Aged> = there.iter().map(|at| made[*at]).collect();
    stay_by(rules, &snapshots, calendar).into_iter().map(|at| there[at]).collect()
}

proptest! {
    #[test]
    fn rules_keep_what_they_say(rules in any_rules(), snapshots in any_snapshots(), zone in any_zone(), now in 0..8 * YEAR) {
        let calendar = Calendar { zone, now: START + now };
        let kept = rules.apply(&snapshots, &calendar);
        let stays = stay_by(&rules, &snapshots, &calendar);
        // What is ahead of the clock; the newest of all, and of the others, by number.
        let ahead = |one: &Aged| one.time.is_some_and(|time| time > calendar.now);
        let counted: Vec<usize> = (0..snapshots.len()).filter(|at| !ahead(&snapshots[*at])).collect();
        prop_assert!((0..snapshots.len()).all(|at| ahead(&snapshots[at]) == (kept[at] == Some(KeptBy::Future))));
        prop_assert!(kept.last().is_none_or(Option::is_some));
        let last = rules.last.unwrap_or(0).max(1).min(counted.len());
        prop_assert!(counted[counted.len() - last..].iter().all(|at| stays.contains(at)));
        // The newest of each class.
        for (at, (class, count)) in rules.classes.iter().flat_map(|classes| &classes.0).enumerate() {
            let counts = &rules.classes.as_ref().unwrap().0;
            if counts[..at].iter().any(|(other, _)| other == class) { continue; }
            let of_class: Vec<usize> = counted.iter().copied().filter(|at| snapshots[*at].class == Some(*class)).collect();
            let newest = &of_class[of_class.len() - (*count).min(of_class.len())..];
            prop_assert!(newest.iter().all(|at| stays.contains(at)));
        }
        // Of each length so many periods as there are, up to its number, and of each its newest, by creation and by date.
        let created: Vec<usize> = counted.iter().rev().copied().filter(|at| snapshots[*at].time.is_some()).collect();
        let mut by_date = created.clone();
        by_date.sort_by_key(|at| (-snapshots[*at].time.unwrap(), Reverse(*at)));
        for Span { count, unit } in rules.periods.iter().flat_map(|periods| &periods.0) {
            for order in [&created, &by_date] {
                let mut newest: Vec<(_, usize)> = Vec::new();
                for at in order {
                    let period = unit.period(snapshots[*at].time.unwrap(), &calendar.zone);
                    if newest.iter().all(|(other, _)| *other != period) { newest.push((period, *at)); }
                }
                prop_assert!(newest.iter().take(*count).all(|(_, at)| stays.contains(at)));
            }
        }
    }

    #[test]
    fn what_one_rule_keeps_no_other_takes(one in any_rules(), other in any_periods(), snapshots in any_snapshots(), zone in any_zone()) {
        let calendar = Calendar { zone, ..calendar() };
        let both = Rules { periods: Some(other.clone()), ..one.clone() };
        let alone = Rules { periods: None, ..one };
        let mut sum = stay_by(&alone, &snapshots, &calendar);
        sum.extend(stay_by(&Rules { periods: Some(other), ..Rules::default() }, &snapshots, &calendar));
        sum.sort_unstable();
        sum.dedup();
        prop_assert_eq!(stay_by(&both, &snapshots, &calendar), sum);
    }

    #[test]
    fn once_thinned_there_is_nothing_more_to_do(rules in any_rules(), snapshots in any_snapshots(), zone in any_zone(), now in 0..8 * YEAR) {
        let calendar = Calendar { zone, now: START + now };
        let rest: Vec<Aged> = stay_by(&rules, &snapshots, &calendar).iter().map(|at| snapshots[*at]).collect();
        prop_assert_eq!(stay_by(&rules, &rest, &calendar).len(), rest.len());
    }

    /// However often it was pruned meanwhile, and on whichever side first, in the end the same is there.
    #[test]
    fn when_it_was_pruned_makes_no_difference(
        rules in any_rules(), made in any_snapshots(), zone in any_zone(),
        prunes in proptest::collection::vec(proptest::option::of(START..START + 20 * YEAR), 60),
    ) {
        let calendar = Calendar { zone, ..calendar() };
        let never = [None; 60];
        prop_assert_eq!(history(&rules, &made, &prunes, &calendar), history(&rules, &made, &never, &calendar));
    }

    #[test]
    fn jitter_makes_no_holes(
        unit in 0_usize..3, keeps in 2_usize..30, count in 1_usize..80, phase in 0..DAY, zone in any_zone(),
        spread in 0..50_i64, jitter in proptest::collection::vec(0..=100_i64, 80), start in 0..YEAR,
    ) {
        let (unit, period) = [(Unit::Minute, MINUTE), (Unit::Hour, HOUR), (Unit::Day, DAY)][unit];
        let spread = period * spread / 100;
        let made: Vec<i64> = (0..count).map(|at| {
            START + start + phase + i64::try_from(at).unwrap() * period + spread * jitter[at] / 100
        }).collect();
        let calendar = Calendar { zone, ..calendar() };
        let rules = keep(&format!("{keeps}{}", unit.symbol()));
        // Pruned after each one, as cron does.
        let all = aged(&made);
        let stays = history(&rules, &all, &vec![Some(calendar.now); count], &calendar);
        let periods: HashSet<_> = made.iter().map(|time| unit.period(*time, &calendar.zone).unwrap()).collect();
        prop_assert_eq!(stays.len(), keeps.min(periods.len()), "N are kept once N exist");
        for pair in stays.windows(2) {
            let hole = made[pair[1]] - made[pair[0]];
            prop_assert!(hole <= 2 * period + spread, "a hole of {hole}");
        }
    }

    #[test]
    fn a_gap_takes_nothing_away(rules in any_rules(), made in any_snapshots(), gap in 0..50 * YEAR, zone in any_zone()) {
        let calendar = Calendar { zone, ..calendar() };
        let before = stay_by(&rules, &made, &calendar);
        // Nothing new comes: later is as now. Then one comes, and only what it takes the place of goes.
        let later = Calendar { now: calendar.now + gap, ..calendar.clone() };
        prop_assert_eq!(&stay_by(&rules, &made, &later), &before);
        let mut more = made.clone();
        more.push(Aged { time: Some(later.now), class: Some(Class::Day) });
        let after = stay_by(&rules, &more, &later);
        let spans = rules.periods.iter().flat_map(|periods| &periods.0).count();
        let gone = before.iter().filter(|at| !after.contains(at)).count();
        prop_assert!(gone <= 2 * spans + 2, "{gone} of {} gone", before.len());
    }
}
