//! What a stream may carry, given what the target's pool can store and whether what is created there gets encrypted.

use zfs::SendFlags;

/// What the target allows streams to carry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetLimits {
    /// Pool features that are `disabled`.
    pub disabled: Vec<String>,
    /// Whether datasets created at the target inherit encryption.
    pub encrypted: bool,
}

impl TargetLimits {
    /// Whether every stream that this OpenZFS can make is welcome, so that nothing needs to be known of the source.
    #[must_use]
    pub fn none(&self) -> bool {
        self.disabled.is_empty() && !self.encrypted
    }

    /// The flags of `zfs send` for a dataset, which may be known to be encrypted or not to be. `-w` sends an encrypted dataset as it lies on disk; for any other it is the
    /// same as `-Lec` (zfs-send(8)), so it is left out where one of these must be.
    #[must_use]
    pub fn flags(&self, encrypted: Option<bool>, decrypt: bool) -> SendFlags {
        let plain = encrypted == Some(false);
        let raw = !decrypt && (self.none() || !plain);
        let disabled = |feature: &str| self.disabled.iter().any(|name| name == feature);
        SendFlags {
            raw,
            large_blocks: !disabled("large_blocks"),
            // Embedded data can't be stored encrypted; the receive would fail (dmu_recv.c).
            embedded: !disabled("embedded_data") && (raw || !self.encrypted),
            compressed: !disabled("lz4_compress") && !disabled("zstd_compress"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn encrypted_data_never_leaves_in_plaintext_unasked() {
        for limits in [
            TargetLimits::default(),
            TargetLimits { disabled: vec!["large_blocks".into()], encrypted: false },
            TargetLimits { disabled: vec![], encrypted: true },
        ] {
            assert!(limits.flags(Some(true), false).raw);
            assert!(limits.flags(None, false).raw);
            assert!(!limits.flags(Some(true), true).raw);
        }
    }

    #[test]
    fn plain_data_fits_an_encrypted_target() {
        let flags = TargetLimits { disabled: vec![], encrypted: true }.flags(Some(false), false);
        assert!(!flags.raw && !flags.embedded && flags.large_blocks && flags.compressed);
    }

    #[test]
    fn a_poor_pool_gets_a_poor_stream() {
        let limits = TargetLimits { disabled: vec!["large_blocks".into(), "zstd_compress".into()], encrypted: false };
        let flags = limits.flags(Some(false), false);
        assert_eq!((flags.raw, flags.large_blocks, flags.embedded, flags.compressed), (false, false, true, false));
    }
}
