//! Runs as their events, and what is in the folder afterwards.

use std::future::{Future, pending, ready};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::error::Signal;
use crate::remote::link::{End, Link};
use crate::report::fake;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Keeps the notices.
#[derive(Default)]
struct Notices(Vec<String>);

impl Reporter for Notices {
    fn event(&mut self, event: &Event) {
        if let Event::Notice { text, .. } | Event::Problem { text } = event {
            self.0.push(text.clone());
        }
    }
}

struct Bed {
    dir: tempfile::TempDir,
    ends: Ends,
}

type Results<'a> = &'a [(&'a str, LastResult, bool)];

impl Bed {
    fn new() -> Self {
        let end = |name: &str| End { link: Link::default(), dataset: name.parse().unwrap() };
        Self { dir: tempfile::tempdir().unwrap(), ends: Ends { source: end("p"), target: end("q") } }
    }

    /// A run that gets to these ends; what it complains of.
    fn run(&self, results: Results<'_>, exit: Exit) -> Vec<String> {
        self.meanwhile(results, exit, || {})
    }

    /// The same; something happens before the first end.
    fn meanwhile(&self, results: Results<'_>, exit: Exit, happens: impl FnOnce()) -> Vec<String> {
        let mut notices = Notices::default();
        let mut recorder = self.recorder(&mut notices);
        recorder.event(&fake::planned(1));
        happens();
        for (dataset, result, updated) in results {
            if *updated {
                recorder.event(&fake::done(1, dataset, 100));
                recorder.event(&fake::done(2, dataset, 20));
            }
            let error = matches!(result, LastResult::Failed | LastResult::Conflict).then_some("all\nwords");
            let newest = (*result == LastResult::InSync).then_some("s9");
            recorder.ended(&DatasetEnd { dataset, target: "q/x", result: *result, updated: *updated, error, newest });
        }
        recorder.event(&Event::Finished(Summary { datasets: results.len(), ..Summary::default() }));
        wait(recorder.finish(Ok(exit), pending()));
        notices.0
    }

    fn recorder<'a>(&self, shown: &'a mut Notices) -> Recorder<'a> {
        wait(Recorder::new(self.dir.path(), &self.ends, shown)).unwrap()
    }

    fn not_tried(&self, why: &str) {
        let all = [(self.dir.path(), &self.ends)];
        let failed = wait(async { Untried::default().note(all, Exit::NotStarted, why).await.len() });
        assert_eq!(failed, 0);
    }

    fn folder(&self) -> Folder {
        Folder::at(self.dir.path(), "q")
    }

    fn file(&self, dataset: &str) -> DatasetFile {
        self.folder().dataset(dataset).unwrap()
    }

    fn last_run(&self) -> RunFile {
        self.folder().run().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder().path().join(name)
    }

    /// Makes a file an old one; whether it was written since then tells [`Bed::written`].
    fn age(&self, name: &str) {
        let file = std::fs::File::options().append(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    fn written(&self, name: &str) -> bool {
        let time = std::fs::metadata(self.path(name)).unwrap().modified().unwrap();
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap() > Duration::from_secs(1)
    }

    /// As if the last success had been long ago.
    fn backdate(&self, dataset: &str) {
        let mut file = self.file(dataset);
        file.last_success = Some("2001-01-01T00:00:00Z".into());
        self.folder().write_dataset(&file).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder().path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

use LastResult::{Conflict, Failed, InSync, Interrupted, NoSnapshots};

#[test]
fn every_end_has_its_file() {
    let bed = Bed::new();
    let ends = [("p", InSync, false), ("p/a", InSync, true), ("p/c", Conflict, false), ("p/n", NoSnapshots, false)];
    assert_eq!(bed.run(&ends, Exit::Failed), [] as [&str; 0]);
    assert_eq!(bed.names(), ["p%2Fa.json", "p%2Fc.json", "p%2Fn.json", "p.json", "run.json"]);
    let file = bed.file("p/a");
    assert_eq!((file.result, file.snapshots, file.bytes, file.newest.as_deref()), (InSync, 4, 120, Some("s9")));
    assert_eq!((&file.source[..], &file.target[..], &file.target_dataset[..]), ("p", "q", "q/x"));
    assert_eq!(file.last_success.as_ref(), Some(&file.time));
    let file = bed.file("p/c");
    assert_eq!((file.result, file.error.as_deref(), &file.last_success), (Conflict, Some("all\nwords"), &None));
    let run = bed.last_run();
    assert_eq!((run.exit_code, &run.error, run.counts.as_ref().unwrap().datasets), (1, &None, 4));
    assert_eq!(
        run.not_in_sync.into_iter().collect::<Vec<_>>(),
        [("p/c".into(), Conflict), ("p/n".into(), NoSnapshots)]
    );
    assert_eq!(run.confirmed, Some(run.ended));
}

#[test]
fn what_is_written_of_very_many_can_be_read() {
    let bed = Bed::new();
    let folder = bed.folder();
    folder.make().unwrap();
    let names = || (0..100_000).map(|number| format!("{number:0>255}"));
    let run = RunFile {
        not_in_sync: names().map(|name| (name, Interrupted)).collect(),
        not_looked_at: names().collect(),
        ..RunFile::default()
    };
    folder.write_run(&run).unwrap();
    assert!(folder.run().as_ref() == Some(&run));
}

#[test]
fn nothing_to_do_writes_nothing() {
    let bed = Bed::new();
    let ends = [("p", InSync, true), ("p/a", InSync, false), ("p/n", NoSnapshots, false), ("p/f", Failed, false)];
    bed.run(&ends, Exit::Failed);
    let all = ["p.json", "p%2Fa.json", "p%2Fn.json", "p%2Ff.json", "run.json"];
    for name in all {
        bed.age(name);
    }
    bed.run(
        &[("p", InSync, false), ("p/a", InSync, false), ("p/n", NoSnapshots, false), ("p/f", InSync, false)],
        Exit::InSync,
    );
    assert_eq!(all.map(|name| bed.written(name)), [false, false, false, true, true]);
    assert_eq!((bed.last_run().not_in_sync.len(), bed.file("p/f").error), (1, None));
    bed.age("p.json");
    bed.run(&[("p", InSync, true), ("p/n", InSync, false)], Exit::InSync);
    assert!(bed.written("p.json") && bed.written("p%2Fn.json"));
}

#[test]
fn the_last_success_is_carried_over() {
    let bed = Bed::new();
    bed.run(&[("p", InSync, true), ("p/a", InSync, true)], Exit::InSync);
    bed.backdate("p");
    bed.backdate("p/a");
    // In sync with nothing to do: its file is as old as it was, the run confirms it.
    bed.run(&[("p", InSync, false)], Exit::InSync);
    assert_eq!(bed.last_run().not_looked_at.into_iter().collect::<Vec<_>>(), ["p/a"]);
    let confirmed = bed.last_run().confirmed;
    bed.run(&[("p", Failed, false), ("p/a", Interrupted, false)], Exit::Failed);
    assert_eq!(bed.file("p").last_success, confirmed);
    assert_eq!(bed.file("p/a").last_success.as_deref(), Some("2001-01-01T00:00:00Z"));
    assert_eq!(bed.file("p").newest.as_deref(), Some("s9"), "still there");
    bed.run(&[("p", Conflict, false)], Exit::Failed);
    assert_eq!((bed.file("p").last_success, bed.file("p").newest), (confirmed, None));
    let run = bed.last_run();
    assert_eq!(run.not_in_sync.get("p/a"), Some(&Interrupted), "what was not looked at stays");
}

#[test]
fn a_run_that_did_not_start_leaves_the_datasets_alone() {
    let bed = Bed::new();
    bed.run(&[("p", InSync, true), ("p/a", Failed, false)], Exit::Failed);
    let before = bed.last_run();
    for (error, code) in [
        (StartError::NoZfsHere { target: None }, 3),
        (StartError::Interrupted(Signal::Terminate), 143),
        (StartError::LockedThere { host: "h".into(), target: "q".into(), holder: "x".into() }, 4),
    ] {
        let words = error.to_string();
        let mut notices = Notices::default();
        wait(bed.recorder(&mut notices).finish(Err(&error), pending()));
        let run = bed.last_run();
        assert_eq!((run.exit_code, run.error.as_deref(), &run.counts), (code, Some(&words[..]), &None));
        assert_eq!((run.confirmed, run.not_in_sync), (before.confirmed.clone(), before.not_in_sync.clone()));
    }
    // The run that has the lock keeps its own record.
    let locked = StartError::Locked { target: "q".into(), holder: "x".into() };
    wait(bed.recorder(&mut Notices::default()).finish(Err(&locked), pending()));
    assert!(!bed.last_run().error.unwrap().contains("already works on q:"));
    bed.not_tried("no list");
    let run = bed.last_run();
    assert_eq!((run.exit_code, run.error.as_deref(), run.not_in_sync), (3, Some("no list"), before.not_in_sync));
}

#[test]
fn after_a_killed_run_the_files_are_read() {
    let bed = Bed::new();
    bed.run(&[("p", InSync, true), ("p/a", InSync, true)], Exit::InSync);
    // Killed: run.json is that of the run before.
    let before = bed.last_run();
    bed.run(&[("p", InSync, false), ("p/a", Failed, true)], Exit::Failed);
    bed.folder().write_run(&before).unwrap();
    bed.folder().begin().unwrap();
    std::fs::write(bed.path(".x.tmp"), "{\"half").unwrap();
    bed.age("p.json");
    bed.run(&[("p", InSync, false), ("p/a", InSync, false)], Exit::InSync);
    assert_eq!(bed.file("p/a").result, InSync);
    assert!(!bed.written("p.json"));
    assert_eq!(bed.names(), ["p%2Fa.json", "p.json", "run.json"]);
    // What the disk may have lost in a power cut.
    std::fs::write(bed.path("p.json"), "").unwrap();
    bed.folder().write_run(&RunFile { boot_id: BootId::new("another"), ..bed.last_run() }).unwrap();
    bed.run(&[("p/a", InSync, false)], Exit::InSync);
    bed.run(&[("p", InSync, false), ("p/a", InSync, false)], Exit::InSync);
    assert_eq!((bed.file("p").result, bed.names().len()), (InSync, 3));
    // Nor is a run trusted that does not know when it was.
    std::fs::write(bed.path("p.json"), "").unwrap();
    bed.folder().write_run(&RunFile { boot_id: BootId::default(), ..bed.last_run() }).unwrap();
    bed.run(&[("p", InSync, false), ("p/a", InSync, false)], Exit::InSync);
    assert_eq!(bed.file("p").result, InSync);
    // A run.json that is gone.
    std::fs::remove_file(bed.path("run.json")).unwrap();
    bed.run(&[("p/a", Failed, false)], Exit::Failed);
    std::fs::remove_file(bed.path("run.json")).unwrap();
    bed.run(&[("p", InSync, false)], Exit::InSync);
    assert_eq!(bed.last_run().not_in_sync.get("p/a"), Some(&Failed));
}

#[test]
fn a_folder_that_breaks_is_told_once_and_stops_nothing() {
    let bed = Bed::new();
    std::fs::write(bed.dir.path().join("file"), "").unwrap();
    let error = wait(check(&bed.dir.path().join("file"), "q")).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.to_string().starts_with("can't use the state directory "), "{error}");
    bed.run(&[("p", InSync, true)], Exit::InSync);
    let ends = [("p", Failed, false), ("p/a", InSync, true)];
    let told = bed.meanwhile(&ends, Exit::Failed, || std::fs::remove_dir_all(bed.folder().path()).unwrap());
    assert!(!told.is_empty() && told.iter().all(|text| text.contains("the push is not affected")), "{told:?}");
    assert!(told.len() <= 2, "{told:?}");
}

#[test]
fn a_folder_that_hangs_holds_up_no_run() {
    let bed = Bed::new();
    bed.run(&[("p", InSync, true)], Exit::InSync);
    let (go, gate) = mpsc::channel::<()>();
    let mut notices = Notices::default();
    let mut recorder = bed.recorder(&mut notices);
    recorder.event(&fake::planned(1));
    recorder.thread.put(move |_| gate.recv().is_ok());
    recorder.ended(&DatasetEnd {
        dataset: "p",
        target: "q/x",
        result: Failed,
        updated: false,
        error: Some("words"),
        newest: None,
    });
    let thread = recorder.thread.clone();
    wait(recorder.finish(Ok(Exit::Failed), ready(())));
    assert!(notices.0.len() == 1 && notices.0[0].contains("a signal ended the wait"), "{:?}", notices.0);
    assert_eq!(bed.file("p").result, InSync);
    // What was given to it is written when it goes on.
    go.send(()).unwrap();
    wait(thread.ask(|_| ())).unwrap();
    assert_eq!((bed.file("p").result, bed.last_run().exit_code), (Failed, Exit::Failed.code()));
}

#[test]
fn what_a_status_reads() {
    let bed = Bed::new();
    assert_eq!(Remembered::of(bed.dir.path(), "q").run(), None);
    bed.run(&[("p", InSync, true), ("p/a", Failed, false), ("p/b", InSync, true)], Exit::Failed);
    bed.backdate("p");
    bed.backdate("p/b");
    bed.run(&[("p", InSync, false), ("p/a", Failed, false)], Exit::Failed);
    let remembered = Remembered::of(bed.dir.path(), "q");
    let run = remembered.run().unwrap();
    assert_eq!((run.exit_code, run.error), (1, None));
    let last = remembered.dataset("p").unwrap();
    assert_eq!((last.result, last.time, last.success), (InSync, run.ended, run.ended), "confirmed by the last run");
    let last = remembered.dataset("p/a").unwrap();
    assert_eq!((last.error.as_deref(), last.success), (Some("all\nwords"), None));
    assert_eq!(remembered.dataset("p/b").unwrap().success, Some(978_307_200), "not looked at since then");
    assert_eq!(remembered.dataset("p/none"), None);
}

#[test]
fn files_are_as_the_schema_says() {
    let bed = Bed::new();
    let results = [
        ("p", LastResult::InSync, true),
        ("p/a", LastResult::Failed, true),
        ("p/b", LastResult::Conflict, false),
        ("p/c", LastResult::Skipped, false),
        ("p/d", LastResult::NoSnapshots, false),
        ("p/e", LastResult::Interrupted, false),
    ];
    bed.run(&results, Exit::Failed);
    let read = |name: &str| serde_json::from_slice(&std::fs::read(bed.path(name)).unwrap()).unwrap();
    let stems = ["p", "p%2Fa", "p%2Fb", "p%2Fc", "p%2Fd", "p%2Fe"];
    crate::schema::cover("dataset_result", &stems.map(|stem| read(&format!("{stem}.json"))));
    let first = read("run.json");
    bed.run(&results[..1], Exit::InSync);
    let second = read("run.json");
    bed.not_tried("why");
    crate::schema::cover("run_result", &[first, second, read("run.json")]);
}
