//! Lists of names, cut so that each part fits on a command line.

/// So many bytes of names go to one `zfs list`: far below every system's limit for arguments.
const MAX_ARGS: usize = 128 * 1024;

/// Cuts a list into portions that fit on a command line each.
pub(super) fn portions<T>(mut all: &[T], len: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut portions = Vec::new();
    while !all.is_empty() {
        let mut room = MAX_ARGS;
        let fits = all.iter().take_while(|one| {
            let needed = len(one) + 1;
            let fits = needed <= room;
            room = room.saturating_sub(needed);
            fits
        });
        let (some, rest) = all.split_at(fits.count().max(1));
        portions.push(some);
        all = rest;
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_fit_and_lose_nothing() {
        let names: Vec<String> = (0..5000).map(|at| format!("{}{at}", "x".repeat(200))).collect();
        let cut = portions(&names, String::len);
        assert!(cut.len() > 5);
        assert!(cut.iter().all(|some| some.iter().map(|name| name.len() + 1).sum::<usize>() <= MAX_ARGS));
        assert_eq!(cut.concat(), names);
        // One that fits nowhere still goes, alone.
        assert_eq!(portions(&["x".repeat(MAX_ARGS), "y".into()], String::len).len(), 2);
        assert!(portions::<String>(&[], String::len).is_empty());
    }
}
