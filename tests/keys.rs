//! Which key ssh is told of. With an `ssh` that only notes how it was called: it would continue with other keys where it can't find the one
//! that it is given.

mod support;

use support::Bed;

fn bed() -> Bed {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2)]);
    // -G talks to nobody.
    let notes = "[ \"$1\" = -G ] || echo \"$*\" >>\"${0%/*}/../ssh-calls\"";
    bed.script("bin/ssh", &format!("#!/bin/sh\n{notes}\necho 'beta: Permission denied (publickey).' >&2\nexit 255\n"));
    bed.write("ssh-calls", "");
    bed
}

/// The keys that ssh was told of, each once.
fn keys(bed: &Bed) -> Vec<String> {
    let calls = bed.read("ssh-calls");
    let words: Vec<&str> = calls.split_whitespace().collect();
    let mut keys: Vec<String> =
        words.windows(2).filter(|pair| pair[0] == "-i").map(|pair| pair[1].to_owned()).collect();
    keys.dedup();
    keys
}

/// With a HOME of its own.
fn run(bed: &Bed, args: &[&str]) -> support::Ended {
    support::Ended::of(bed.command(args).env("HOME", bed.path("run")).spawn().unwrap())
}

#[test]
fn a_key_that_ssh_would_not_find_is_refused() {
    for key in ["/nokey", "~/nokey", "%d/nokey", "${HOME}/nokey", "~nobody/nokey", "~", "/"] {
        let bed = bed();
        let typed = run(&bed, &["push", "-i", key, "s", "beta:d"]);
        typed.expect(2, &[&format!("invalid value '{key}' for '--identity <FILE>': ")]);
        bed.write(
            "z.toml",
            &format!("[job.a]\nsource = 's'\ntargets = ['beta:d']\nsnapshot.enabled = false\nssh.identity = '{key}'\n"),
        );
        let config = bed.path("z.toml").display().to_string();
        let job = run(&bed, &["run", "--config", &config]);
        job.expect(1, &[&format!("can't connect to beta: the key {key} can't be used: ")]);
        assert_eq!(bed.read("ssh-calls"), "", "{key}");
    }
}

#[test]
fn a_key_is_named_as_ssh_finds_it() {
    let bed = bed();
    for name in ["run/key", "run/agent.pub", "run/both", "run/both.pub"] {
        bed.write(name, "");
    }
    let at = |name: &str| bed.path("run").join(name).display().to_string();
    for (key, found) in [
        ("~/key".to_owned(), at("key")),
        (at("both"), at("both")),
        // An agent has the other half.
        (at("agent"), at("agent.pub")),
        ("~/agent".to_owned(), at("agent.pub")),
        (at("agent.pub"), at("agent.pub")),
    ] {
        bed.write("ssh-calls", "");
        run(&bed, &["push", "-i", &key, "s", "beta:d"]).expect(3, &["Permission denied"]);
        assert_eq!(keys(&bed), [found], "{key}");
    }
}
