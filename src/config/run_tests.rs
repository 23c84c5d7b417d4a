use super::*;

fn parsed(text: &str) -> Result<Vec<CronJob>, Vec<String>> {
    parse(Path::new("/etc/z.toml"), text).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn error(text: &str) -> String {
    parsed(text).unwrap_err().join("\n")
}

const GOOD: &str = r#"
[defaults]
keep = { classes = "s=1,m=4,h=3,d=2" }
retries = 2
log = "/var/log/z.log"
log-format = "json"
state-dir = "/var/lib/zfsync"
hook-timeout = "10s"
[defaults.ssh]
port = 2222
[job.zeta]
source = "tank/data"
targets = ["backup:pool/data", "usb/data"]
exclude = ["**/tmp"]
channels = 8
skip-empty = true
job-timeout = "6h"
pre-snapshot = "/bin/freeze 'my db'"
[job.zeta.snapshot]
format = "%Y-%m-%d"
if-changed = true
[job.zeta.keep-targets]
grid = "24h,7d"
last = 3
[job.zeta.ssh]
options = ["Compression=no"]
[job.alpha]
sources = ["tank/a", "tank/b"]
targets = ["b:pool/x"]
snapshot.enabled = false
recursive = false
retries = 0
keep = { last = 5 }
"#;

#[test]
fn a_good_file() {
    let jobs = parsed(GOOD).unwrap();
    assert_eq!(jobs.iter().map(CronJob::label).collect::<Vec<_>>(), ["zeta", "alpha"]);
    let (zeta, alpha) = (&jobs[0], &jobs[1]);
    let branch = &zeta.branches[0];
    assert_eq!(branch.source.as_str(), "tank/data");
    assert!(zeta.snapshot.as_ref().is_some_and(|snapshot| snapshot.if_changed));
    assert_eq!(zeta.limit, Some(Duration::from_secs(6 * 3600)));
    assert_eq!(zeta.hooks.timeout, Duration::from_secs(10));
    assert_eq!(zeta.hooks.command(When::PreSnapshot).unwrap().args, ["my db"]);
    let push = &branch.targets[0];
    assert_eq!((push.channels, push.faults.retries, push.ends.target.link.ssh.port), (8, 2, Some(2222)));
    assert!(push.skip_empty && !alpha.branches[0].targets[0].skip_empty);
    assert_eq!(push.ends.target.link.ssh.options, ["Compression=no"]);
    assert_eq!(push.ends.target.link.helper.to_string(), "zfsync recv --stdio --allow packages");
    assert_eq!(branch.prune_targets.len(), 2);
    assert_eq!(branch.prune_targets[0].rules.last, Some(3));
    assert!(branch.prune.as_ref().unwrap().rules.classes.is_some(), "from the defaults");
    assert!(alpha.snapshot.is_none());
    let rules = &alpha.branches[1].prune.as_ref().unwrap().rules;
    assert_eq!((rules.last, &rules.classes), (Some(5), &None), "its own rules alone");
    let targets: Vec<String> = alpha.branches.iter().map(|branch| branch.targets[0].ends.target.to_string()).collect();
    assert_eq!(targets, ["b:pool/x/a", "b:pool/x/b"]);
    assert_eq!(alpha.branches[0].targets[0].filter.depth(), Some(0));
    assert_eq!(alpha.branches[0].targets[0].faults.retries, 0);
    assert!(alpha.branches[0].targets[0].pace.is_none());
}

#[test]
fn all_pushes_of_a_job_have_one_limit() {
    let text = "[job.a]\nsources = ['p/a', 'p/b']\ntargets = ['b:q', 'c:q']\nbwlimit = '50M'\n[job.b]\nsource = 'p/c'\ntargets = ['b:c']\n";
    let jobs = parsed(&format!("[defaults]\nbwlimit = '1 MB/s'\n{text}")).unwrap();
    let paces = |job: &CronJob| -> Vec<_> {
        let pushes = job.branches.iter().flat_map(|branch| &branch.targets);
        pushes.map(|push| push.pace.clone().unwrap()).collect()
    };
    let (own, default) = (paces(&jobs[0]), paces(&jobs[1]));
    assert_eq!((own.len(), own[0].per_second().get()), (4, 50 << 20));
    assert!(own.iter().all(|pace| std::sync::Arc::ptr_eq(pace, &own[0])));
    assert_eq!((default.len(), default[0].per_second().get()), (1, 1_000_000));
}

#[test]
fn what_another_host_sends_is_taken_apart_unless_it_is_trusted() {
    let helper = |more: &str| {
        let text =
            format!("[job.a]\nsource = 'h:tank/data'\ntargets = ['b:pool/data']\nsnapshot.enabled = false\n{more}");
        parsed(&text).unwrap()[0].branches[0].targets[0].ends.target.link.helper.to_string()
    };
    assert_eq!(helper(""), "zfsync recv --stdio");
    assert_eq!(helper("trust-source = true\n"), "zfsync recv --stdio --allow packages");
}

#[test]
fn what_it_would_do_in_plain_words() {
    let text = crate::report::view::jobs::text(&parsed(GOOD).unwrap());
    let local = parsed("[job.a]\nsource = 'h:p/a'\ntargets = ['backup']\nsnapshot.enabled = false").unwrap();
    let local = crate::report::view::jobs::text(&local);
    assert!(local.contains(", to the pool backup on this machine, 4 streams"), "{local}");
    for words in [
        "with some of the datasets below, skipping snapshots without changes, to usb/data on this machine, 8 streams",
        "zeta\n  takes snapshots named %Y-%m-%d (UTC), if something was written",
        "replicates tank/data, with some of the datasets below, skipping snapshots without changes, to backup:pool/data, 8 streams",
        "prunes tank/data: keeps the newest 1 of class S, 4 of M, 3 of H and 2 of D\n",
        "prunes its targets: keeps the newest 3, the newest of each of 24 hours, 7 days (UTC)\n",
        "pre-snapshot hook: /bin/freeze 'my db' (10 s at most)",
        "logs all events to /var/log/z.log, as JSON lines\n  saves the last results in /var/lib/zfsync\n",
        "is stopped after 6 h\n\nalpha\n  takes no snapshots\n  replicates tank/a, alone, to b:pool/x/a",
        "prunes nothing on its targets",
    ] {
        assert!(text.contains(words), "{words}\nin {text}");
    }
}

#[test]
fn nothing_is_thinned_without_rules() {
    let jobs = parsed("[job.a]\nsource = 'p/a'\ntargets = ['b:q']").unwrap();
    let branch = &jobs[0].branches[0];
    assert!(branch.prune.is_none() && branch.prune_targets.is_empty());
    assert_eq!(branch.targets[0].faults, super::super::Faults::default());
}

#[test]
fn a_grace_in_the_defaults_is_for_the_jobs_that_delete() {
    let text = |more: &str| {
        format!("[defaults]\ngrace = '1d'\nmax-delete = 5\n{more}[job.a]\nsource = 'p/a'\ntargets = ['b:q']\n")
    };
    assert!(parsed(&text("")).is_ok());
    let own = text("delete-missing = 'both'\n") + "grace = '2d'\n";
    let jobs = parsed(&own).unwrap();
    let missing = &jobs[0].branches[0].targets[0].missing;
    assert_eq!((missing.grace, missing.snapshots), (Duration::from_secs(2 * 24 * 3600), true));
}

#[test]
fn no_time_needs_neither_unit_nor_quotes() {
    for zero in ["0", "'0'", "'0s'"] {
        let more = format!("delete-missing = 'both'\ngrace = {zero}\nstall-timeout = {zero}\n");
        let jobs = parsed(&format!("[job.a]\nsource = 'p/a'\ntargets = ['b:q']\n{more}")).unwrap();
        let target = &jobs[0].branches[0].targets[0];
        assert_eq!((target.missing.grace, target.faults.stall_timeout), (Duration::ZERO, None));
    }
    for (seven, words) in [
        ("7", "job a: 7: 7 has no unit: is it 7s, or 7d? The units are"),
        ("'7'", "job a: \"7\": 7 has no unit: is it 7s, or 7d? The units are"),
        ("7.5", "job a: expected text in quotes\n"),
    ] {
        expect_error(&format!("[job.a]\nsource = 'p/a'\nstall-timeout = {seven}\n"), "/etc/z.toml:3: job a: ", words);
    }
}

/// The message for a text begins with its place, and has these words.
#[track_caller]
fn expect_error(text: &str, place: &str, words: &str) {
    let said = error(text);
    assert!(said.starts_with(place) && said.contains(words), "{text}\nsays {said}\nnot {place}{words}");
    assert!(matches!(said.lines().count(), 1 | 4), "{said}");
}

#[test]
fn keys_and_tables_that_are_unknown_or_there_twice() {
    let job = |lines: &str| format!("[job.a]\nsource = 'p/a'\ntargets = ['b:q']\n{lines}\n");
    for (text, place, words) in [
        (job("sorce = 'x'"), "/etc/z.toml:4: job a: ", "unknown key \"sorce\" in [job.a]: did you mean \"source\"?"),
        (job("zzz = 1"), "/etc/z.toml:4: job a: ", "unknown key \"zzz\" in [job.a]\n  |\n4 | zzz = 1\n  | ^^^"),
        (job("[job.a.keep]\ngrids = '1h'"), "/etc/z.toml:5: job a: ", "did you mean \"grid\"?"),
        (job("[job.a.snapshot]\nif_changed = true"), "/etc/z.toml:5: job a: ", "did you mean \"if-changed\"?"),
        (job("[job.a.ssh]\nidentify = 'x'"), "/etc/z.toml:5: job a: ", "did you mean \"identity\"?"),
        (job("ssh.prt = 22"), "/etc/z.toml:4: job a: ", "did you mean \"port\"?"),
        (job("keep = { lost = 1 }"), "/etc/z.toml:4: job a: ", "did you mean \"last\"?"),
        (job("[job.a.keep-targets]\nclass = 'd=1'"), "/etc/z.toml:5: job a: ", "did you mean \"classes\"?"),
        (
            job("[job.a.keep.more]\nx = 1"),
            "/etc/z.toml:4: job a: ",
            "unknown table [job.a.keep.more] (the keys here: classes, last, grid)",
        ),
        ("[defaults]\nskip-emty = true".into(), "/etc/z.toml:2: ", "did you mean \"skip-empty\"?"),
        (
            "[defaults.ssh]\nx = 1\n[job.a]".into(),
            "/etc/z.toml:2: ",
            "unknown key \"x\" in [defaults.ssh] (the keys here: port, ",
        ),
        ("[defaults.snapshot]\nformatt = 'x'".into(), "/etc/z.toml:2: ", "did you mean \"format\"?"),
        ("[default]\nretries = 1".into(), "/etc/z.toml:1: ", "unknown table [default]: did you mean \"defaults\"?"),
        ("[jobs.x]\nsource = 'p/a'".into(), "/etc/z.toml:1: ", "unknown table [jobs.x]: did you mean \"job\"?"),
        (
            "source = 'p/a'".into(),
            "/etc/z.toml:1: ",
            "unknown key \"source\": keys belong below [defaults] or [job.NAME]\n",
        ),
        (
            job("[job.a]\nretries = 1"),
            "/etc/z.toml:4: job a: ",
            "duplicate table [job.a]: write all of its keys below one",
        ),
        (job("[job.a.ssh]\nport = 1\nport = 2"), "/etc/z.toml:6: job a: ", "duplicate key port in [job.a.ssh]: "),
        (job("source = 'p/b'"), "/etc/z.toml:4: job a: ", "duplicate key source in [job.a]: write it once\n"),
    ] {
        expect_error(&text, place, words);
    }
}

#[test]
fn no_error_is_in_the_words_of_the_parser() {
    let job = |lines: &str| format!("[job.a]\nsource = 'p/a'\ntargets = ['b:q']\n{lines}\n");
    for (text, place, words) in [
        (
            job("delete-missing = 'x'"),
            "/etc/z.toml:4: job a: ",
            "job a: expected \"datasets\" or \"snapshots\" or \"both\"\n",
        ),
        (
            job("max-delete = 1.5"),
            "/etc/z.toml:4: job a: ",
            "job a: expected a number, or a percentage in quotes: 100 or \"30%\"\n",
        ),
        (
            job("max-delete = -1"),
            "/etc/z.toml:4: job a: ",
            "job a: expected a number, or a percentage in quotes: 100 or \"30%\"\n",
        ),
        (job("max-delete = '101%'"), "/etc/z.toml:4: job a: ", "neither a number nor a percentage"),
        (job("pre-push = 1"), "/etc/z.toml:4: job a: ", "job a: expected a command, a list of its words, or { command"),
        (job("channels = 'x'"), "/etc/z.toml:4: job a: ", "job a: expected a whole number from 1 to 64\n"),
        (job("grace = "), "/etc/z.toml:4: job a: ", "job a: expected a value: true, false, a number"),
        (job("grace = '1d"), "/etc/z.toml:4: job a: ", "job a: the text has no closing quote '\n"),
        (job("grace = \"1d"), "/etc/z.toml:4: job a: ", "job a: the text has no closing quote \"\n"),
        (
            job("log = \"\\q\""),
            "/etc/z.toml:4: job a: ",
            "job a: a backslash stands for itself only in '...', or doubled: \\\\\n",
        ),
        (job("depth = 01"), "/etc/z.toml:4: job a: ", "job a: a number can't begin with 0\n"),
        (job("= 1"), "/etc/z.toml:4: job a: ", "job a: expected KEY = VALUE\n"),
        (job("depth"), "/etc/z.toml:4: job a: ", "job a: expected KEY = VALUE\n"),
    ] {
        expect_error(&text, place, words);
    }
}

#[test]
fn errors_name_file_line_and_job() {
    let job = |lines: &str| format!("[job.a]\nsource = 'p/a'\ntargets = ['b:q']\n{lines}\n");
    for (text, place, words) in [
        (
            "[job.a]\ntargets = 'x:y'".into(),
            "/etc/z.toml:2: job a: ",
            "expected a list: [\"x:y\"]\n  |\n2 | targets = 'x:y'\n  |           ^^^^^",
        ),
        (job("skip-empty = tank"), "/etc/z.toml:4: job a: ", "expected true, false, or text in quotes"),
        (job("log = 'ä' # ö\nretries = 'ü'"), "/etc/z.toml:5: job a: ", "\n5 | retries = 'ü'\n  |           ^^^"),
        (job("retries = 'x'"), "/etc/z.toml:4: job a: ", "expected a whole number, 0 or more\n"),
        (job("retries = -1"), "/etc/z.toml:4: job a: ", "expected a whole number, 0 or more\n"),
        (job("depth = 1.5"), "/etc/z.toml:4: job a: ", "expected a whole number, 0 or more\n"),
        (job("ssh.port = 70000"), "/etc/z.toml:4: job a: ", "expected a whole number from 1 to 65535\n"),
        (job("keep = '24h,7d'"), "/etc/z.toml:4: job a: ", "job a: expected a table: keep = { grid = \"24h,7d\" }\n"),
        (job("keep-targets = 7"), "/etc/z.toml:4: job a: ", "job a: expected a table: keep = { grid = \"24h,7d\" }\n"),
        (
            job("snapshot = false"),
            "/etc/z.toml:4: job a: ",
            "job a: expected a table: snapshot = { enabled = false }\n",
        ),
        (job("ssh = 22"), "/etc/z.toml:4: job a: ", "job a: expected a table: ssh = { port = 2222 }\n"),
        (job("delete-missing = true"), "/etc/z.toml:4: job a: ", "job a: expected text in quotes\n"),
        (job("source-ssh.identity = 1"), "/etc/z.toml:4: job a: ", "job a: expected text in quotes\n"),
        (job("recursive = 'no'"), "/etc/z.toml:4: job a: ", "job a: expected true or false\n"),
        ("defaults = 1".into(), "/etc/z.toml:1: ", "expected a table: [defaults] or [job.NAME]"),
        ("job = 'a'".into(), "/etc/z.toml:1: ", "expected a table\n"),
        (job("grace = '1d'"), "/etc/z.toml:1: job a: ", "grace needs delete-missing"),
        (job("max-delete = 5"), "/etc/z.toml:1: job a: ", "max-delete needs delete-missing"),
        (job("channels = 65"), "/etc/z.toml:4: job a: ", "65 is not in the range from 1 to 64"),
        (job("bwlimit = '0'"), "/etc/z.toml:4: job a: ", "leave the limit out"),
        (job("bwlimit = '5 Mbit/s'"), "/etc/z.toml:4: job a: ", "in bytes, not in bits"),
        (job("bwlimit = 5"), "/etc/z.toml:4: job a: ", "expected text in quotes"),
        (job("ssh.port = 0"), "/etc/z.toml:4: job a: ", "0"),
        (
            job("stall-timeout = '5x'"),
            "/etc/z.toml:4: job a: ",
            "\"5x\": expected a number and a unit (s, min, h, d or w), such as 90s",
        ),
        (job("job-timeout = '1 month'"), "/etc/z.toml:4: job a: ", "\"1 month\": months and years differ"),
        (job("job-timeout = '0'"), "/etc/z.toml:1: job a: ", "job-timeout must be"),
        (job("log-format = 'xml'"), "/etc/z.toml:4: job a: ", "job a: expected \"text\" or \"json\"\n"),
        (job("log-format = 'json'"), "/etc/z.toml:1: job a: ", "log is missing"),
        (job("hook-timeout = '0s'"), "/etc/z.toml:1: job a: ", "hook-timeout must be"),
        (job("pre-push = \"it's\""), "/etc/z.toml:4: job a: ", "is not a valid command"),
        (job("snapshot.format = 'x'"), "/etc/z.toml:4: job a: ", "is not a valid format"),
        (job("keep.grid = '3x'"), "/etc/z.toml:4: job a: ", "each part must be a number"),
        (job("keep.classes = 'x=1'"), "/etc/z.toml:4: job a: ", "the classes are"),
        (job("[job.a.keep]"), "/etc/z.toml:1: job a: ", "no retention rule in keep"),
        (job("include = ['[']"), "/etc/z.toml:1: job a: ", "--include"),
        (job("exclude = ['p/a/b']"), "/etc/z.toml:1: job a: ", "globs are relative to p/a: did you mean \"b\"?"),
        (job("sources = ['p/b']"), "/etc/z.toml:1: job a: ", "give either source or sources"),
        (job("x = "), "/etc/z.toml:4: job a: ", ""),
        (job("[job.b]\ntargets = ['b:q']"), "/etc/z.toml:4: job b: ", "source is missing"),
        (
            job("[job.b]\nsource = 'p/b'\ntargets = ['b:q']"),
            "/etc/z.toml:4: job b: ",
            "job a already has the target b:q",
        ),
        (
            "[job.a]\nsource = 'h:p/a'\ntargets = ['q/a']\n[job.b]\nsource = 'i:p/a'\ntargets = ['q/a']".into(),
            "/etc/z.toml:4: job b: ",
            "job a already has the target q/a",
        ),
        ("[job.a]\nsource = 'h:'".into(), "/etc/z.toml:2: job a: ", "has no dataset after the ':'"),
        ("[job.a]\nsources = ['h:p/a', 'p/b']".into(), "/etc/z.toml:1: job a: ", "must be on the same host"),
        (
            "[job.a]\nsource = 'h:p/a'\ntargets = ['i:q/a']\nssh.port = 22".into(),
            "/etc/z.toml:1: job a: ",
            "-p is ambiguous with SOURCE and TARGET",
        ),
        (
            "[job.a]\nsource = 'h:p/a'\ntargets = ['i:q/a', 'j:q/a']\ndirect = true\nbwlimit = '1M'".into(),
            "/etc/z.toml:1: job a: ",
            "use a job for each target",
        ),
        ("[job.a]\nsource = 'p/a'\ntargets = ['b:q', '@']".into(), "/etc/z.toml:3: job a: ", ""),
        ("[job.a]\nsource = 'p/a'\ntargets = ['p/a/b']".into(), "/etc/z.toml:1: job a: ", "overlap"),
        ("[job.a]\nsource = 'p/a'\ntargets = ['b:q', 'b:q']".into(), "/etc/z.toml:1: job a: ", "is listed twice"),
        ("[job.a]\nsource = 'p/a'\ntargets = ['b:q', 'root@b:q']".into(), "/etc/z.toml:1: job a: ", "is listed twice"),
        (
            "[job.a]\nsource = 'p/a'\ntargets = ['b:q/x', 'b:q']".into(),
            "/etc/z.toml:1: job a: ",
            "the targets b:q/x and b:q overlap",
        ),
        ("[job.a]\nsources = []".into(), "/etc/z.toml:1: job a: ", "sources is empty"),
        ("[job.a]\nsources = ['p/a', 'p/a/b']".into(), "/etc/z.toml:1: job a: ", "overlap"),
        (
            "[job.a]\nsources = ['p/a', 'q/a']\ntargets = ['b:z']".into(),
            "/etc/z.toml:1: job a: ",
            "end in the same component",
        ),
        ("[job.\"a b\"]\nsource = 'p/a'".into(), "/etc/z.toml:1: job a b: ", "may only contain letters"),
        (String::new(), "/etc/z.toml: ", "no job is defined"),
        ("[job.a\n".into(), "/etc/z.toml:1: ", ""),
    ] {
        expect_error(&text, place, words);
    }
}

#[test]
fn all_jobs_errors_are_told() {
    let said = error("[job.a]\ntargets = []\n[job.b]\n[job.c]\nsource = 'p/a'");
    assert!(said.starts_with("/etc/z.toml:1: job a") && said.contains("\n/etc/z.toml:3: job b"), "{said}");
}

#[test]
fn jobs_are_chosen_by_name() {
    let jobs = || parsed(GOOD).unwrap();
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let chosen = choose(jobs(), &names(&["alpha", "zeta", "alpha"])).unwrap();
    assert_eq!(chosen.iter().map(CronJob::label).collect::<Vec<_>>(), ["zeta", "alpha"]);
    assert_eq!(choose(jobs(), &[]).unwrap().len(), 2);
    let error = choose(jobs(), &names(&["alpa"])).unwrap_err();
    assert_eq!(error.exit(), crate::error::Exit::Usage);
    let words = error.to_string();
    assert!(words.contains("did you mean \"alpha\"?") && words.contains("(jobs: zeta, alpha)"), "{words}");
}

#[test]
fn a_path_is_no_jobs_name() {
    for path in ["/nope", "z.toml", "./z"] {
        let error = super::jobs(Path::new("/nowhere/z.toml"), &[path.to_owned()]).unwrap_err();
        assert_eq!(error.exit(), crate::error::Exit::Usage);
        let words = format!("to name the configuration file, use --config {path}");
        assert!(error.to_string().contains(&words), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_odd(text in "(\\[job\\.a\\]\n)?(\\PC|\n|[\\[\\]='\"a.])*") {
        drop(parsed(&text));
    }
}

#[test]
fn a_job_says_where_the_helper_is_taken_from() {
    let helper = |line: &str| {
        let text = format!("[job.a]\nsource = \"p/a\"\ntargets = [\"b:q/a\"]\n[job.a.ssh]\n{line}\n");
        parsed(&text).map(|jobs| jobs[0].branches[0].targets[0].ends.target.link.helper.clone())
    };
    let sent = helper("helper = \"ship\"").unwrap();
    assert!(sent.installed.is_none() && sent.sent.is_some_and(|words| words.starts_with("recv --stdio")));
    assert!(helper("helper = \"installed\"").unwrap().sent.is_none());
    assert!(helper("").unwrap().installed.is_some());
    let words = helper("helper = \"no\"").unwrap_err().concat();
    assert!(words.contains("it must be \"auto\", \"installed\", \"ship\" or \"plain\""), "{words}");
}

#[test]
fn the_unit_calls_a_command_that_there_is() {
    let unit = include_str!("../../dist/systemd/zfsync@.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<String> = line.split(' ').map(|word| word.replace("%i", "data")).collect();
    assert_eq!(words[0], "/usr/local/bin/zfsync");
    let matches = cli::command().try_get_matches_from(&words).unwrap();
    let (name, args) = matches.subcommand().unwrap();
    assert_eq!(name, "run");
    assert_eq!(args.get_many::<String>("jobs").unwrap().collect::<Vec<_>>(), ["data"]);
}

#[test]
fn the_way_to_the_source_is_completed_by_the_defaults() {
    let jobs = parsed(
        "[defaults.source-ssh]\nport = 2222\nremote-zfsync = '/opt/z'\n[job.a]\nsource = 'h:p/a'\ntargets = ['q/a']\n\
         source-ssh.port = 22\n[job.b]\nsource = 'h:p/b'\n",
    )
    .unwrap();
    let ways: Vec<_> =
        jobs.iter().map(|job| (job.origin.ssh.port, job.origin.helper.to_string().starts_with("/opt/z "))).collect();
    assert_eq!(ways, [(Some(22), true), (Some(2222), true)]);
    // Sources of one name on two hosts have locks of their own.
    assert_eq!(jobs[0].branches[0].targets[0].ends.source.key(), "h:p/a -p 22");
}
