//! A host of --direct that lies with numbers.

mod support;

use support::sshd::{Manners, Sshd, available};
use support::{Bed, Ended};

const HELLO: &str = "ZFSYNC-DIRECT/1 {\"version\":\"0.1.0\"}\n";
const MAX: &str = "18446744073709551615";

fn said(args: &[&str], lines: &str) -> Ended {
    let bed = Bed::new();
    let _sshd = Sshd::start(&bed, &Manners::default());
    bed.write("said", &format!("{HELLO}{lines}\n"));
    bed.script("strange", &format!("#!/bin/sh\ncat {}\nexec cat >/dev/null\n", bed.path("said").display()));
    let (config, there) = (bed.path("ssh_config").display().to_string(), bed.path("strange").display().to_string());
    let all = ["push", "--direct", "-F", &config, "--remote-zfsync", &there, "--stall-timeout", "5s"];
    bed.run(&[&all[..], args, &["beta:s", "beta:d"]].concat())
}

fn no_panic(ended: &Ended) {
    assert!(!ended.stderr.contains("panicked") && ended.code != Some(101), "{ended:#?}");
}

#[test]
fn rows_add_up() {
    if !available() {
        return;
    }
    let row = |name: &str| {
        format!(
            "{{\"row\":{{\"dataset\":\"{name}\",\"target\":\"d\",\"action\":\"full\",\"from\":null,\"to\":\"@a\",\"snapshots\":{MAX},\"bytes\":{MAX},\"note\":null}}}}\n"
        )
    };
    let lines = format!("{}{}{{\"over\":{{\"exit\":0,\"error\":null}}}}", row("s"), row("s/x"));
    no_panic(&said(&["-n"], &lines));
}

#[test]
fn what_waits_adds_up() {
    if !available() {
        return;
    }
    let cleared = format!(
        "{{\"event\":{{\"event\":\"cleared\",\"datasets\":[],\"snapshots\":[],\"freed\":{MAX},\"datasets_wait\":{MAX},\"snapshots_wait\":{MAX},\"next\":9223372036854775807,\"stay\":[],\"failed\":[]}}}}\n{{\"over\":{{\"exit\":1,\"error\":null}}}}"
    );
    no_panic(&said(&[], &cleared));
}

#[test]
fn a_summary_of_huge_numbers() {
    if !available() {
        return;
    }
    for seconds in ["1e19", "0", "5e-324"] {
        let lines = format!(
            "{{\"event\":{{\"event\":\"connected\",\"host\":\"x\",\"helper\":\"y\",\"seconds\":{seconds}}}}}\n\
             {{\"event\":{{\"event\":\"planned\",\"datasets\":{MAX},\"in_sync\":{MAX},\"steps\":{MAX}}}}}\n\
             {{\"event\":{{\"event\":\"step_started\",\"step\":0,\"dataset\":\"s\",\"from\":null,\"resumed\":false,\"to\":\"a\",\"snapshots\":{MAX}}}}}\n\
             {{\"event\":{{\"event\":\"step_estimated\",\"step\":0,\"total\":{MAX}}}}}\n\
             {{\"event\":{{\"event\":\"progress\",\"step\":0,\"bytes\":{MAX}}}}}\n\
             {{\"event\":{{\"event\":\"progress\",\"step\":0,\"bytes\":0}}}}\n\
             {{\"event\":{{\"event\":\"step_done\",\"step\":0,\"dataset\":\"s\",\"to\":\"a\",\"snapshots\":{MAX},\"bytes\":{MAX},\"seconds\":{seconds}}}}}\n\
             {{\"event\":{{\"event\":\"finished\",\"datasets\":{MAX},\"in_sync\":{MAX},\"updated\":{MAX},\"failed\":0,\"without_snapshots\":{MAX},\"snapshots\":{MAX},\"bytes\":{MAX},\"seconds\":{seconds},\"interrupted\":false,\"failures\":[]}}}}\n\
             {{\"over\":{{\"exit\":1,\"error\":null}}}}"
        );
        no_panic(&said(&["-v"], &lines));
        no_panic(&said(&["--json"], &lines));
    }
}

/// Exit 0 is no more than its own run could end with.
#[test]
fn no_success_without_a_run() {
    if !available() {
        return;
    }
    let alone = said(&[], "{\"over\":{\"exit\":0,\"error\":null}}");
    let failed = "{\"event\":{\"event\":\"dataset_failed\",\"dataset\":\"s\",\"target\":\"d\",\"kind\":\"failed\",\"error\":\"no\"}}\n\
                  {\"event\":{\"event\":\"finished\",\"datasets\":1,\"in_sync\":0,\"updated\":0,\"failed\":1,\"without_snapshots\":0,\"snapshots\":0,\"bytes\":0,\"seconds\":1,\"interrupted\":false,\"failures\":[[\"s\",\"no\"]]}}\n\
                  {\"over\":{\"exit\":0,\"error\":null}}";
    let ended = said(&[], failed);
    let wrong = "it reports success, but no run that succeeded";
    alone.expect(3, &[wrong]);
    ended.expect(3, &[wrong]);
}
