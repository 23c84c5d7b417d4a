//! Which snapshots are kept: by class, by number, by the calendar. Each rule goes its own way, and what one of them keeps,
//! stays. Rules count what there is and never how long ago it was made: a gap of any length takes nothing away, and nothing
//! goes while nothing new comes.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::calendar::{Calendar, Unit};
use super::naming::Class;

/// What the rules need to know of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Aged {
    /// When it was made, in seconds since 1970.
    pub time: Option<i64>,
    /// Its class.
    pub class: Option<Class>,
}

/// Why a snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptBy {
    /// It is among the newest of all.
    Last,
    /// It is among the newest of its class, or there is no rule for its class.
    Class,
    /// It is the newest of its period, or nobody knows when it was made.
    Period,
    /// It says that it will be made later: no rule counts it.
    Future,
}

/// So many periods of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    count: usize,
    unit: Unit,
}

/// `24h,7d,4w,12m`: of each length the newest periods that have a snapshot, each of which keeps its newest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Periods(Vec<Span>);

/// `s=1,m=4,h=3,d=2`: how many are kept of each class; of one that isn't named, and of what has no class, all are.
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
    pub periods: Option<Periods>,
}

impl Rules {
    /// Whether there is no rule at all: everything would go. A number of 0 that somebody has written is one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// For each snapshot (oldest first, by createtxg) what keeps it. The newest always stays.
    #[must_use]
    pub fn apply(&self, snapshots: &[Aged], calendar: &Calendar) -> Vec<Option<KeptBy>> {
        let is_ahead = |snapshot: &Aged| snapshot.time.is_some_and(|time| time > calendar.now);
        let mut kept: Vec<_> = snapshots.iter().map(|one| is_ahead(one).then_some(KeptBy::Future)).collect();
        // With a clock that was wrong once nothing of what is true gets out of the count.
        let counted: Vec<usize> = (0..snapshots.len()).rev().filter(|at| kept[*at].is_none()).collect();
        for at in counted.iter().take(self.last.unwrap_or(0).max(1)) {
            kept[*at] = Some(KeptBy::Last);
        }
        let newest_first: Vec<(usize, &Aged)> = counted.into_iter().map(|at| (at, &snapshots[at])).collect();
        if let Some(classes) = &self.classes {
            classes.apply(&newest_first, |at| kept[at] = kept[at].or(Some(KeptBy::Class)));
        }
        if let Some(periods) = &self.periods {
            periods.apply(&newest_first, calendar, |at| kept[at] = kept[at].or(Some(KeptBy::Period)));
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

    fn apply(&self, newest_first: &[(usize, &Aged)], mut keep: impl FnMut(usize)) {
        let mut left = self.0.clone();
        for (at, snapshot) in newest_first {
            match left.iter_mut().find(|(class, _)| Some(*class) == snapshot.class) {
                Some((_, 0)) => continue,
                Some((_, left)) => *left -= 1,
                None => {}
            }
            keep(*at);
        }
    }
}

impl Periods {
    /// What is newest is meant both ways: by date, and by the order of creation, which no clock disturbs. They differ only where
    /// a clock ran backwards, and then both stay: neither what is true nor what was made last gets out of the count.
    fn apply(&self, newest_first: &[(usize, &Aged)], calendar: &Calendar, mut keep: impl FnMut(usize)) {
        let mut dated = Vec::with_capacity(newest_first.len());
        for (at, snapshot) in newest_first {
            match snapshot.time.filter(|time| Unit::Day.period(*time, &calendar.zone).is_some()) {
                Some(time) => dated.push((*at, time)),
                None => keep(*at),
            }
        }
        let mut by_date = dated.clone();
        by_date.sort_by_key(|(_, time)| Reverse(*time));
        for span in &self.0 {
            span.apply(&dated, calendar, &mut keep);
            span.apply(&by_date, calendar, &mut keep);
        }
    }
}

impl Span {
    /// Keeps what is first of each of the first periods.
    fn apply(&self, newest_first: &[(usize, i64)], calendar: &Calendar, mut keep: impl FnMut(usize)) {
        let mut seen = HashSet::new();
        for (at, time) in newest_first {
            if seen.len() == self.count {
                break;
            }
            if seen.insert(self.unit.period(*time, &calendar.zone)) {
                keep(*at);
            }
        }
    }
}

impl FromStr for Periods {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = |reason| RuleError { text: text.to_owned(), reason };
        let mut spans: Vec<Span> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (count, unit) = part.split_at(digits);
            let count = count.parse::<u32>().ok().and_then(|count| usize::try_from(count).ok());
            let count = count.filter(|count| *count > 0);
            let count = count.ok_or(error("each part must start with a number above 0, as in 24h,7d"))?;
            let unit = Unit::ALL.into_iter().find(|known| known.symbol() == unit);
            let unit = unit
                .ok_or(error("each part must be a number followed by min, h, d, w, m (months) or y, as in 24h,7d"))?;
            if spans.iter().any(|span| span.unit == unit) {
                return Err(error("a unit is given twice"));
            }
            spans.push(Span { count, unit });
        }
        spans.sort_by_key(|span| span.unit);
        Ok(Self(spans))
    }
}

impl Periods {
    /// In words, as `24 hours, 7 days`.
    #[must_use]
    pub fn words(&self) -> String {
        let word =
            |span: &Span| format!("{} {}{}", span.count, span.unit.word(), if span.count == 1 { "" } else { "s" });
        self.0.iter().map(word).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Periods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans: Vec<String> = self.0.iter().map(|span| format!("{}{}", span.count, span.unit.symbol())).collect();
        f.write_str(&spans.join(","))
    }
}

impl PerClass {
    /// In words, as `1 of class S, 4 of M and 2 of D`.
    #[must_use]
    pub fn words(&self) -> String {
        let word = |(at, (class, count)): (usize, &(Class, usize))| {
            format!("{count} of {}{class}", if at == 0 { "class " } else { "" })
        };
        let mut all: Vec<String> = self.0.iter().enumerate().map(word).collect();
        let last = all.pop().unwrap_or_default();
        if all.is_empty() { last } else { format!("{} and {last}", all.join(", ")) }
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
                part.trim().split_once('=').ok_or(error("each part must be CLASS=N, as in s=1,m=4,h=3,d=2"))?;
            let class = Class::ALL.into_iter().find(|class| letter.eq_ignore_ascii_case(&class.to_string()));
            let class = class.ok_or(error("the classes are s, m, h and d"))?;
            if counts.iter().any(|(counted, _)| *counted == class) {
                return Err(error("a class is given twice"));
            }
            counts.push((class, count.parse().map_err(|_| error("'=' must be followed by a number"))?));
        }
        Ok(Self(counts))
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
