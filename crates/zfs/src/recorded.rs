//! The targets that are recorded on a dataset which is a copy itself, as far as its own host must know them: what they may need stays.
//! And on one that receives, as far as its sender must: it may be one of them.

use serde::{Deserialize, Serialize};

use crate::name::{DatasetName, Guid, RelPath};
use crate::{Tag, Tags};

/// How the names of the properties start that record targets; an id follows.
pub const TARGET_PROPERTY: &str = "zfsync:target-";

/// A recorded target.
#[derive(Debug, Deserialize)]
pub(crate) struct Recorded {
    #[serde(default)]
    host: String,
    dataset: DatasetName,
    pool: Guid,
    #[serde(default)]
    old: Vec<String>,
    #[serde(default)]
    selected: Vec<Selection>,
}

/// Which dataset is a target, whatever it and its host are called by now: of a record no more than that takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentTo {
    /// The guid of its pool's root dataset.
    pub pool: Guid,
    /// Its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<Guid>,
    /// Its name, where its guid isn't recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetName>,
}

impl SentTo {
    /// Reads a record, or what [`SentTo::value`] has left of it.
    #[must_use]
    pub fn read(value: &str) -> Option<Self> {
        let read: Self = serde_json::from_str(value).ok()?;
        let dataset = read.dataset.filter(|_| read.top.is_none());
        (read.top.is_some() || dataset.is_some()).then_some(Self { dataset, ..read })
    }

    /// What may be told of it to whoever may be the target: not how others are reached.
    #[must_use]
    pub fn value(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What is selected for it.
#[derive(Debug, Deserialize)]
struct Selection {
    depth: Option<usize>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
}

impl Recorded {
    /// How its bookmarks are tagged on the dataset at this path below the one that has the record; `None` where that surely isn't
    /// selected for it.
    pub(crate) fn tag(&self, path: &RelPath) -> Option<Tag> {
        let selected = self.selected.is_empty() || self.selected.iter().any(|one| one.selects(path));
        let target = self.dataset.join(path).unwrap_or_else(|_| self.dataset.clone());
        selected.then(|| Tags::new(&self.host, self.pool).with_old(&self.old).of(&target))
    }
}

impl Selection {
    /// As the one who made the record selects; what can't be told is selected.
    fn selects(&self, path: &RelPath) -> bool {
        let paths = || std::iter::successors(Some(path.clone()), RelPath::parent);
        let is = |globs: &[String], what: Option<bool>| {
            globs.iter().flat_map(|glob| paths().map(move |path| matches(glob, path.as_str()))).any(|one| one == what)
        };
        let included = || self.include.is_empty() || is(&self.include, Some(true)) || is(&self.include, None);
        self.depth.is_none_or(|depth| path.depth() <= depth) && included() && !is(&self.exclude, Some(true))
    }
}

/// Whether a glob matches a path: `*` and `?` within a component, `**` for any number of them. `None` for globs with more than that.
fn matches(glob: &str, path: &str) -> Option<bool> {
    let parts: Vec<&str> = glob.split('/').collect();
    if glob.contains(['[', ']', '{', '}', '\\']) || parts.iter().any(|part| *part != "**" && part.contains("**")) {
        return None;
    }
    Some(match_parts(&parts, &path.split('/').collect::<Vec<_>>()))
}

fn match_parts(glob: &[&str], path: &[&str]) -> bool {
    match glob {
        [] => path.is_empty(),
        // Everything below, not the dataset itself.
        ["**"] => !path.is_empty(),
        ["**", rest @ ..] => (0..=path.len()).any(|skipped| match_parts(rest, &path[skipped..])),
        [part, rest @ ..] => {
            path.split_first().is_some_and(|(first, below)| match_part(part, first) && match_parts(rest, below))
        }
    }
}

/// Names are ASCII.
fn match_part(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut at, mut place, mut star) = (0, 0, None);
    while place < text.len() {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[place] => (at, place) = (at + 1, place + 1),
            _ => {
                // The last star takes one more.
                let Some((before, taken)) = star else { return false };
                star = Some((before, taken + 1));
                (at, place) = (before + 1, taken + 1);
            }
        }
    }
    glob[at..].iter().all(|byte| *byte == b'*')
}

/// For the tests of those who make such records.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    use super::{RelPath, Selection};

    /// Whether a dataset counts as selected.
    #[must_use]
    pub fn selects(depth: Option<usize>, include: &[String], exclude: &[String], path: &RelPath) -> bool {
        Selection { depth, include: include.to_vec(), exclude: exclude.to_vec() }.selects(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_of_records() {
        for (glob, path, expected) in [
            ("tmp", "tmp", Some(true)),
            ("tmp", "a/tmp", Some(false)),
            ("**/tmp", "tmp", Some(true)),
            ("**/tmp", "a/b/tmp", Some(true)),
            ("a/**", "a", Some(false)),
            ("a/**", "a/b/c", Some(true)),
            ("a/**/c", "a/c", Some(true)),
            ("v*m?", "vm1", Some(true)),
            ("v*m?", "vm", Some(false)),
            ("v*m?", "vaam1", Some(true)),
            ("*a*b", "xaxaxb", Some(true)),
            ("*", "a/b", Some(false)),
            ("", "", Some(true)),
            ("{a,b}", "a", None),
            ("[ab]", "a", None),
            ("a**", "a", None),
        ] {
            assert_eq!(matches(glob, path), expected, "{glob} {path}");
        }
    }

    #[test]
    fn little_of_a_record_tells_who_the_target_is() {
        let left = |value: &str| SentTo::read(value).map(|one| one.value());
        let whole =
            r#"{"as":"beta:b/t","host":"beta:22","dataset":"b/t","pool":7,"top":70,"since":17,"selected":[{}]}"#;
        assert_eq!(left(whole).unwrap(), r#"{"pool":7,"top":70}"#);
        let old = r#"{"as":"beta:b/t","dataset":"b/t","pool":7,"since":17}"#;
        assert_eq!(left(old).unwrap(), r#"{"pool":7,"dataset":"b/t"}"#);
        for value in [whole, old] {
            let read = SentTo::read(value);
            assert_eq!(SentTo::read(&left(value).unwrap()), read);
        }
        for value in ["", "{}", "damaged", r#"{"pool":7}"#, r#"{"top":70}"#] {
            assert_eq!(left(value), None, "{value}");
        }
    }

    #[test]
    fn a_record_tells_the_tag() {
        let record = |selected: &str| {
            let text = format!(
                r#"{{"as":"beta:b/t","host":"beta:22","dataset":"b/t","pool":7,"since":17,"selected":{selected}}}"#
            );
            serde_json::from_str::<Recorded>(&text).unwrap()
        };
        let below: RelPath = "p/x/y".parse::<DatasetName>().unwrap().below(&"p".parse().unwrap()).unwrap();
        let tag = Tags::new("beta:22", Guid(7)).of(&"b/t/x/y".parse().unwrap());
        for selected in ["[]", "[{}]", r#"[{"exclude":["z"]}]"#, r#"[{"depth":1},{"exclude":["{x}"]}]"#] {
            assert!(record(selected).tag(&below).is_some_and(|one| one.is(&tag)), "{selected}");
        }
        for selected in [r#"[{"exclude":["x"]}]"#, r#"[{"depth":1}]"#, r#"[{"include":["z"]},{"exclude":["x/*"]}]"#] {
            assert_eq!(record(selected).tag(&below), None, "{selected}");
        }
    }
}
