//! Datasets and pushes in few words, for [`super::cases`].

use std::fmt::Write;

use crate::plan::Resolutions;
use crate::plan::model::{Dataset, Job, ModelHost, PushOutcome, Snap};
use zfs::Kind;

/// One dataset in words: `a b=x #m=a c~ !`. A snapshot's identity and data are its name's unless `=` says otherwise; `#` is a
/// bookmark; `~` holds the same data as the snapshot before; `!` stands for data written then, `came` for a record of its receive.
fn dataset(words: &str) -> Dataset {
    let mut dataset = Dataset::new(Kind::Filesystem);
    let mut seen: Vec<Snap> = Vec::new();
    let identity = |word: &str| word.bytes().fold(7_u64, |sum, byte| sum * 131 + u64::from(byte));
    for (txg, word) in (1..).zip(words.split_whitespace()) {
        let (word, same) = word.strip_suffix('~').map_or((word, false), |word| (word, true));
        let (mark, word) = word.strip_prefix('#').map_or((false, word), |word| (true, word));
        match word {
            "!" => dataset.data = 1,
            "volume" => dataset.kind = Kind::Volume,
            "raw" => dataset.raw = true,
            "partial" => dataset.partial = true,
            "came" => dataset.came = true,
            _ => {
                let (name, of) = word.split_once('=').unwrap_or((word, word));
                let guid = identity(of);
                let known = seen.iter().find(|snap| snap.guid == guid);
                let txg = known.map_or(txg, |snap| snap.txg);
                let data = if same { dataset.data } else { known.map_or(guid, |snap| snap.data) };
                let snap = Snap { name: name.into(), guid, txg, data };
                seen.push(snap.clone());
                if mark {
                    dataset.bookmarks.push(snap);
                } else {
                    dataset.data = data;
                    dataset.snapshots.push(snap);
                }
            }
        }
    }
    dataset
}

pub(super) fn side(top: &str, datasets: &[(&str, &str)]) -> ModelHost {
    let mut side = ModelHost::new(top.split('/').next().unwrap());
    // What comes later is newer than all that the words tell.
    for _ in 0..1000 {
        side.txg();
    }
    for (path, words) in datasets {
        let name = if path.is_empty() { top.to_owned() } else { format!("{top}/{path}") };
        side.datasets.insert(name.parse().unwrap(), dataset(words));
    }
    side
}

pub(super) fn push(here: &ModelHost, there: &mut ModelHost, newest_only: bool) -> String {
    push_some(here, there, newest_only, false)
}

fn push_some(here: &ModelHost, there: &mut ModelHost, newest_only: bool, skip_empty: bool) -> String {
    let job = Job { newest_only, skip_empty, ..job(Resolutions::default()) };
    told(&job, here, there)
}

/// A push that may solve conflicts.
pub(super) fn push_with(here: &ModelHost, there: &mut ModelHost, resolutions: Resolutions) -> String {
    told(&job(resolutions), here, there)
}

fn job(resolutions: Resolutions) -> Job<'static> {
    let (source, target) = ("a/s".parse().unwrap(), "b/t".parse().unwrap());
    Job { source, target, selects: &|_| true, newest_only: false, skip_empty: false, resolutions }
}

fn told(job: &Job<'_>, here: &ModelHost, there: &mut ModelHost) -> String {
    let target = &job.target;
    let report = job.push(here, there, &mut |_| {});
    let mut out = format!("rounds {}, listed {}, refused {}", report.rounds, report.listed, report.refused);
    for (name, end) in &report.ends {
        let sent: Vec<&str> = report.sent.iter().filter(|(to, _)| to == name).map(|(_, sent)| sent.as_str()).collect();
        let end = match end {
            PushOutcome::Conflict(conflict) => conflict.to_string(),
            other => format!("{other:?}"),
        };
        write!(out, "\n{}: [{}] {end}", name.below(target).unwrap().as_str(), sent.join(", ")).unwrap();
    }
    out
}

/// One dataset on either side; `-` where there is none.
fn one_mode(here: &str, there: &str, newest_only: bool, skip_empty: bool) -> String {
    let there: &[(&str, &str)] = if there == "-" { &[] } else { &[("", there)] };
    push_some(&side("a/s", &[("", here)]), &mut side("b/t", there), newest_only, skip_empty)
}

pub(super) fn one(here: &str, there: &str) -> String {
    one_mode(here, there, false, false)
}

pub(super) fn newest(here: &str, there: &str) -> String {
    one_mode(here, there, true, false)
}

/// Without snapshots that change nothing.
pub(super) fn without_empty(here: &str, there: &str, newest_only: bool) -> String {
    one_mode(here, there, newest_only, true)
}
