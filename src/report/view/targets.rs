//! What is told of the targets that SOURCE is known to have.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::View;
use crate::format::{about, count, sanitise};
use crate::plan::{Arrived, Registered};
use crate::report::Versioned;
use crate::report::wrap::wrapped;
use zfs::name::DatasetName;

/// So many bookmarks are named unless more is asked for.
const SHOWN: usize = 20;

/// The targets of a dataset.
#[derive(Debug)]
pub struct Targets {
    /// What they are noted on.
    pub source: DatasetName,
    /// The same, with its host, as it is written on this machine.
    pub written: String,
    /// What the source's host is called.
    pub host: String,
    /// The time, in seconds since 1970.
    pub now: i64,
    /// Each of them.
    pub targets: Vec<KnownTarget>,
    /// What is noted above it, with all that lies below: on what (as it is written on this machine), and TARGET.
    pub above: Vec<(String, String)>,
    /// The IDs of those whose records can't be read.
    pub unread: Vec<String>,
    /// Bookmarks of ours that are of none of them: full names.
    pub others: Vec<String>,
}

/// One of them.
#[derive(Debug)]
pub struct KnownTarget {
    /// Which.
    pub target: Registered,
    /// How far it is.
    pub arrived: Arrived,
    /// When the newest was made that has arrived.
    pub date: Option<i64>,
}

/// What became of a target that is to be forgotten.
#[derive(Debug)]
pub struct Forgotten {
    /// What it was noted on.
    pub source: DatasetName,
    /// As it was named.
    pub name: String,
    /// Its note, if there was one that could be read.
    pub target: Option<Registered>,
    /// The property that recorded it, if there was one.
    pub property: Option<String>,
    /// Its bookmarks: full names.
    pub bookmarks: Vec<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// What could not be dropped, in the words of zfs.
    pub failures: Vec<String>,
}

/// A record that can't be read has only its ID.
#[derive(Default, Serialize)]
struct Object<'a> {
    source: &'a str,
    id: &'a str,
    readable: bool,
    target: Option<&'a str>,
    host: Option<&'a str>,
    dataset: Option<&'a str>,
    since: Option<i64>,
    datasets_with: Option<usize>,
    datasets_without: Option<usize>,
    newest_arrived: Option<&'a str>,
    newest_arrived_created: Option<i64>,
}

/// The targets: one object a line, or for people.
#[must_use]
pub fn view(targets: Targets, json: bool) -> View {
    Box::new(move |page, out| {
        if json {
            return targets.json(out);
        }
        let mut text = Vec::new();
        targets.text(&mut text)?;
        out.write_all(wrapped(&String::from_utf8_lossy(&text), page.width).as_bytes())
    })
}

impl Targets {
    /// Writes one object a line.
    fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let source = self.source.as_str();
        for KnownTarget { target, arrived, date } in &self.targets {
            let object = Object {
                source,
                id: &target.id(),
                readable: true,
                target: Some(&target.written),
                host: Some(&target.host),
                dataset: Some(target.dataset.as_str()),
                since: Some(target.since),
                datasets_with: Some(arrived.with),
                datasets_without: Some(arrived.without),
                newest_arrived: arrived.newest.as_ref().map(|(_, name)| name.as_str()),
                newest_arrived_created: *date,
            };
            write_line(&object, out)?;
        }
        for id in &self.unread {
            write_line(&Object { source, id, ..Object::default() }, out)?;
        }
        Ok(())
    }

    /// Writes it for people.
    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        for (on, target) in &self.above {
            let on = sanitise(on);
            writeln!(out, "{}, as recorded on {on}: zfsync targets {on}", sanitise(target))?;
        }
        if self.targets.is_empty() && self.above.is_empty() && self.unread.is_empty() {
            writeln!(out, "no targets are recorded on {}: a push records its own", sanitise(&self.written))?;
        }
        for known in &self.targets {
            self.one(known, out)?;
        }
        for id in &self.unread {
            let (id, source) = (sanitise(id), sanitise(&self.written));
            writeln!(out, "ID {id}: its record can't be read: it is damaged, or a newer version of zfsync made it")?;
            writeln!(
                out,
                "  meanwhile nothing is pruned; a push to this target renews it; to remove it: zfsync forget {source} {id}"
            )?;
        }
        if !self.others.is_empty() {
            writeln!(
                out,
                "{} of targets that are not recorded here, or of former names of renamed datasets: prune keeps what they may need, and a push to such \
                 a target adopts or removes them; if it no longer exists:",
                count(self.others.len(), "bookmark")
            )?;
            for name in self.others.iter().take(SHOWN) {
                writeln!(out, "  zfs destroy {}", shell_words::quote(&sanitise(name)))?;
            }
            if let more @ 1.. = self.others.len().saturating_sub(SHOWN) {
                writeln!(out, "  and {more} more")?;
            }
        }
        Ok(())
    }

    fn one<'a>(
        &'a self,
        KnownTarget { target, arrived, date }: &'a KnownTarget,
        out: &mut impl Write,
    ) -> io::Result<()> {
        // Noted without a host is what is on the source's own.
        let named = |host: &'a str| if host.is_empty() { self.host.as_str() } else { host };
        let age = |then: i64| about(Duration::from_secs(u64::try_from(self.now - then).unwrap_or(0)));
        let ways: Vec<&str> = std::iter::once(&target.host).chain(&target.also).map(|host| named(host)).collect();
        let ways = ways.join(", ");
        writeln!(out, "{}", sanitise(&target.written))?;
        writeln!(out, "  ID {}, on {}, recorded {} ago", target.id(), sanitise(&ways), age(target.since))?;
        let newest = match (&arrived.newest, date) {
            (None, _) => "not known to have received anything".to_owned(),
            (Some((_, name)), None) => format!("newest received: {name}"),
            (Some((_, name)), Some(date)) => format!("newest received: {name}, {} old", age(*date)),
        };
        let received = match (arrived.with, arrived.without) {
            (0, 0) => String::new(),
            (with, 0) => format!("; {} received", count(with, "dataset")),
            (0, without) => format!("; none of {} received", count(without, "dataset")),
            (with, without) => format!("; {with} of {} received", count(with + without, "dataset")),
        };
        writeln!(out, "  {}{received}", sanitise(&newest))
    }
}

fn write_line(object: &Object<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut line = zfs::text::json(serde_json::to_vec(&Versioned::of(object))?);
    line.push(b'\n');
    out.write_all(&line)
}

/// What was dropped.
#[must_use]
pub fn forgotten(forgotten: Forgotten) -> View {
    Box::new(move |_, out| forgotten.text(out))
}

impl Forgotten {
    /// Writes what was dropped.
    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let verb = if self.dry_run { "would be removed" } else { "removed" };
        for name in &self.bookmarks {
            writeln!(out, "bookmark {}", sanitise(name))?;
        }
        if let Some(property) = &self.property {
            writeln!(out, "property {} of {}", sanitise(property), sanitise(self.source.as_str()))?;
        }
        let name = self.target.as_ref().map_or(&self.name, |target| &target.written);
        let what = count(self.bookmarks.len(), "bookmark");
        writeln!(
            out,
            "{}: {what}{} {verb}",
            sanitise(name),
            if self.property.is_some() { " and its record" } else { "" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Given, Registry, Seen};
    use zfs::name::Guid;

    #[test]
    fn a_target_on_the_sources_own_host() {
        let all = Given::default();
        for host in ["this machine", "root@alpha"] {
            let (there, here, dataset) = ("b/t".into(), String::new(), "b/t".parse().unwrap());
            let seen =
                Seen { written: there, host: here, dataset, pool: Guid(7), top: None, now: 1000, selected: &all };
            let target = Registry::default().identify(&seen).target;
            let arrived = Arrived { with: 0, without: 1, newest: None };
            let known = KnownTarget { target, arrived, date: None };
            let (source, written, above, others) = ("t/a".parse().unwrap(), "t/a".into(), Vec::new(), Vec::new());
            let (targets, unread) = (vec![known], Vec::new());
            let shown = Targets { source, written, host: host.into(), now: 1120, targets, above, unread, others };
            let mut text = Vec::new();
            shown.text(&mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains(&format!(", on {host}, recorded 2 min ago")), "{text}");
        }
    }

    #[test]
    fn what_is_told_of_a_target() {
        let all = Given::default();
        let (written, host, dataset) = ("me@beta:b/t".into(), "beta:2222".into(), "b/t".parse().unwrap());
        let seen = Seen { written, host, dataset, pool: Guid(7), top: None, now: 1000, selected: &all };
        let target = Registry::default().identify(&seen).target;
        let newest = Some(("t/a#m".to_owned(), "t/a@s".to_owned()));
        let known =
            KnownTarget { target: target.clone(), arrived: Arrived { with: 2, without: 1, newest }, date: Some(1060) };
        let source: DatasetName = "t/a".parse().unwrap();
        let others = vec!["t/a#zfsync-0123abcd-s".to_owned()];
        let host = "alpha".to_owned();
        let above = vec![("alpha:t".to_owned(), "vault:v".to_owned())];
        let all = Targets {
            source: source.clone(),
            written: "alpha:t/a".into(),
            host,
            now: 1120,
            targets: vec![known],
            above,
            unread: vec!["0123456789abcdef".into()],
            others,
        };
        let mut text = Vec::new();
        all.text(&mut text).unwrap();
        let id = target.id();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            format!(
                "vault:v, as recorded on alpha:t: zfsync targets alpha:t\nme@beta:b/t\n  ID {id}, on beta:2222, recorded 2 min ago\n  newest received: t/a@s, 1 min old; 2 of 3 datasets received\n\
                 ID 0123456789abcdef: its record can't be read: it is damaged, or a newer version of zfsync made it\n  meanwhile nothing is pruned; \
                 a push to this target renews it; to remove it: zfsync forget alpha:t/a 0123456789abcdef\n\
                 1 bookmark of targets that are not recorded here, or of former names of renamed datasets: prune keeps what they may need, and a \
                 push to such a target adopts or removes them; if it no longer exists:\n  zfs destroy 't/a#zfsync-0123abcd-s'\n"
            )
        );
        let mut json = Vec::new();
        all.json(&mut json).unwrap();
        let lines = String::from_utf8(json).unwrap();
        let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [json, unread] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(
            (&json["id"], &json["readable"], &json["newest_arrived"], &json["datasets_without"]),
            (&id.into(), &true.into(), &"t/a@s".into(), &1.into())
        );
        assert_eq!(
            (&unread["id"], &unread["readable"], &unread["source"], &unread["target"]),
            (&"0123456789abcdef".into(), &false.into(), &"t/a".into(), &serde_json::Value::Null)
        );
        let bookmarks = vec!["t/a#m".to_owned()];
        let gone = Forgotten {
            source,
            name: "x".into(),
            property: Some(target.property()),
            target: Some(target),
            bookmarks,
            dry_run: true,
            failures: Vec::new(),
        };
        let mut text = Vec::new();
        gone.text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.ends_with("me@beta:b/t: 1 bookmark and its record would be removed\n"), "{text}");
    }
}
