//! Helpers that lie: what a hostile host may say can neither break the sender, nor fill its memory, nor get onto a terminal or
//! into a file as anything but harmless text.

mod support;

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use helper::wire::{FrameKind, HEADER, Header, MAX_CONTROL, Reply, Request, write_message};
use serde_json::json;
use support::{Bed, Ended};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zfs::name::{DatasetName, Guid, SnapshotName, Txg};
use zfs::text::{QUOTE, sanitise};
use zfs::{BaseFacts, Encryption, Failure, Hello, Kind, Pruned, Refusal, TargetFacts};
use zfsync::remote::client::{CALLS, Call, Channel, ChannelEvent, FromChannel, HelperError};

/// What a terminal would obey, and a line that looks like one of ours.
const EVIL: &str = "gone\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{2028}\u{7f}\rover\nzfsync: 99 datasets in sync\n  s: all is well";

/// Whether text has nothing raw in it, and no line that EVIL has forged.
#[track_caller]
fn assert_harmless(what: &str, text: &str) {
    for line in text.lines() {
        assert_eq!(sanitise(line), line.trim_end(), "{what}: {text:?}");
    }
    assert!(!text.lines().any(|line| line.starts_with("zfsync: 99")), "{what}: {text}");
    for line in text.lines().filter(|line| !line.starts_with('{') && line.contains("99 datasets")) {
        assert!(line.contains(QUOTE.trim_end()) || line.contains("\\n"), "{what}: {line:?} in {text}");
    }
}

fn dataset(name: &str) -> DatasetName {
    name.parse().unwrap()
}

#[test]
fn zfs_words_are_harmless_in_every_output() {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.write("evil", EVIL);
    bed.write("on-recv", "cat \"$here/evil\" >&2; exit 1\n");
    for mode in [&[][..], &["-v"], &["-vv"], &["-q"], &["--json"]] {
        let (log, json_log, state) = (bed.path("log"), bed.path("log.json"), bed.path("state"));
        let files = [
            ["--log-file", log.to_str().unwrap(), "--log-format", "text"],
            ["--log-file", json_log.to_str().unwrap(), "--log-format", "json"],
        ];
        for file in files {
            let args =
                [&["push", "s", "d", "--retries", "0", "--state-dir", state.to_str().unwrap()], mode, &file].concat();
            let ended: Ended = bed.run(&args);
            ended.expect(1, &[]);
            assert_harmless(&format!("stdout of {args:?}"), &ended.stdout);
            assert_harmless(&format!("stderr of {args:?}"), &ended.stderr);
            let said = if mode == ["--json"] { &ended.stdout } else { &ended.stderr };
            assert!(said.contains("gone") && said.contains("u{1b}[2J"), "{args:?}: {ended:?}");
        }
        for path in [log, json_log] {
            assert_harmless("the log", &fs::read_to_string(path).unwrap());
        }
        let mut files = 0;
        for folder in fs::read_dir(state).unwrap().flatten() {
            for file in fs::read_dir(folder.path()).unwrap().flatten() {
                assert_harmless("a state file", &fs::read_to_string(file.path()).unwrap());
                files += 1;
            }
        }
        assert!(files >= 2, "{files}");
    }
    // What the state has kept is shown again.
    for mode in [&[][..], &["--json"], &["--prometheus"]] {
        let state = bed.path("state");
        let args = [&["status", "s", "d", "--state-dir", state.to_str().unwrap()], mode].concat();
        let ended = bed.run(&args);
        assert_harmless(&format!("{args:?}"), &(ended.stdout + &ended.stderr));
    }
}

/// A channel to a helper whose part a function plays: it gets its stdin, stdout and stderr.
struct Play {
    channel: Option<Channel>,
    events: UnboundedReceiver<FromChannel>,
    calls: Vec<Call>,
}

/// What came over a channel until it ended: its events, the answers, and why it ended.
struct Told {
    events: Vec<ChannelEvent>,
    answers: Vec<Reply>,
    error: HelperError,
}

impl Play {
    fn new(play: impl FnOnce(&mut dyn Read, &mut dyn Write, &mut dyn Write) + Send + 'static) -> Self {
        let (mut stdin, ours_in) = io::pipe().unwrap();
        let (ours_out, mut stdout) = io::pipe().unwrap();
        let (ours_err, mut stderr) = io::pipe().unwrap();
        thread::spawn(move || play(&mut stdin, &mut stdout, &mut stderr));
        let (tell, events) = unbounded_channel();
        let ends = [OwnedFd::from(ours_in), ours_out.into(), ours_err.into()];
        Self { channel: Some(Channel::over(1, ends, "beta", tell).unwrap()), events, calls: Vec::new() }
    }

    /// Questions are numbered from [`CALLS`] on.
    fn ask(&mut self, request: impl FnOnce(u64) -> Request) {
        self.calls.push(self.channel.as_ref().unwrap().call(request));
    }

    /// All up to the end.
    fn told(mut self) -> Told {
        let began = Instant::now();
        let mut events = Vec::new();
        loop {
            match self.events.try_recv() {
                Ok(FromChannel { event: ChannelEvent::Closed(error), .. }) => {
                    return Told { events, answers: self.calls.iter_mut().flat_map(answers).collect(), error };
                }
                Ok(FromChannel { event, .. }) => events.push(event),
                Err(_) => {
                    // A helper that waits for us to end sees that.
                    if began.elapsed() > Duration::from_secs(2) {
                        self.channel = None;
                    }
                    assert!(began.elapsed() < Duration::from_secs(60), "the channel hangs");
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }
}

/// All replies to a question of a channel that has ended.
fn answers(call: &mut Call) -> Vec<Reply> {
    let mut all = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    while let Ok(reply) = runtime.block_on(call.next()) {
        all.push(reply);
    }
    all
}

/// Waits for so many requests; what comes before them nobody has asked for.
fn await_requests(input: &mut dyn Read, number: usize) {
    for _ in 0..number {
        let mut header = [0; HEADER];
        input.read_exact(&mut header).unwrap();
        let mut body = vec![0; Header::decode(header).unwrap().len];
        input.read_exact(&mut body).unwrap();
    }
}

fn greet(output: &mut dyn Write) {
    let hello = Hello { version: "1".into(), host: "beta".into(), ..Hello::default() };
    let _ = output.write_all(helper::wire::greeting(&hello).unwrap().as_bytes());
}

fn frame(reply: &Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_message(&mut bytes, FrameKind::Reply, reply).unwrap();
    bytes
}

fn facts() -> TargetFacts {
    TargetFacts {
        kind: Kind::Filesystem,
        partial: false,
        token: None,
        unborn: false,
        empty: false,
        unsure: None,
        written: None,
        encryption: Encryption::Off,
    }
}

fn failure() -> Failure {
    Failure { refusal: Refusal::Other, words: EVIL.into() }
}

/// Resident memory of this process at its highest so far, in KiB; counts anew from `reset`.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

fn growth<T>(work: impl FnOnce() -> T) -> (T, u64) {
    // The process is all tests'.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // "5" resets the peak (proc_pid_clear_refs(5)).
    let _ = fs::write("/proc/self/clear_refs", "5");
    let before = peak();
    let done = work();
    (done, peak().saturating_sub(before))
}

const MOST: u64 = 64 * 1024;

#[test]
fn an_endless_answer_ends_the_channel() {
    let snapshots: Vec<(SnapshotName, Guid, Txg)> = (0..2000)
        .map(|n| (format!("a-rather-long-name-of-a-snapshot-{n}").parse().unwrap(), Guid(n), Txg(n)))
        .collect();
    let part = frame(&Reply::Listed { id: CALLS, dataset: dataset("b/x"), facts: facts(), snapshots });
    let play = move |input: &mut dyn Read, output: &mut dyn Write, _: &mut dyn Write| {
        greet(output);
        await_requests(input, 1);
        while output.write_all(&part).is_ok() {}
    };
    let (Told { answers, error, .. }, grown) = growth(|| {
        let mut play = Play::new(play);
        play.ask(|id| Request::List { id, datasets: vec![dataset("b/x")] });
        play.told()
    });
    assert!(matches!(&error, HelperError::Protocol { host, .. } if host == "beta"), "{error}");
    assert!(error.to_string().contains("longer than the request allows"), "{error}");
    assert!(answers.len() > 50, "{}", answers.len());
    assert!(grown < MOST, "{grown} KiB");
}

#[test]
fn answers_to_nothing_end_the_channel() {
    let answers = [
        Reply::Done { id: 1, failure: None, warning: None },
        Reply::Found { id: 2, found: vec![] },
        Reply::Unread { id: 2, name: "b/x".into(), words: EVIL.into() },
        Reply::Listed { id: 3, dataset: dataset("b/x"), facts: facts(), snapshots: vec![] },
        Reply::Names { id: 4, datasets: vec![] },
    ];
    for answer in answers {
        let play = Play::new(move |_, output, _| {
            greet(output);
            let _ = output.write_all(&frame(&answer));
            // It would go on for ever.
            while output.write_all(&frame(&Reply::Beat { id: 9 })).is_ok() {}
        });
        let Told { events, error, .. } = play.told();
        assert!(matches!(error, HelperError::Protocol { .. }), "{error}");
        assert_eq!(events.len(), 1, "{events:?}");
    }
}

#[test]
fn words_are_harmless_as_they_come_in() {
    let mut play = Play::new(|input, output, errors| {
        await_requests(input, 2);
        let _ = errors.write_all(EVIL.as_bytes());
        let hello = Hello { version: EVIL.into(), host: EVIL.into(), user: EVIL.into(), ..Hello::default() };
        let _ = output.write_all(helper::wire::greeting(&hello).unwrap().as_bytes());
        let _ =
            output.write_all(&frame(&Reply::Done { id: CALLS, failure: Some(failure()), warning: Some(EVIL.into()) }));
        let pinned = vec![("s".parse().unwrap(), EVIL.to_owned())];
        let _ =
            output.write_all(&frame(&Reply::Pruned { id: CALLS + 1, pruned: Pruned { pinned, ..Pruned::default() } }));
    });
    play.ask(|id| Request::Clear { id, dataset: dataset("b/x") });
    let snapshots = vec![("s".parse().unwrap(), Guid(1))];
    play.ask(|id| Request::Prune { id, dataset: dataset("b/x"), snapshots, dry_run: true });
    let Told { events, answers, error } = play.told();
    let [ChannelEvent::Ready(hello)] = &events[..] else { panic!("{events:?}") };
    let [done, pruned] = &answers[..] else { panic!("{answers:?}") };
    assert!(!hello.version.contains('\n') && !hello.host.contains('\n'));
    let Reply::Done { failure: Some(failure), warning: Some(warning), .. } = done else { panic!("{done:?}") };
    let Reply::Pruned { pruned, .. } = pruned else { panic!("{pruned:?}") };
    let said = [&hello.version, &hello.host, &hello.user, &failure.words, warning, &pruned.pinned[0].1];
    for text in said.into_iter().chain([&error.to_string()]) {
        assert_harmless("words", text);
    }
    assert!(error.to_string().contains("it says: gone"), "{error}");
    for preamble in [EVIL, "\n\nzfsync: 99 datasets in sync\n"] {
        let play = Play::new(move |_, output, _| _ = output.write_all(preamble.as_bytes()));
        let Told { error, .. } = play.told();
        assert!(matches!(error, HelperError::NoGreeting { .. }), "{error}");
        assert_harmless("the preamble", &error.to_string());
    }
}

#[test]
fn a_request_that_is_too_large_is_refused_by_name_and_the_channel_lives() {
    let mut play = Play::new(|input, output, _| {
        greet(output);
        // The first request that arrives is the second one: the large one is answered on this side, before that.
        await_requests(input, 1);
        let _ = output.write_all(&frame(&Reply::Done { id: CALLS + 1, failure: None, warning: None }));
    });
    let loses = (0..60_000).map(|n| Guid(u64::MAX - n)).collect();
    let resolution = serde_json::from_value(json!({
        "how": "rollback", "dataset": "b/x", "to": "s", "to_guid": 1, "loses": Vec::<u64>::new(),
    }))
    .unwrap();
    let zfs::Resolution::Rollback { dataset, to, to_guid, .. } = resolution else { panic!() };
    let resolution = zfs::Resolution::Rollback { dataset: dataset.clone(), to, to_guid, loses };
    play.ask(|id| Request::Resolve { id, resolution });
    play.ask(|id| Request::Clear { id, dataset });
    let Told { answers, .. } = play.told();
    let [Reply::Done { failure: Some(failure), .. }, Reply::Done { failure: None, .. }] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert!(failure.words.contains("a rollback of b/x over 60000 snapshots"), "{}", failure.words);
    assert!(failure.words.contains("1048576"), "{}", failure.words);
}

/// Numbers that are the same in each run of the tests.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

fn requests() -> [fn(u64) -> Request; 11] {
    fn b() -> DatasetName {
        dataset("b/x")
    }
    fn names() -> Vec<String> {
        vec!["b/x".to_owned(), "b/x@s".to_owned(), "b".to_owned()]
    }
    [
        |id| Request::Ask { id, names: names() },
        |id| Request::List { id, datasets: vec![b()] },
        |id| Request::Tree { id, dataset: b() },
        |id| Request::Probe { id, dataset: b() },
        |id| Request::Clear { id, dataset: b() },
        |id| Request::Lock { id, dataset: b(), run: 1, owner: "me".into() },
        |id| Request::Dates { id, names: names() },
        |id| Request::Prune { id, dataset: b(), snapshots: vec![("s".parse().unwrap(), Guid(1))], dry_run: true },
        |id| Request::Names { id, dataset: b() },
        |id| Request::Notes { id, dataset: Some(b()), snapshots: names() },
        |id| Request::Bases { id, names: names(), iv_sets_only: false },
    ]
}

/// An answer that could be right.
fn answer(dice: &mut Dice) -> Vec<u8> {
    let id = CALLS + dice.next() % 12;
    let number = dice.next();
    let many = [0, 1, 3, 2000][dice.below(4)];
    let snapshots = (0..many).map(|n| (format!("s{n}").parse().unwrap(), Guid(number), Txg(n))).collect();
    let place = u32::try_from(number % 5).unwrap();
    frame(&match dice.below(9) {
        0 => Reply::Found { id, found: vec![(place, Guid(number), Txg(number))] },
        1 => Reply::Listed { id, dataset: dataset(["b/x", "b/x/y", "b/z"][dice.below(3)]), facts: facts(), snapshots },
        2 => Reply::Probed { id, disabled: vec![EVIL.into(); dice.below(100)], encrypted: true },
        3 => Reply::Pruned {
            id,
            pruned: Pruned {
                destroyed: dice.below(3),
                freed: number,
                pinned: vec![("s".parse().unwrap(), EVIL.into())],
                absent: Vec::new(),
            },
        },
        4 => Reply::Dated { id, dates: vec![(place, i64::MIN)] },
        5 => Reply::Names { id, datasets: vec![dataset("b/x/y"); dice.below(3000)] },
        6 if number.is_multiple_of(2) => Reply::Bases { id, bases: vec![(place, BaseFacts::default()); dice.below(3)] },
        6 => Reply::Beat { id },
        7 => Reply::Done { id, failure: Some(failure()), warning: None },

        _ => Reply::Done { id, failure: None, warning: Some(EVIL.into()) },
    })
}

/// What a hostile helper says in one session.
fn session(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = Vec::new();
    match dice.below(10) {
        0 => bytes.extend((0..dice.below(200_000)).map(|_| b"x\n\x1b{"[dice.below(4)])),
        1 => bytes.extend(EVIL.as_bytes()),
        _ => {}
    }
    greet(&mut bytes);
    for _ in 0..dice.below(30) {
        let kind = FrameKind::Reply;
        match dice.below(12) {
            // JSON that costs more than its bytes.
            0 => {
                let (ask, clear, names) = (CALLS, CALLS + 4, CALLS + 8);
                let text = [
                    format!("{{\"answer\":\"found\",\"id\":{ask},\"found\":[{}0]}}", "0,".repeat(500_000)),
                    format!("{{\"answer\":\"names\",\"id\":{names},\"datasets\":[{}\"p\"]}}", "\"p\",".repeat(200_000)),
                    format!("{{\"answer\":\"done\",\"id\":{clear},\"x\":{}", "[".repeat(900_000)),
                    format!(
                        "{{\"answer\":\"done\",\"id\":{clear},\"failure\":{{\"refusal\":\"other\",\"words\":\"{}\"}}}}",
                        "\\n".repeat(500_000)
                    ),
                ];
                let text = &text[dice.below(4)];
                let len = text.len().min(MAX_CONTROL);
                bytes.extend(Header { kind, len }.encode());
                bytes.extend(&text.as_bytes()[..len]);
            }
            1 => {
                let len = dice.below(300);
                bytes.extend(Header { kind, len }.encode());
                bytes.extend((0..len).map(|_| dice.next().to_le_bytes()[0]));
            }
            2 => bytes.extend((0..dice.below(64)).map(|_| dice.next().to_le_bytes()[0])),
            3 => bytes.extend(Header { kind: [FrameKind::Data, FrameKind::Ping][dice.below(2)], len: 0 }.encode()),
            4 => {
                let mut answer = answer(dice);
                let at = dice.below(answer.len());
                answer[at] = dice.next().to_le_bytes()[0];
                bytes.extend(answer);
            }
            5 => {
                let beat = frame(&Reply::Beat { id: CALLS + 1 });
                for _ in 0..dice.below(5000) {
                    bytes.extend(&beat);
                }
            }
            _ => bytes.extend(answer(dice)),
        }
    }
    if dice.below(4) == 0 {
        bytes.truncate(dice.below(bytes.len() + 1));
    }
    bytes
}

/// A short part always; all of it with `ZFSYNC_HOSTILE_RUNS=1000`, from another seed with `ZFSYNC_HOSTILE_SEED`. Each session
/// has threads of its own, and the C library keeps memory for each: `MALLOC_ARENA_MAX=1` shows what is zfsync's.
#[test]
fn many_hostile_sessions() {
    let number =
        |name: &str, otherwise| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (runs, seed) = (number("ZFSYNC_HOSTILE_RUNS", 100), number("ZFSYNC_HOSTILE_SEED", 1));
    let (mut answered, mut violated) = (0, 0);
    let ((), grown) = growth(|| {
        for run in 0..runs {
            let said = session(&mut Dice(seed + run));
            let mut play = Play::new(move |input, output, errors| {
                await_requests(input, requests().len());
                let _ = output.write_all(&said);
                let _ = errors.write_all(EVIL.as_bytes());
            });
            for request in requests() {
                play.ask(request);
            }
            let Told { answers, error, .. } = play.told();
            assert_harmless(&format!("run {run}"), &error.to_string());
            assert!(error.to_string().len() < 200_000, "run {run}");
            answered += usize::from(!answers.is_empty());
            violated += usize::from(matches!(error, HelperError::Protocol { .. }));
        }
    });
    assert!(answered as u64 > runs / 20 && violated as u64 > runs / 10, "{answered} and {violated} of {runs}");
    println!("{runs} runs: {answered} with an answer, {violated} ended for breaking the protocol, {grown} KiB grown");
    assert!(grown < MOST, "{grown} KiB in {runs} runs");
}
