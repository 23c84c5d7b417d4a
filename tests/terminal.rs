//! What a run draws on a terminal, and what is left there.

mod support;

use std::io::Write as _;

use indicatif::{InMemoryTerm, TermLike as _};
use support::terminal::Terminal;
use support::{Bed, eventually};

/// Two steps that stand until `go` is there.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.world_with_work(2);
    bed.write("on-recv", "while [ ! -e \"$here/go\" ]; do sleep .05; done\n");
    bed
}

/// Whether both steps and the total are shown.
fn bars(text: &str) -> bool {
    ["1 @b", "2 @b", "0/2 steps"].iter().all(|part| text.contains(part))
}

/// What stands on a screen after all this.
fn screen(text: &str, columns: u16) -> String {
    let screen = InMemoryTerm::new(24, columns);
    screen.write_str(text).unwrap();
    screen.contents()
}

/// Names are short, the total stands below, and nothing of it is left at the end.
#[test]
fn bars_are_drawn_and_taken_away() {
    let bed = Bed::new();
    bed.world_with_work(2);
    bed.write("on-recv", "while [ ! -e \"$here/go\" ]; do sleep .05; done\n");
    let mut terminal = Terminal::start(&bed, &["push", "s", "d"]);
    let bars = |text: &str| ["1 @b", "2 @b", "0/2 steps"].iter().all(|part| text.contains(part));
    assert!(eventually(|| bars(&terminal.shown())), "{:?}", terminal.shown());
    assert!(!terminal.shown().contains("s/1 @b"), "{:?}", terminal.shown());
    // They move though nothing happens.
    let seen = terminal.shown().len();
    assert!(eventually(|| terminal.shown().len() > seen + 500), "{:?}", terminal.shown());
    bed.write("go", "");
    assert!(terminal.child.wait().unwrap().success(), "{:?}", terminal.shown());
    assert!(eventually(|| terminal.shown().contains("in sync")), "{:?}", terminal.shown());
    let shown = terminal.shown();
    let (before, last) = shown.rsplit_once("zfsync: ").unwrap();
    assert!(before.ends_with("\x1b[2K") || before.ends_with('\r'), "{before:?}");
    assert!(last.starts_with("2 datasets in sync (2 updated") && !last.contains("steps"), "{last:?}");
}

/// The terminal echoes `^C` behind the lowest bar.
#[test]
fn nothing_of_the_bars_stays_after_ctrl_c() {
    let bed = bed();
    let mut terminal = Terminal::start(&bed, &["push", "s", "d"]);
    assert!(eventually(|| bars(&terminal.shown())), "{:?}", terminal.shown());
    terminal.master.write_all(b"\x03").unwrap();
    assert_eq!(terminal.child.wait().unwrap().code(), Some(130), "{:?}", terminal.shown());
    assert!(eventually(|| terminal.shown().contains("zfsync: ")), "{:?}", terminal.shown());
    let shown = terminal.shown();
    assert!(shown.contains("^C"), "{shown:?}");
    let left = screen(&shown, 80);
    assert!(!["@b", "steps", "^C"].iter().any(|part| left.contains(part)), "{left}\n{shown:?}");
    bed.wait_for_no_process();
}

#[test]
fn bars_are_as_wide_as_the_terminal() {
    let bed = bed();
    let mut terminal = Terminal::start(&bed, &["push", "s", "d"]);
    assert!(eventually(|| bars(&terminal.shown())), "{:?}", terminal.shown());
    for (columns, has_bars) in [(40, false), (120, true), (60, false)] {
        let before = terminal.shown().len();
        terminal.resize(columns);
        // The last drawing but one, and what was drawn over it: the first ones may have begun before.
        let drawn = |terminal: &Terminal| {
            let all = terminal.shown()[before..].to_owned();
            let last = all.rmatch_indices("0/2 steps").nth(1).map(|(at, _)| at);
            last.map(|at| screen(&all[at..], columns)).unwrap_or_default()
        };
        let fits = |shown: &str| {
            let lines: Vec<&str> = shown.lines().collect();
            let narrow = lines.iter().all(|line| line.chars().count() < columns.into());
            lines.len() == 3 && narrow && bars(shown) && shown.contains("====") == has_bars
        };
        assert!(eventually(|| fits(&drawn(&terminal))), "{columns}:\n{}", drawn(&terminal));
    }
    bed.write("go", "");
    assert!(terminal.child.wait().unwrap().success(), "{:?}", terminal.shown());
}

/// Only the job in the foreground may set up the terminal: another is stopped where it tries.
#[test]
fn a_run_in_the_background_that_fails_while_it_connects_ends() {
    let bed = Bed::without_zfs();
    let here = bed.path(".").display().to_string();
    bed.script("gate", &format!("#!/bin/sh\n: >'{here}/connects'\ncat >/dev/null\n"));
    bed.write("ssh_config", &format!("Host beta\n ProxyCommand {}\n", bed.path("gate").display()));
    let waits = format!("while [ ! -e '{here}/connects' ]; do sleep .05; done");
    bed.script("bin/zfs", &format!("#!/bin/sh\n{waits}\necho 'cannot open it' >&2\nexit 1\n"));
    let config = bed.path("ssh_config");
    let args = ["push", "-F", config.to_str().unwrap(), "s", "beta:d"];
    for start in [Terminal::start, Terminal::start_in_background] {
        let mut terminal = start(&bed, &args);
        assert_eq!(terminal.child.wait().unwrap().code(), Some(3), "{:?}", terminal.shown());
        assert!(eventually(|| terminal.shown().contains("cannot open it")), "{:?}", terminal.shown());
        assert!(terminal.echoes());
        bed.wait_for_no_process();
        std::fs::remove_file(bed.path("connects")).unwrap();
    }
}
