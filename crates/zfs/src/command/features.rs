//! Which features of a pool a stream needs (zpool-features(7)), and which of them the pool lacks. ZFS itself only says that the pool
//! "must be upgraded".

use std::io::BufRead;

use super::parse::{ParseError, for_lines};
use crate::record::Features;

/// What each feature of a stream needs of the pool (`recv_begin_check_feature_flags_impl` in `module/zfs/dmu_recv.c` of OpenZFS 2.4).
const NEEDS: [(Features, &str); 9] = [
    (Features::EMBED_DATA, "embedded_data"),
    (Features::LZ4, "lz4_compress"),
    (Features::LARGE_BLOCKS, "large_blocks"),
    (Features::REDACTED, "redacted_datasets"),
    (Features::LARGE_DNODE, "large_dnode"),
    (Features::RAW, "encryption"),
    (Features::ZSTD, "zstd_compress"),
    (Features::LONGNAME, "longname"),
    (Features::LARGE_MICROZAP, "large_microzap"),
];

/// What every receive needs that can be resumed.
const RESUMABLE: &str = "extensible_dataset";

/// The features of a pool that a stream, or its receive, can need.
pub(super) fn stream_features() -> Vec<&'static str> {
    NEEDS.iter().map(|(_, name)| *name).chain([RESUMABLE]).collect()
}

/// What a pool lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lacking {
    /// Features that its OpenZFS knows and that are disabled.
    pub disabled: Vec<&'static str>,
    /// Features that its OpenZFS doesn't know.
    pub unknown: Vec<&'static str>,
}

impl Lacking {
    /// What to do about it, a line for each of both; nothing where nothing is lacking.
    #[must_use]
    pub fn advice(&self, pool: &str, host: &str) -> String {
        let named = |all: &[&str]| all.iter().map(|name| format!("feature@{name}")).collect::<Vec<_>>().join(", ");
        let mut lines = Vec::new();
        if !self.disabled.is_empty() {
            let set: Vec<String> =
                self.disabled.iter().map(|name| format!("zpool set feature@{name}=enabled '{pool}'")).collect();
            lines.push(format!(
                "\nthe stream needs {}, which pool '{pool}' on {host} has disabled: {} (zpool upgrade enables all)",
                named(&self.disabled),
                set.join("; ")
            ));
        }
        if !self.unknown.is_empty() {
            lines.push(format!(
                "\nthe stream needs {}, which OpenZFS on {host} doesn't support: install a newer version there, or choose another target",
                named(&self.unknown)
            ));
        }
        lines.concat()
    }
}

/// Reads `zpool get all` ([`super::Zfs::pool_properties`]): what the pool lacks of what a stream with these features needs.
pub fn lacking(input: impl BufRead, stream: Features, resumable: bool) -> Result<Lacking, ParseError> {
    let mut states: Vec<(String, bool)> = Vec::new();
    for_lines(input, |line| {
        let Some((property, value)) = line.split_once('\t') else { return Err(ParseError::line("no TAB", line)) };
        if let Some(feature) = property.strip_prefix("feature@") {
            states.push((feature.to_owned(), matches!(value, "enabled" | "active")));
        }
        Ok(())
    })?;
    let needs = NEEDS.iter().filter(|(feature, _)| stream.any(*feature)).map(|(_, name)| *name);
    let mut lacking = Lacking::default();
    for name in needs.chain(Some(RESUMABLE).filter(|_| resumable)) {
        match states.iter().find(|(feature, _)| feature == name) {
            Some((_, true)) => {}
            Some((_, false)) => lacking.disabled.push(name),
            None => lacking.unknown.push(name),
        }
    }
    Ok(lacking)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: &str =
        "size\t1\nfeature@large_dnode\tdisabled\nfeature@large_blocks\tactive\nfeature@extensible_dataset\tenabled\n";

    #[test]
    fn what_the_stream_needs_and_the_pool_lacks() {
        let of = |stream, resumable| lacking(POOL.as_bytes(), stream, resumable).unwrap();
        assert_eq!(of(Features::LARGE_BLOCKS, true), Lacking::default());
        assert_eq!(of(Features::default(), true).advice("p", "h"), "");
        let both = of(Features::LARGE_DNODE.with(Features::LONGNAME).with(Features::LARGE_BLOCKS), true);
        assert_eq!((&both.disabled[..], &both.unknown[..]), (&["large_dnode"][..], &["longname"][..]));
        let text = both.advice("b", "beta");
        assert!(text.contains("zpool set feature@large_dnode=enabled 'b'"), "{text}");
        assert!(text.contains("feature@longname, which OpenZFS on beta doesn't support"), "{text}");
    }

    #[test]
    fn every_feature_has_a_bit_of_its_own() {
        for (at, (feature, name)) in NEEDS.iter().enumerate() {
            assert!(NEEDS.iter().skip(at + 1).all(|(other, again)| !feature.any(*other) && name != again), "{name}");
        }
        let all = NEEDS.iter().fold(Features::default(), |all, (feature, _)| all.with(*feature));
        assert_eq!(lacking(&b""[..], all, true).unwrap().unknown.len(), NEEDS.len() + 1);
    }
}
