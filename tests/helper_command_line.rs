//! `zfsync recv|send` and the small binary `zfsync-helper` have a parser each, and one meaning: what the one takes, the other does,
//! and understands the same.

use clap::FromArgMatches;
use helper::command_line::{self, Command};
use helper::{Config, Side};
use proptest::prelude::*;
use zfsync::cli;

/// As `zfsync` understands it.
fn by_clap(words: &[&str]) -> Option<Config> {
    let line = std::iter::once("zfsync").chain(words.iter().copied());
    let mut matches = cli::command().try_get_matches_from(line).ok()?;
    match cli::Cli::from_arg_matches_mut(&mut matches).ok()?.command {
        cli::Command::Recv(args) => {
            Some(Config { roots: args.root, allow: args.allow, side: Side::Receiver, ..Config::default() })
        }
        cli::Command::Send(args) => {
            Some(Config { roots: args.root, allow: args.allow, side: Side::Sender, ..Config::default() })
        }
        _ => None,
    }
}

/// As the helper does.
fn by_hand(words: &[&str]) -> Option<Config> {
    match command_line::parse(words.iter().map(|word| (*word).to_owned())) {
        Ok(Command::Serve(config)) => Some(config),
        _ => None,
    }
}

#[track_caller]
fn same(words: &[&str]) -> bool {
    let (clap, hand) = (by_clap(words), by_hand(words));
    assert_eq!(format!("{clap:?}"), format!("{hand:?}"), "{words:?}");
    hand.is_some()
}

#[test]
fn lines_of_both_kinds() {
    for (line, good) in [
        ("recv --stdio", true),
        ("send --stdio", true),
        ("recv --stdio --root pool/a --root pool/b", true),
        (
            "recv --root=pool/a --stdio --allow rollback,rename,destroy,volmode,packages,unencrypted,mountable,verify,rekey",
            true,
        ),
        ("send --stdio --allow snapshot --allow destroy,verify", true),
        ("recv --stdio --allow rollback --allow rollback", true),
        ("recv", false),
        ("recv --stdio --stdio", false),
        ("recv --stdio=true", false),
        ("recv --std", false),
        ("recv --stdio --root", false),
        ("recv --stdio --root --allow", false),
        ("recv --stdio --root=--allow", false),
        ("recv --stdio --root=", false),
        ("recv --stdio --root pool/a@b", false),
        ("recv --stdio --root pool/a,pool/b", false),
        ("recv --stdio --allow", false),
        ("recv --stdio --allow=", false),
        ("recv --stdio --allow rollback,", false),
        ("recv --stdio --allow Rollback", false),
        ("recv --stdio --allow snapshot", false),
        ("send --stdio --allow rollback", false),
        ("recv --stdio pool/a", false),
        ("recv --stdio --", true),
        ("recv --stdio -- --root pool/a", false),
        ("recv --stdio -v", false),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(same(&words), good, "{line}");
    }
    for words in [&["recv", "--stdio", "--root", ""][..], &["recv", "--stdio", ""], &["recv", "--stdio", "--allow", ""]]
    {
        assert!(!same(words));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_words_in_any_order(
        command in prop::sample::select(vec!["recv", "send"]),
        words in prop::collection::vec(prop::sample::select(vec![
            "--stdio", "--root", "--root=p/a", "p/b", "--allow", "--allow=destroy", "destroy", "verify,destroy", "snapshot", "rekey",
            "", "=", "-", "--", "-x", "--stdio=", "--root=", "a=b", "--allow=verify,x", "p/c@d",
        ]), 0..6),
    ) {
        same(&[&[command][..], &words].concat());
    }
}
