//! The constant line, in each shell that this machine has.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::session_line;

const SHELLS: [&str; 7] = ["dash", "bash", "zsh", "mksh", "yash", "busybox", "ksh"];
const MARK: &str = "ZFSYNC-0123456789abcdef";

#[test]
fn no_shell_finds_anything_to_do_in_the_line() {
    let line = session_line();
    let script = line.strip_prefix("exec sh -c '").unwrap().strip_suffix("' zfsync").unwrap();
    assert!(script.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"!\\'".contains(&byte)), "{script}");
}

/// What the line says where `sh` is this shell, and how it ends; `None` where there is none.
fn said(shell: &str, stdin: &[u8]) -> Option<(String, Option<i32>)> {
    let program = ["/bin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(shell)).find(|path| path.exists());
    let Some(program) = program else {
        eprintln!("skipped: no {shell}");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(program, dir.path().join("sh")).unwrap();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &session_line()])
        .envs(["k", "l", "i", "n", "s", "w", "c"].map(|name| (name, "login")))
        .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // It may end without reading.
        scope.spawn(move || input.write_all(stdin));
        let ended = child.wait_with_output().unwrap();
        Some((String::from_utf8_lossy(&ended.stdout).replace(MARK, "M"), ended.status.code()))
    })
}

/// A call, as a session is given it.
fn call(stdin: &str, words: &[&[u8]]) -> Vec<u8> {
    [format!("{MARK}\n{stdin} {}\n\x1f\n", words.len()).into_bytes(), words.join(&0x1f), b"\n".to_vec()].concat()
}

fn session(calls: &[&[u8]]) -> Vec<u8> {
    [format!("{MARK}\n").as_bytes(), &calls.concat()].concat()
}

/// In each shell.
#[track_caller]
fn expect(stdin: &[u8], says: &str, status: i32) {
    for shell in SHELLS {
        let Some(ended) = said(shell, stdin) else { continue };
        assert_eq!(ended, (says.to_owned(), Some(status)), "{shell} {:?}", String::from_utf8_lossy(stdin));
    }
}

/// As a start-up file may have read some of it.
#[test]
fn nothing_is_run_without_all_that_is_sent() {
    let whole = session(&[&call("null", &[b"echo", b"ran"])]);
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    // One that has lost its first line takes the call's for that.
    let mut cut = vec![lines[1..].concat(), lines[2..].concat(), lines[3..].concat(), whole[1..].to_vec()];
    let of_a_call = lines[0].len() + lines[1].len();
    cut.extend((1..lines[0].len()).chain(of_a_call..whole.len()).map(|len| whole[..len].to_vec()));
    // More words than told, fewer, and none.
    for number in ["1", "3", "0", "", "02", "x[$(echo ran >&2)]"] {
        cut.push([format!("{MARK}\n{MARK}\nnull {number}\n").as_bytes(), b"\x1f\necho\x1fran\n"].concat());
    }
    cut.push(session(&[MARK.as_bytes(), b"\nnull 0\n\x1f\n\n"]));
    cut.push(session(&[MARK.as_bytes(), b"\nnull 1\n\x1f\n\n"]));
    cut.push(session(&[MARK.as_bytes(), b"\nother 2\n\x1f\necho\x1fran\n"]));
    for stdin in &cut {
        expect(stdin, "", 1);
    }
    // Nothing is asked of it.
    for len in lines[0].len()..of_a_call {
        expect(&whole[..len], "", 0);
    }
}

#[test]
fn words_come_through_as_they_are_and_the_stream_behind_them() {
    let all: Vec<u8> = (1..=127).filter(|byte| ![b'\n', 0x1f].contains(byte)).collect();
    // As ends of UTF-8 characters, and as what shells mark quotes with.
    let high: Vec<u8> = (128..=255).collect();
    for shell in SHELLS {
        let printed: [&[u8]; 10] = [b" a  b ", b"$(id)", b"`id`", b"'\"\\n", b"*", b"-n", b"!!", b"\\", &all, b"~ \t"];
        let first: [&[u8]; 4] = [b"sh", b"-c", b"printf '%s,' \"$@\"; cat", b"x"];
        // yash knows no characters beyond ASCII in this locale.
        let high: &[&[u8]] = if shell == "yash" { &[] } else { &[&high] };
        let last = call("last", &[&first[..], &printed[..], high].concat());
        let Some((said, status)) = said(shell, &session(&[&last, b"the\nstream"])) else { continue };
        let printed: Vec<u8> = printed.iter().chain(high).flat_map(|word| [*word, b","].concat()).collect();
        let expected = [&b"M\n"[..], &printed, b"the\nstream"].concat();
        assert_eq!((said, status), (String::from_utf8_lossy(&expected).into_owned(), Some(0)), "{shell}");
    }
}

#[test]
fn calls_run_one_after_the_other() {
    let asks = call("null", &[b"sh", b"-c", b"cat; echo asked"]);
    let fails = call("null", &[b"sh", b"-c", b"exit 3"]);
    expect(&session(&[&asks, &fails, &asks]), "M\nasked\nM 0\nM\nM 3\nM\nasked\nM 0\n", 0);
    let reads = call("stream", &[b"sh", b"-c", b"dd bs=1 count=4 2>/dev/null; echo hidden"]);
    expect(
        &session(&[&reads, b"abcd", &asks, &reads, b"a\nb\n", &asks]),
        "M\nM 0\nM\nasked\nM 0\nM\nM 0\nM\nasked\nM 0\n",
        0,
    );
}

/// ssh would tell of a signal as it tells of a connection that is lost.
#[test]
fn of_a_signal_the_session_tells_by_a_status() {
    expect(&session(&[&call("last", &[b"sh", b"-c", b"kill -9 $$"])]), "M\n", 137);
    expect(&session(&[&call("last", &[b"sh", b"-c", b"exit 255"])]), "M\n", 255);
}

#[test]
fn a_receive_that_fails_is_the_last() {
    let fails = call("stream", &[b"sh", b"-c", b"dd bs=1 count=4 2>/dev/null; exit 2"]);
    let asks = call("null", &[b"echo", b"ran"]);
    expect(&session(&[&fails, b"abcd", &asks]), "M\nM 2\n", 2);
}

/// As a login may have set them.
#[test]
fn a_call_gets_no_variable_of_the_line() {
    let asks = call("null", &[b"env"]);
    for shell in SHELLS {
        let Some((said, _)) = said(shell, &session(&[&asks, &asks])) else { continue };
        let own = said.lines().filter(|line| line.split_once('=').is_some_and(|(name, _)| "klinswc".contains(name)));
        assert_eq!(own.collect::<Vec<_>>(), [""; 0], "{shell}");
        assert!(said.contains("PATH="), "{said}");
    }
}

/// A sender may put anything behind the end of its stream.
#[test]
fn what_a_stream_brings_is_no_call() {
    let reads = call("stream", &[b"sh", b"-c", b"dd bs=1 count=4 2>/dev/null"]);
    let asks = call("null", &[b"echo", b"asked"]);
    let forged = |mark: &str| format!("{mark}\nnull 2\n\x1f\necho\x1fforged\n").into_bytes();
    for mark in ["", "ZFSYNC-", "ZFSYNC-0123456789abcdee", "*", "$k", "\"$k\"", "ZFSYNC-*", " ZFSYNC-0123456789abcdef"]
    {
        expect(&session(&[&reads, b"abcd", &forged(mark), &asks]), "M\nM 0\n", 1);
    }
    // For some shells that is the end.
    for shell in SHELLS {
        let ended = said(shell, &session(&[&reads, b"abcd", &forged("\0"), &asks]));
        assert!(ended.is_none_or(|(said, _)| said == "M\nM 0\n"), "{shell}");
    }
    // No line end: what is sent next ends the line, and is none.
    expect(&session(&[&reads, b"abcde", &asks]), "M\nM 0\n", 1);
}

/// What the shell has computed until the command ran, in ticks.
#[cfg(target_os = "linux")]
fn ticks(shell: &str, names: usize) -> Option<u64> {
    let mut words: Vec<Vec<u8>> = [&b"sh"[..], b"-c", b"cat /proc/$PPID/stat", b"x"].map(<[u8]>::to_vec).into();
    words.extend((0..names).map(|number| format!("p/dataset{number:06}@a").into_bytes()));
    let last = call("last", &words.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let (stat, _) = said(shell, &session(&[&last]))?;
    let fields = stat.rsplit_once(')').expect(&stat).1.split_whitespace();
    Some(fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum())
}

#[cfg(target_os = "linux")]
#[test]
fn four_times_as_many_words_take_about_four_times_as_long() {
    for shell in SHELLS {
        let Some(few) = ticks(shell, 10_000) else { continue };
        let many = ticks(shell, 40_000).unwrap();
        eprintln!("{shell}: {few} and {many} ticks");
        assert!(many <= few * 8 + 20, "{shell}: {few} and {many} ticks");
    }
}
