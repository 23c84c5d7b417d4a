//! Which snapshots are kept: by class, by number, by age. Ages count back from the newest snapshot, never from a clock, so
//! that nothing more goes while no new snapshots come.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::naming::Class;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// What the rules need to know of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Aged {
    /// When it was made, in seconds; of all snapshots of a dataset by the same clock.
    pub time: Option<i64>,
    /// Its class.
    pub class: Option<Class>,
}

/// Why a snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptBy {
    /// It is among the newest of all.
    Last,
    /// It is among the newest of its class, or has none and there are rules for classes alone.
    Class,
    /// It is the oldest of its period, or has no age.
    Age,
}

/// So many periods of one length, each of which keeps its oldest snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    count: i64,
    seconds: i64,
}

/// `24h,7d,4w,12m`: periods that follow each other, back from the newest snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grid(Vec<Span>);

/// `s=1,m=4,h=3,d=2`: how many are kept of each class; of one that isn't named, all are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PerClass(Vec<(Class, usize)>);

/// A rule that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?}: {reason}")]
pub struct RuleError {
    text: String,
    reason: &'static str,
}

/// All rules together: what one of them keeps, stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// The newest, however many.
    pub last: Option<usize>,
    /// The newest of each class.
    pub classes: Option<PerClass>,
    /// One for each period.
    pub grid: Option<Grid>,
}

impl Rules {
    /// Whether there is no rule at all: everything would go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// For each snapshot (oldest first) what keeps it. The newest always stays.
    #[must_use]
    pub fn apply(&self, snapshots: &[Aged]) -> Vec<Option<KeptBy>> {
        let mut kept = vec![None; snapshots.len()];
        let newest = self.last.unwrap_or(0).max(1).min(snapshots.len());
        let from = snapshots.len() - newest;
        kept[from..].fill(Some(KeptBy::Last));
        if let Some(classes) = &self.classes {
            classes.apply(snapshots, &mut kept, self.grid.is_none() && self.last.is_none());
        }
        if let Some(grid) = &self.grid {
            grid.apply(snapshots, &mut kept);
        }
        kept
    }
}

impl PerClass {
    /// What the seed's flags say.
    #[must_use]
    pub fn new(counts: impl IntoIterator<Item = (Class, usize)>) -> Self {
        Self(counts.into_iter().collect())
    }

    fn apply(&self, snapshots: &[Aged], kept: &mut [Option<KeptBy>], alone: bool) {
        let mut left = self.0.clone();
        for (at, snapshot) in snapshots.iter().enumerate().rev() {
            let stays = match snapshot.class {
                None => alone,
                Some(class) => match left.iter_mut().find(|(counted, _)| *counted == class) {
                    None => true,
                    Some((_, 0)) => false,
                    Some((_, left)) => {
                        *left -= 1;
                        true
                    }
                },
            };
            if stays {
                kept[at] = kept[at].or(Some(KeptBy::Class));
            }
        }
    }
}

impl Grid {
    fn apply(&self, snapshots: &[Aged], kept: &mut [Option<KeptBy>]) {
        let Some(last) = snapshots.iter().rposition(|snapshot| snapshot.time.is_some()) else {
            return kept.fill(Some(KeptBy::Age));
        };
        let newest = snapshots[last].time.unwrap_or_default();
        let mut filled = HashSet::new();
        for (at, (snapshot, kept)) in snapshots.iter().zip(kept).enumerate() {
            let stays = match snapshot.time {
                None => true,
                // What all ages count from: without it they would count from another one the next time.
                Some(_) if at == last => true,
                Some(time) => match newest.saturating_sub(time) {
                    // Made later by a clock that has been set back since.
                    ..0 => true,
                    age => self.period(age).is_some_and(|period| filled.insert(period)),
                },
            };
            if stays {
                *kept = kept.or(Some(KeptBy::Age));
            }
        }
    }

    /// The period that an age falls into; `None` when it is past all of them.
    fn period(&self, age: i64) -> Option<(usize, i64)> {
        let mut begin = 0_i64;
        for (at, Span { count, seconds }) in self.0.iter().enumerate() {
            let end = begin.saturating_add(count.saturating_mul(*seconds));
            if age < end {
                return Some((at, (age - begin) / seconds));
            }
            begin = end;
        }
        None
    }
}

impl FromStr for Grid {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = |reason| RuleError { text: text.to_owned(), reason };
        let spans = text.split(',').map(|part| {
            let part = part.trim();
            let (unit_at, unit) = part.char_indices().last().ok_or(error("a period is missing"))?;
            let seconds = match unit {
                'h' => HOUR,
                'd' => DAY,
                'w' => 7 * DAY,
                'm' => 30 * DAY,
                'y' => 365 * DAY,
                _ => return Err(error("each part is a number with h, d, w, m (30 days) or y behind it, as 24h,7d")),
            };
            let count = part[..unit_at].parse::<u32>().ok().filter(|count| *count > 0);
            let count = count.ok_or(error("each part starts with a number above 0, as 24h,7d"))?;
            Ok(Span { count: count.into(), seconds })
        });
        let spans: Vec<Span> = spans.collect::<Result<_, RuleError>>()?;
        if spans.is_sorted_by_key(|span| span.seconds) {
            Ok(Self(spans))
        } else {
            Err(error("shorter periods come first, as 24h,7d,4w"))
        }
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = |seconds| match seconds / DAY {
            0 => 'h',
            1 => 'd',
            7 => 'w',
            30 => 'm',
            _ => 'y',
        };
        let spans: Vec<String> = self.0.iter().map(|span| format!("{}{}", span.count, unit(span.seconds))).collect();
        f.write_str(&spans.join(","))
    }
}

impl fmt::Display for PerClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> =
            self.0.iter().map(|(class, count)| format!("{}={count}", class.letter().to_ascii_lowercase())).collect();
        f.write_str(&counts.join(","))
    }
}

impl FromStr for PerClass {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = |reason| RuleError { text: text.to_owned(), reason };
        let mut counts: Vec<(Class, usize)> = Vec::new();
        for part in text.split(',') {
            let (letter, count) =
                part.trim().split_once('=').ok_or(error("each part is CLASS=N, as s=1,m=4,h=3,d=2"))?;
            let class = Class::ALL.into_iter().find(|class| letter.eq_ignore_ascii_case(&class.to_string()));
            let class = class.ok_or(error("the classes are s, m, h and d"))?;
            if counts.iter().any(|(counted, _)| *counted == class) {
                return Err(error("a class is there twice"));
            }
            counts.push((class, count.parse().map_err(|_| error("what follows '=' is a number"))?));
        }
        Ok(Self(counts))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn aged(times: &[i64]) -> Vec<Aged> {
        times.iter().map(|time| Aged { time: Some(*time), class: None }).collect()
    }

    fn grid(text: &str) -> Rules {
        Rules { grid: Some(text.parse().unwrap()), ..Rules::default() }
    }

    fn stay(rules: &Rules, snapshots: &[Aged]) -> Vec<usize> {
        let kept = rules.apply(snapshots);
        (0..snapshots.len()).filter(|at| kept[*at].is_some()).collect()
    }

    #[test]
    fn a_period_keeps_its_oldest() {
        let hours: Vec<i64> = (0..10).map(|quarter| quarter * HOUR / 4).collect();
        // Ages from the newest, in quarters: 9 8 7 6 5 4 3 2 1 0; the newest hour is 3..0.
        assert_eq!(stay(&grid("2h"), &aged(&hours)), [2, 6, 9]);
        assert_eq!(stay(&grid("1h,1d"), &aged(&hours)), [0, 6, 9]);
    }

    #[test]
    fn nothing_goes_while_nothing_comes() {
        // The last one is a year old: what counts is not the clock.
        assert_eq!(stay(&grid("2d"), &aged(&[0, DAY, 2 * DAY])), [1, 2]);
    }

    #[test]
    fn what_has_no_age_stays() {
        let mut snapshots = aged(&[0, 10 * DAY]);
        snapshots[0].time = None;
        assert_eq!(stay(&grid("1h"), &snapshots), [0, 1]);
        // A clock that was set back: made "later" than the newest.
        assert_eq!(stay(&grid("1h"), &aged(&[50 * DAY, 0, 10 * DAY])), [0, 2]);
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
        assert_eq!(stay(&rules("s=0,m=0,h=0,d=0"), &odd), [0, 6]);
        let both = Rules { last: Some(2), ..rules("s=0,m=0,h=0,d=0") };
        assert_eq!(stay(&both, &odd), [5, 6], "another rule decides about what has no class");
    }

    #[test]
    fn rules_are_read() {
        let grid = |text: &str| text.parse::<Grid>().map_err(|error| error.reason);
        assert_eq!(grid("24h, 7d").unwrap().0, [Span { count: 24, seconds: HOUR }, Span { count: 7, seconds: DAY }]);
        for bad in ["", ",", "h", "24", "0h", "-1h", "24x", "7d,24h", "1.5h", "99999999999h", "24\u{e4}", "24h,"] {
            assert!(grid(bad).is_err(), "{bad:?}");
        }
        assert_eq!("S=1,d=20".parse::<PerClass>().unwrap().0, [(Class::Second, 1), (Class::Day, 20)]);
        for bad in ["", "s", "s=", "x=1", "s=1,s=2", "s=-1", "\u{e4}=1"] {
            assert!(bad.parse::<PerClass>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_ages_count_from_stays() {
        let rules = Rules { grid: Some("1y".parse().unwrap()), ..Rules::default() };
        let aged = |time| Aged { time, class: None };
        // By a clock that has been set back, and with a newest one that has no age.
        let all: Vec<Aged> = [Some(0), Some(4_000_000), Some(0), None].map(aged).to_vec();
        assert_eq!(stay(&rules, &all), [0, 1, 2, 3]);
        let usual: Vec<Aged> = [Some(0), Some(10), Some(20)].map(aged).to_vec();
        assert_eq!(stay(&rules, &usual), [0, 2]);
    }

    fn any_rules() -> impl Strategy<Value = Rules> {
        let class = (0_usize..4, 0_usize..4).prop_map(|(class, count)| (Class::ALL[class], count));
        let classes = proptest::option::of(proptest::collection::vec(class, 0..4).prop_map(PerClass::new));
        let spans = proptest::sample::select(vec!["3h", "24h,7d", "1h,2d,1w", "2d,12m", "1y"]);
        let grid = proptest::option::of(spans.prop_map(|text| text.parse().unwrap()));
        (proptest::option::of(0_usize..5), classes, grid).prop_map(|(last, classes, grid)| Rules {
            last,
            classes,
            grid,
        })
    }

    fn any_snapshots() -> impl Strategy<Value = Vec<Aged>> {
        let one = (proptest::option::weighted(0.9, 0_i64..100 * DAY), proptest::option::weighted(0.8, 0_usize..4));
        let mixed = proptest::collection::vec(one, 0..40);
        (mixed, any::<bool>()).prop_map(|(mut all, ordered)| {
            if ordered {
                all.sort();
            }
            all.into_iter().map(|(time, class)| Aged { time, class: class.map(|at| Class::ALL[at]) }).collect()
        })
    }

    proptest! {
        #[test]
        fn rules_keep_what_they_say(rules in any_rules(), snapshots in any_snapshots()) {
            let stays = stay(&rules, &snapshots);
            // The newest ones, by number.
            let last = rules.last.unwrap_or(0).max(1).min(snapshots.len());
            prop_assert!((snapshots.len() - last..snapshots.len()).all(|at| stays.contains(&at)));
            // The newest of each class, and when classes are all there is, no others (but the newest of all).
            if let Some(PerClass(counts)) = &rules.classes {
                for (at, (class, count)) in counts.iter().enumerate() {
                    if counts[..at].iter().any(|(other, _)| other == class) { continue; }
                    let of_class: Vec<usize> = (0..snapshots.len()).filter(|at| snapshots[*at].class == Some(*class)).collect();
                    let newest = &of_class[of_class.len() - (*count).min(of_class.len())..];
                    prop_assert!(newest.iter().all(|at| stays.contains(at)));
                    if rules.grid.is_none() && rules.last.is_none() {
                        let stay = of_class.iter().filter(|at| stays.contains(at) && **at + 1 < snapshots.len()).count();
                        prop_assert!(stay <= *count);
                    }
                }
            }
            // Once thinned there is nothing more to do.
            let rest: Vec<Aged> = stays.iter().map(|at| snapshots[*at]).collect();
            prop_assert_eq!(stay(&rules, &rest).len(), rest.len());
        }
    }
}
