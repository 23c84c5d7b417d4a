//! Which datasets take part: depth, includes and excludes, all on paths relative to SOURCE (or to each DATASET).

use std::collections::HashSet;
use std::fmt;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::nearest::nearest;
use crate::format::first_of;
use zfs::name::{DatasetName, RelPath};

/// A glob that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{option} {pattern:?}: {reason}")]
pub struct FilterError {
    option: &'static str,
    pattern: String,
    reason: String,
}

/// What the user says of which datasets take part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The deepest level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Only what these match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Not what these match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// Decides for each path whether it takes part.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    given: Given,
    depth: Option<usize>,
    include: Option<GlobSet>,
    exclude: GlobSet,
}

/// A glob that matches no dataset: a slip, more likely than not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle<'a> {
    /// `--include` or `--exclude`.
    option: &'static str,
    /// As it was given.
    pattern: &'a str,
    /// The tops of the trees in which it was looked for.
    tops: String,
    /// What it may have been meant to be: it begins with the name of one of these.
    meant: Option<&'a str>,
    /// What there is that is written nearly so.
    near: Vec<String>,
}

impl fmt::Display for Idle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, pattern, tops, meant, near } = self;
        write!(f, "{option} {pattern:?} matches no dataset of {tops}")?;
        match meant {
            Some(meant) => write!(f, ": globs are relative to {tops}; did you mean {meant:?}?"),
            None if !near.is_empty() => {
                write!(f, "; did you mean {}?", first_of(near, near.len(), |name| format!("{name:?}")))
            }
            None => Ok(()),
        }
    }
}

impl Filter {
    /// `depth` 0 is SOURCE alone. A glob matches whole path components, `*` within one and `**` across them; what it
    /// matches takes everything below along. Without includes everything is included; an exclude always wins.
    pub fn new(depth: Option<usize>, include: &[String], exclude: &[String]) -> Result<Self, FilterError> {
        let given = Given { depth, include: include.to_vec(), exclude: exclude.to_vec() };
        let include = if include.is_empty() { None } else { Some(globs("--include", include)?) };
        Ok(Self { given, depth, include, exclude: globs("--exclude", exclude)? })
    }

    /// What it was made of.
    #[must_use]
    pub fn given(&self) -> &Given {
        &self.given
    }

    /// The deepest level that can take part; `None` for all.
    #[must_use]
    pub fn depth(&self) -> Option<usize> {
        self.depth
    }

    /// Whether nothing is left out, whatever there is.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.depth.is_none() && self.include.is_none() && self.exclude.is_empty()
    }

    /// Whether the dataset at `path` takes part.
    #[must_use]
    pub fn selects(&self, path: &RelPath) -> bool {
        if self.depth.is_some_and(|depth| path.depth() > depth) {
            return false;
        }
        let hit = |globs: &GlobSet| {
            std::iter::successors(Some(path.clone()), RelPath::parent).any(|path| globs.is_match(path.as_str()))
        };
        self.include.as_ref().is_none_or(hit) && !hit(&self.exclude)
    }

    /// Refuses globs that begin with the name of the only tree's top: they are relative to that, and would match nothing. Of several
    /// trees one may well have copies of another below it, in the place that such a glob names.
    pub fn relative_to(self, tops: &[DatasetName]) -> Result<Self, FilterError> {
        let [top] = tops else { return Ok(self) };
        let wrong =
            self.patterns().find_map(|(option, pattern)| Some(misread(option, pattern, top, within(pattern, top)?)));
        wrong.map_or(Ok(self), Err)
    }

    /// Refuses those that begin with the name of one of these trees' tops and match nothing in any of them.
    pub fn check(&self, trees: &[(&DatasetName, Vec<&RelPath>)]) -> Result<(), FilterError> {
        let wrong = self.idle(trees).into_iter().find_map(|idle| Some((idle.option, idle.pattern, idle.meant?)));
        let Some((option, pattern, meant)) = wrong else { return Ok(()) };
        let top = trees.iter().find(|(top, _)| within(pattern, top) == Some(meant));
        top.map_or(Ok(()), |(top, _)| Err(misread(option, pattern, top, meant)))
    }

    fn patterns(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let (include, exclude) = (&self.given.include, &self.given.exclude);
        include.iter().map(|glob| ("--include", glob)).chain(exclude.iter().map(|glob| ("--exclude", glob)))
    }

    /// The globs that match no dataset of these trees, each with its top and the paths of all its datasets. None where there is a depth:
    /// what lies below that isn't listed.
    #[must_use]
    pub fn idle(&self, trees: &[(&DatasetName, Vec<&RelPath>)]) -> Vec<Idle<'_>> {
        if self.depth.is_some() {
            return Vec::new();
        }
        let tops = trees.iter().map(|(top, _)| top.as_str()).collect::<Vec<_>>().join(", ");
        let paths = || trees.iter().flat_map(|(_, paths)| paths);
        let sets = [
            ("--include", self.include.as_ref(), &self.given.include),
            ("--exclude", Some(&self.exclude), &self.given.exclude),
        ];
        let mut idle = Vec::new();
        for (option, set, patterns) in sets {
            let Some(set) = set else { continue };
            let hit: HashSet<usize> = paths().flat_map(|path| set.matches(path.as_str())).collect();
            let rest = patterns.iter().enumerate().filter(|(place, _)| !hit.contains(place));
            idle.extend(rest.map(|(_, pattern)| {
                let meant = trees.iter().find_map(|(top, _)| within(pattern, top));
                let known = paths().map(|path| path.as_str()).filter(|path| !path.is_empty());
                let is_name = meant.is_none() && !pattern.contains(['*', '?', '[', '{']);
                let near = if is_name { nearest(pattern, known) } else { Vec::new() };
                Idle { option, pattern, tops: tops.clone(), meant, near: near.into_iter().map(Into::into).collect() }
            }));
        }
        idle
    }
}

/// What a glob says behind the name of this dataset, if it begins with it.
fn within<'a>(pattern: &'a str, top: &DatasetName) -> Option<&'a str> {
    pattern.strip_prefix(top.as_str())?.strip_prefix('/').filter(|rest| !rest.is_empty())
}

/// The error about a glob that begins with the name of `top`. Who does mean it can say so.
fn misread(option: &'static str, pattern: &str, top: &DatasetName, meant: &str) -> FilterError {
    let mut letters = pattern.chars();
    let really = letters.next().map_or_else(String::new, |first| format!("[{first}]{}", letters.as_str()));
    let reason =
        format!("globs are relative to {top}: did you mean {meant:?}? (For {top}/{pattern}, write {really:?}.)");
    FilterError { option, pattern: pattern.to_owned(), reason }
}

fn globs(option: &'static str, patterns: &[String]) -> Result<GlobSet, FilterError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let error = |reason: String| FilterError { option, pattern: pattern.clone(), reason };
        if pattern.is_empty() {
            return Err(error("the glob is empty; to replicate a single dataset, use --no-recursive".into()));
        }
        if pattern.starts_with('/') || pattern.ends_with('/') {
            return Err(error("globs are relative to the given dataset, and don't start or end with '/'".into()));
        }
        let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
        set.add(glob.map_err(|err| error(err.kind().to_string()))?);
    }
    set.build().map_err(|err| FilterError { option, pattern: patterns.join(" "), reason: err.to_string() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zfs::name::DatasetName;
    use zfs::recorded_targets;

    use super::*;

    fn path(rel: &str) -> RelPath {
        let base: DatasetName = "p".parse().unwrap();
        let full = if rel.is_empty() { "p".to_owned() } else { format!("p/{rel}") };
        full.parse::<DatasetName>().unwrap().below(&base).unwrap()
    }

    fn selects(depth: Option<usize>, include: &[&str], exclude: &[&str], rel: &str) -> bool {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        Filter::new(depth, &own(include), &own(exclude)).unwrap().selects(&path(rel))
    }

    #[test]
    fn all_by_default() {
        assert!(selects(None, &[], &[], ""));
        assert!(selects(None, &[], &[], "a/b/c"));
    }

    #[test]
    fn depth_counts_from_source() {
        assert!(selects(Some(0), &[], &[], ""));
        assert!(!selects(Some(0), &[], &[], "a"));
        assert!(selects(Some(2), &[], &[], "a/b"));
        assert!(!selects(Some(2), &[], &[], "a/b/c"));
    }

    #[test]
    fn excludes_take_whole_components_and_all_below() {
        assert!(!selects(None, &[], &["target"], "target"));
        assert!(!selects(None, &[], &["target"], "target/x"));
        assert!(selects(None, &[], &["target"], "target_shouldnotbeexcluded"));
        assert!(selects(None, &[], &["target"], "x/target"));
        assert!(!selects(None, &[], &["**/target"], "x/target"));
        assert!(!selects(None, &[], &["**/target"], "target"));
        assert!(selects(None, &[], &["a*c"], "a/c"));
        assert!(!selects(None, &[], &["a b*"], "a b  c"));
    }

    #[test]
    fn includes_take_all_below_and_excludes_win() {
        assert!(selects(None, &["home/*"], &[], "home/u/mail"));
        assert!(!selects(None, &["home/*"], &[], "home"));
        assert!(!selects(None, &["home/*"], &["**/mail"], "home/u/mail"));
        assert!(!selects(None, &["home/*"], &[], ""));
    }

    #[test]
    fn globs_that_match_nothing_are_found() {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let filter = Filter::new(None, &own(&["home/*", "srv"]), &own(&["p/home", "**/tmp"])).unwrap();
        let paths = [path(""), path("home"), path("home/u")];
        let paths: Vec<&RelPath> = paths.iter().collect();
        let idle = |source: &str| {
            let source: DatasetName = source.parse().unwrap();
            filter.idle(&[(&source, paths.clone())]).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            idle("p"),
            [
                "--include \"srv\" matches no dataset of p",
                "--exclude \"p/home\" matches no dataset of p: globs are relative to p; did you mean \"home\"?",
                "--exclude \"**/tmp\" matches no dataset of p",
            ]
        );
        assert_eq!(idle("q")[1], "--exclude \"p/home\" matches no dataset of q; did you mean \"home\"?");
        let mistyped = Filter::new(None, &own(&["hoem", "nope", "hoem*"]), &[]).unwrap();
        let told: Vec<String> =
            mistyped.idle(&[(&"p".parse().unwrap(), paths.clone())]).iter().map(ToString::to_string).collect();
        let no_match = |pattern: &str| format!("--include {pattern:?} matches no dataset of p");
        let first = no_match("hoem") + "; did you mean \"home\"?";
        assert_eq!(told, [first, no_match("nope"), no_match("hoem*")]);
        // What matches in one of several trees is none.
        let (p, q, srv): (DatasetName, DatasetName, _) = ("p".parse().unwrap(), "q".parse().unwrap(), path("srv"));
        let both = filter.idle(&[(&p, paths.clone()), (&q, vec![&srv])]);
        assert_eq!(both.len(), 2, "{both:?}");
        assert!(both[1].to_string().starts_with("--exclude \"**/tmp\" matches no dataset of p, q"), "{both:?}");
        // Below a depth nothing is known.
        let filter = Filter::new(Some(1), &own(&["srv"]), &[]).unwrap();
        assert_eq!(filter.idle(&[(&p, paths)]), []);
    }

    /// What it would leave out would be sent.
    #[test]
    fn a_glob_that_begins_with_the_name_of_the_top_is_refused() {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let top = |name: &str| name.parse::<DatasetName>().unwrap();
        let filter = |include: &[&str], exclude: &[&str]| Filter::new(None, &own(include), &own(exclude)).unwrap();
        let words = |filter: Filter, tops: &[DatasetName]| {
            filter.relative_to(tops).map_err(|error| error.to_string()).err().unwrap_or_default()
        };
        let data = [top("apool/data")];
        assert_eq!(
            words(filter(&[], &["tmp", "apool/data/db"]), &data),
            "--exclude \"apool/data/db\": globs are relative to apool/data: did you mean \"db\"? (For \
             apool/data/apool/data/db, write \"[a]pool/data/db\".)"
        );
        assert!(words(filter(&["apool/data/**"], &[]), &data).starts_with("--include \"apool/data/**\": "));
        for other in ["apool/dat", "apool/data", "apool/database/x", "[a]pool/data/db", "**/apool/data/db", "data/db"] {
            assert_eq!(words(filter(&[], &[other]), &data), "", "{other}");
        }
        assert!(!filter(&[], &["[a]pool/data/db"]).selects(&path("apool/data/db")));
        // A copy of one below another is found where it is.
        let (p, q, two) = (top("p"), top("q"), filter(&[], &["p/home"]));
        let two = two.relative_to(&[p.clone(), q.clone()]).unwrap();
        let (home, copy) = (path("home"), path("p/home"));
        assert!(two.check(&[(&p, vec![&home]), (&q, vec![&copy])]).is_ok());
        let error = two.check(&[(&p, vec![&home]), (&q, vec![&home])]).unwrap_err().to_string();
        assert!(error.contains("relative to p: did you mean \"home\"?"), "{error}");
    }

    #[test]
    fn bad_globs_are_named() {
        let error = Filter::new(None, &[], &["a[".into()]).unwrap_err().to_string();
        assert!(error.contains("--exclude") && error.contains("a["), "{error}");
        assert!(Filter::new(None, &["/a".into()], &[]).is_err());
        assert!(Filter::new(None, &[], &[String::new()]).is_err());
    }

    /// Up to so many of these, joined.
    fn joined(parts: &'static str, most: usize) -> impl Strategy<Value = String> {
        let parts = prop::sample::select(parts.split(' ').collect::<Vec<_>>());
        prop::collection::vec(parts, 1..=most).prop_map(|parts| parts.concat())
    }

    fn of_globs(part: &'static str) -> impl Strategy<Value = Vec<String>> {
        let glob = prop::collection::vec(joined(part, 3), 1..4).prop_map(|parts| parts.join("/"));
        prop::collection::vec(glob, 0..3)
    }

    fn of_selections(part: &'static str) -> impl Strategy<Value = (Option<usize>, Vec<String>, Vec<String>, RelPath)> {
        let rel = prop::collection::vec(joined("a b -", 3), 0..4).prop_map(|parts| path(&parts.join("/")));
        (prop::option::weighted(0.2, 0..4_usize), of_globs(part), of_globs(part), rel)
    }

    proptest! {
        /// The host of a copy has no globset, and must select as this does.
        #[test]
        fn records_select_the_same((depth, include, exclude, path) in of_selections("a b - * ? **")) {
            let all_known = |globs: &[String]| {
                globs.iter().all(|glob| glob.split('/').all(|part| part == "**" || !part.contains("**")))
            };
            let here = Filter::new(depth, &include, &exclude).unwrap().selects(&path);
            let there = recorded_targets::selects(depth, &include, &exclude, &path);
            prop_assert!(there || !here, "{include:?} {exclude:?} {path:?}");
            if all_known(&include) && all_known(&exclude) {
                prop_assert_eq!(here, there, "{:?} {:?} {:?}", include, exclude, path);
            }
        }

        /// What it can't tell must not be left out.
        #[test]
        fn records_select_what_may_be_selected(
            (depth, include, exclude, path) in of_selections("a b * ** [ab] [!a] {a,b} \\a")
        ) {
            let here = Filter::new(depth, &include, &exclude).unwrap().selects(&path);
            let there = recorded_targets::selects(depth, &include, &exclude, &path);
            prop_assert!(there || !here, "{include:?} {exclude:?} {path:?}");
        }
    }
}
