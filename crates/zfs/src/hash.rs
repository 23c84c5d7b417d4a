//! A hash for names of files and bookmarks that outlive a process: Rust's own hashers may change from version to version.

/// FNV-1a, with two more rounds that mix the upper half, where short texts that differ at the end would vary little.
#[must_use]
pub fn stable(text: &str) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    [0, 0].iter().fold(text.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step), step)
}
