//! Reads what `zfs send -vP` reports beside the stream: first the expected size, then, once a second, how far it is.

/// One line of `zfs send -vP` (on stderr) or `zfs send -nvP` (on stdout).
///
/// OpenZFS `lib/libzfs/libzfs_sendrecv.c`: `send_print_verbose` prints a line for each snapshot of the stream, its callers
/// the sum as `size` once all are estimated, then `send_progress_thread` a line each second, whose count starts anew with
/// each snapshot of a `-I` stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report<'a> {
    /// One snapshot's part of the stream is expected to have so many bytes.
    Part(u64),
    /// The whole stream is expected to have so many bytes.
    Total(u64),
    /// So many bytes of the current snapshot are sent.
    Progress(u64),
    /// A part of the resume token, which `zfs send -t -v` prints first.
    Token,
    /// An error's words, or a warning's.
    Words(&'a str),
}

/// Tells what a line (with or without its line feed) says.
#[must_use]
pub fn report(line: &str) -> Report<'_> {
    let line = line.trim_end_matches(['\n', '\r']);
    let mut fields = line.split('\t');
    let (first, second, rest) = (fields.next().unwrap_or(""), fields.next(), fields.count());
    // The rest of a resumed stream can be estimated below zero, and is printed without a sign (OpenZFS 2.3.9, seen).
    let sane = |number: u64| if i64::try_from(number).is_ok() { number } else { 0 };
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok()).map(sane);
    let last = || number(line.rsplit('\t').next());
    let known = match (first, rest) {
        ("size", 0) => number(second).map(Report::Total),
        ("full", 1) | ("incremental", 2) => last().map(Report::Part),
        // Older versions leave a size of 0 out.
        ("full", 0) if second.is_some() => Some(Report::Part(0)),
        ("incremental", 1) => Some(Report::Part(0)),
        ("resume token contents:" | "nvlist version: 0", 0) if second.is_none() => Some(Report::Token),
        ("", 0) if second.is_some_and(|field| field.contains(" = ")) => Some(Report::Token),
        (clock, 1) if is_clock(clock) => number(second).map(Report::Progress),
        _ => None,
    };
    known.unwrap_or(Report::Words(line))
}

fn is_clock(text: &str) -> bool {
    text.len() == 8
        && text.bytes().enumerate().all(|(at, byte)| if at % 3 == 2 { byte == b':' } else { byte.is_ascii_digit() })
}

/// Gathers the lines of one `zfs send`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Estimate {
    parts: u64,
    total: Option<u64>,
    words: String,
}

impl Estimate {
    /// So many bytes of words are kept.
    const MAX_WORDS: usize = 8 * 1024;

    /// Takes a line; gives the total when this line told it.
    pub fn add(&mut self, line: &str) -> Option<u64> {
        match report(line) {
            Report::Part(size) => self.parts = self.parts.saturating_add(size),
            Report::Total(size) => {
                self.total = Some(size);
                return self.total;
            }
            Report::Progress(_) | Report::Token => {}
            Report::Words(words) if words.trim().is_empty() || self.words.len() + words.len() > Self::MAX_WORDS => {}
            Report::Words(words) => {
                if !self.words.is_empty() {
                    self.words.push('\n');
                }
                self.words.push_str(words);
            }
        }
        None
    }

    /// The expected size of the whole stream in bytes, as far as known.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total.or_else(|| (self.parts > 0).then_some(self.parts))
    }

    /// What was neither size nor progress.
    #[must_use]
    pub fn words(&self) -> &str {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_lines_apart() {
        assert_eq!(report("full\tp/a b@s\t12345\n"), Report::Part(12345));
        assert_eq!(report("incremental\ts1\tp/a@s2\t0"), Report::Part(0));
        assert_eq!(report("incremental\tp/a@s1\tp/a@s2"), Report::Part(0));
        assert_eq!(report("size\t99"), Report::Total(99));
        assert_eq!(report("size\t18446744073709292160"), Report::Total(0), "below zero");
        assert_eq!(report("22:09:18\t1048576\tp/a@s2"), Report::Progress(1_048_576));
        for words in ["cannot open 'p/x': dataset does not exist", "size\tbig", "12:3x:00\t1\tp@s", "", "full", "size"]
        {
            assert_eq!(report(words), Report::Words(words));
        }
    }

    #[test]
    fn sums_up_a_send_of_several_snapshots() {
        let mut estimate = Estimate::default();
        for line in ["incremental\ta\tp@b\t100", "incremental\tb\tp@c\t50"] {
            assert_eq!(estimate.add(line), None);
        }
        assert_eq!(estimate.total(), Some(150));
        assert_eq!(estimate.add("size\t160"), Some(160));
        assert_eq!(estimate.add("22:09:18\t5\tp@b"), None);
        assert_eq!(estimate.total(), Some(160));
        assert_eq!(estimate.add("warning: cannot send 'p@c':"), None);
        assert_eq!(estimate.add("signal received"), None);
        assert_eq!(estimate.words(), "warning: cannot send 'p@c':\nsignal received");
    }

    #[test]
    fn what_a_resumed_send_prints_of_its_token_is_no_complaint() {
        let mut estimate = Estimate::default();
        // OpenZFS 2.3.9, killed.
        for line in [
            "resume token contents:",
            "nvlist version: 0",
            "\tobject = 0x2",
            "\ttoname = p/a b@s1",
            "full\tp/a b@s1\t900",
            "size\t900",
        ] {
            estimate.add(line);
        }
        assert_eq!((estimate.words(), estimate.total()), ("", Some(900)));
    }

    #[test]
    fn words_are_bounded() {
        let mut estimate = Estimate::default();
        for _ in 0..10_000 {
            estimate.add("a word or two");
        }
        assert!(estimate.words().len() <= Estimate::MAX_WORDS + 1);
    }
}
