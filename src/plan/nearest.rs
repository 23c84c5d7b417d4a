//! Which names are meant by one that is not there.

use strsim::damerau_levenshtein;

/// So many are told.
const MOST: usize = 3;

/// Those of these names that are nearest to `wanted`, the nearest first: mistyped by a few letters, or with the same last component
/// elsewhere.
#[must_use]
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let most = (wanted.len() / 4).clamp(1, 4);
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let rank = |name: &'a str| {
        let letters =
            if name.len().abs_diff(wanted.len()) > most { most + 1 } else { damerau_levenshtein(wanted, name) };
        let elsewhere = last(name) == last(wanted);
        (letters <= most || elsewhere).then_some((letters, name))
    };
    let mut near: Vec<(usize, &str)> = names.into_iter().filter_map(rank).collect();
    near.sort_unstable();
    near.into_iter().take(MOST).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_first() {
        let names = ["tank", "tank/data", "tank/data/mail", "tank/date", "usb/dta", "rpool"];
        assert_eq!(nearest("tank/dta", names), ["tank/data", "tank/date", "usb/dta"]);
        assert_eq!(nearest("pool/mail", names), ["tank/data/mail"]);
        assert_eq!(nearest("nothing/like/it", names), [""; 0]);
        // Two letters that changed places are one slip.
        assert_eq!(nearest("tnak", names), ["tank"]);
    }
}
