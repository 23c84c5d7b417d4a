//! The completions as bash, zsh and fish give them, with a fake `zfs`: what the shells make of what somebody has typed.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Bed, zfsync};

/// A machine with some datasets, one job, and hosts that ssh knows.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.world(&[
        ("tank", 1, 1),
        ("tank/home", 2, 1),
        ("tank/home/ann", 3, 1),
        ("tank/host", 4, 1),
        ("tiny", 5, 1),
        ("tiny@s", 6, 2),
    ]);
    fs::create_dir_all(bed.path("home/.ssh")).unwrap();
    bed.write("home/.ssh/config", "Host tower backup\nHost *.lan\n");
    bed.write(
        "jobs.toml",
        "[job.nightly]\nsource = 'tank'\ntargets = ['b:q']\n[job.hourly]\nsource = 'tiny'\ntargets = ['b:r']\n",
    );
    // Whoever completes calls zfsync by its name.
    fs::create_dir_all(bed.path("cli")).unwrap();
    bed.script("cli/zfsync", &format!("#!/bin/sh\nexec {} \"$@\"", zfsync().display()));
    bed
}

/// A shell with this script; what it prints, in its words. Nothing, where there is no such shell on this machine.
fn ask(bed: &Bed, shell: &[&str], script: &str) -> Option<Vec<String>> {
    let path =
        bed.command(&[]).get_envs().find_map(|(name, value)| (name == "PATH").then(|| value.unwrap().to_owned()));
    let path = format!("{}:{}", bed.path("cli").display(), path.unwrap().to_str().unwrap());
    let mut command = Command::new("timeout");
    command.args(["20"]).args(shell).arg("-c").arg(script).env("PATH", path).env("HOME", bed.path("home"));
    let found = Command::new(shell[0]).arg("--version").stdout(Stdio::null()).status();
    if found.is_err() {
        eprintln!("skipped: no {} here", shell[0]);
        return None;
    }
    let ended = command.current_dir(bed.path("")).stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8(ended.stdout).unwrap(), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && err.is_empty(), "{script}\n{out}\n{err}");
    Some(out.split_whitespace().map(ToOwned::to_owned).collect())
}

fn file(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("completions").join(name).display().to_string()
}

/// What is typed, and what it can become; the words are those that replace the last one.
const TYPED: [(&str, &[&str]); 8] = [
    ("zfsync push ta", &["tank"]),
    ("zfsync push tank/ho", &["tank/home", "tank/host"]),
    ("zfsync push tank/home/", &["tank/home/ann"]),
    ("zfsync push tank ba", &["backup:"]),
    ("zfsync push t", &["tank", "tiny", "tower:"]),
    ("zfsync run -c jobs.toml n", &["nightly"]),
    ("zfsync push tank x:y --rollb", &["--rollback"]),
    ("zfsync pul", &["pull"]),
];

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words
}

#[test]
fn fish() {
    let bed = bed();
    for (typed, expected) in TYPED {
        let script = format!("source {}; complete -C '{typed}' | cut -f 1", file("zfsync.fish"));
        let Some(words) = ask(&bed, &["fish", "--no-config"], &script) else { return };
        assert_eq!(sorted(words), expected, "{typed}");
    }
}

#[test]
fn bash() {
    let bed = bed();
    let ask = |typed: &str| {
        // What readline sets.
        let script = format!(
            "source {}; COMP_LINE={typed:?}; COMP_POINT=${{#COMP_LINE}}; compopt() {{ :; }}; _zfsync; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            file("zfsync.bash")
        );
        ask(&bed, &["bash", "--norc"], &script).map(sorted)
    };
    for (typed, expected) in TYPED {
        let Some(words) = ask(typed) else { return };
        assert_eq!(words, expected, "{typed}");
    }
    // bash replaces what stands behind these alone.
    for (typed, expected) in [("zfsync push tank root@ba", "backup:"), ("zfsync push tank x:y --helper=shi", "ship")] {
        assert_eq!(ask(typed), Some(vec![expected.to_owned()]), "{typed}");
    }
}

#[test]
fn zsh() {
    let bed = bed();
    fs::create_dir_all(bed.path("functions")).unwrap();
    fs::copy(file("_zfsync"), bed.path("functions/_zfsync")).unwrap();
    for (typed, expected) in TYPED {
        // A terminal of its own, in which the tab key is pressed once; the line is read when a mark behind it has come.
        let script = format!(
            "zmodload zsh/zpty; zpty it zsh -f -i; \
             zpty -w it 'PS1=; unsetopt zle_bracketed_paste; fpath=({dir} $fpath); autoload -Uz compinit; compinit -u -D; \
             zle -C given complete-word given; given() {{ _main_complete; }}; \
             zstyle \":completion:*\" list-prompt \"\"; setopt list_rows_first; \
             whole() {{ compadd() {{ local -a found; builtin compadd -O found \"$@\"; print -r -- \"FOUND $found\" >>found; \
             builtin compadd \"$@\"; }}; zle given; unfunction compadd; print DONE >>found; }}; \
             zle -N whole; bindkey \"^I\" whole; print REA''DY'; \
             zpty -r it out '*READY*'; \
             zpty -n -w it $'{typed}\\t'; \
             until [[ -e found && \"$(<found)\" == *DONE* ]]; do zselect -t 5 2>/dev/null || sleep 0.05; done; \
             sed -n 's/^FOUND //p' found",
            dir = bed.path("functions").display()
        );
        let Some(words) = ask(&bed, &["zsh", "-f"], &script) else { return };
        fs::remove_file(bed.path("found")).unwrap();
        // zsh asks for some more than once, to show them in columns.
        let words: BTreeSet<String> = words.into_iter().collect();
        assert_eq!(words.into_iter().collect::<Vec<_>>(), expected, "{typed}");
    }
}

#[test]
fn a_suspended_pool_keeps_nobody_waiting() {
    let bed = bed();
    bed.script("bin/zfs", "#!/bin/sh\nexec sleep 1000\n");
    let ended = bed.command(&["--", "zfsync", "push", "ta"]).env("ZFSYNC_COMPLETE", "fish").output().unwrap();
    assert!(ended.status.success() && ended.stdout.is_empty(), "{ended:?}");
    bed.wait_for_no_process();
}
