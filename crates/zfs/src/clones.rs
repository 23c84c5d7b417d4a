//! The names of clones in what is said of snapshots that can't be destroyed, and how they are left out of it: a clone can be anywhere in
//! its pool.

use crate::name::DatasetName;

/// Before the list of them. No dataset's name has a parenthesis in it (zfs(8)).
const CLONES: &str = "has clones (";
/// Before ZFS's own list, which is the rest of the text.
const DEPENDENT: &str = "use '-R' to ";

/// Says that a snapshot has these clones: names with commas between them.
#[must_use]
pub fn has_clones(clones: &str) -> String {
    format!("{CLONES}{clones})")
}

/// The same words for somebody who may know of some datasets only: the names of other clones are left out.
#[must_use]
pub fn without_clones(words: &str, may: impl Fn(&DatasetName) -> bool) -> String {
    // That line, and all behind it.
    let own = words.find(DEPENDENT).map_or(words, |at| words[..at].rsplit_once('\n').map_or("", |(before, _)| before));
    let words = own.to_owned();
    let Some(start) = words.find(CLONES).map(|at| at + CLONES.len()) else { return words };
    let end = words[start..].find(')').map_or(words.len(), |at| start + at);
    let all: Vec<&str> = words[start..end].split(',').collect();
    let told: Vec<&str> = all.iter().copied().filter(|name| name.parse().is_ok_and(|name| may(&name))).collect();
    let others = all.len() - told.len();
    if others == 0 {
        return words;
    }
    let others = format!("{others} elsewhere");
    let list = told.into_iter().chain([others.as_str()]).collect::<Vec<_>>().join(",");
    format!("{}{list}{}", &words[..start], &words[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_elsewhere_have_no_names() {
        let within = |words: &str| without_clones(words, |name| name.as_str().starts_with("b/x"));
        assert_eq!(within(&has_clones("b/x/c,p/secret,q/d e")), "has clones (b/x/c,2 elsewhere)");
        assert_eq!(
            within("'b/x@s' has clones (b/x/c): nothing was changed"),
            "'b/x@s' has clones (b/x/c): nothing was changed"
        );
        assert_eq!(within("'b/x@s' has clones (p/secret): nothing"), "'b/x@s' has clones (1 elsewhere): nothing");
        assert_eq!(within("has clones (p/secret"), "has clones (1 elsewhere");
        assert_eq!(within("is held"), "is held");
        let zfs = "cannot destroy 'b/x@s': snapshot has dependent clones\nuse '-R' to destroy the following datasets:\np/secret\nb/x/c";
        let left = within(zfs);
        assert!(!left.contains("secret") && left.contains("snapshot has dependent clones"), "{left}");
        let zfs = "cannot rollback to 'b/x@s': clones of previous snapshots exist\nuse '-R' to force deletion of the following clones and dependents:\np/secret";
        assert_eq!(within(zfs), "cannot rollback to 'b/x@s': clones of previous snapshots exist");
    }
}
