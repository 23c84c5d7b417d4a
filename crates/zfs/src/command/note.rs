//! Our notes on the target's datasets and snapshots, kept as user properties: what zfsync has put there, and since when the source
//! has it no more.

use std::collections::{BTreeSet, HashMap};
use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::parse::{for_lines, whole_lines};
use super::{Call, PLACEHOLDER, ParseError, Zfs};
use crate::name::{DatasetName, SnapshotName};
use crate::{Property, TARGET_PROPERTY};

/// A note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// What zfsync has put into a dataset: see [`crate::Put`].
    Received,
    /// When the source was first found to lack a dataset or snapshot, in seconds since 1970.
    MissingSince,
    /// The dataset was made only to hold others.
    Placeholder,
}

impl Note {
    const ALL: [Self; 3] = [Self::Received, Self::MissingSince, Self::Placeholder];

    /// The longest value that ZFS takes for a user property, in bytes (zfsprops(7)).
    pub const MAX_VALUE: usize = 8191;

    /// The user property that holds it.
    #[must_use]
    pub fn property(self) -> &'static str {
        match self {
            Self::Received => "zfsync:received",
            Self::MissingSince => "zfsync:missing-since",
            Self::Placeholder => PLACEHOLDER,
        }
    }
}

/// What a note says of a dataset or snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// The full name of the dataset or snapshot.
    pub name: String,
    /// Which note.
    pub note: Note,
    /// What it says.
    pub value: String,
}

/// Reads [`Zfs::settings_below`]: dataset, property and value. A line that makes no sense is left out.
#[must_use]
pub fn read_settings(output: &[u8]) -> Vec<(DatasetName, String, String)> {
    let text = String::from_utf8_lossy(output);
    let setting = |line: &str| {
        let (name, rest) = line.split_once('\t')?;
        let (property, value) = rest.split_once('\t')?;
        Some((name.parse().ok()?, property.to_owned(), value.to_owned()))
    };
    whole_lines(&text).filter_map(setting).collect()
}

/// Reads the records of targets in [`Zfs::settings_below`]. A large tree has so many other settings that they are dropped as they come.
pub fn read_target_records(input: impl BufRead) -> Result<Vec<Property>, ParseError> {
    let mut records = Vec::new();
    for line in input.split(b'\n') {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        let fields: Vec<&str> = text.splitn(3, '\t').collect();
        if let [on, name, value] = fields[..]
            && name.starts_with(TARGET_PROPERTY)
            && let Ok(on) = on.parse()
        {
            records.push(Property { on, name: name.to_owned(), value: value.to_owned() });
        }
    }
    Ok(records)
}

impl Zfs {
    /// Every property that was set on a dataset or below it. Read it with [`read_settings`] or
    /// [`read_target_records`].
    #[must_use]
    pub fn settings_below(&self, dataset: &DatasetName) -> Call {
        let mut command = self.command(["get", "-Hp", "-r", "-t", "filesystem,volume"]);
        command.args(["-s", "local", "-o", "name,property,value", "all", dataset.as_str()]);
        command
    }

    /// The notes on a dataset and all below it. `-s local`: user properties are inherited, by snapshots too, and an inherited
    /// note says nothing. Read it with [`read_notes`].
    #[must_use]
    pub fn notes_below(&self, dataset: &DatasetName) -> Call {
        self.notes_of_tree("name,property,value", dataset)
    }

    /// Which notes there are on a dataset and all below it: what they say, which may look like more lines, is left out. Read it with
    /// [`read_note_names`].
    #[must_use]
    pub fn note_names_below(&self, dataset: &DatasetName) -> Call {
        self.notes_of_tree("name,property", dataset)
    }

    /// The same of these snapshots.
    #[must_use]
    pub fn note_names_on<S: AsRef<str>>(&self, snapshots: &[S]) -> Call {
        self.notes_of_these("name,property", snapshots)
    }

    /// The notes on one dataset, and on nothing else: whatever it prints was set there. Read it with [`tells_of_a_receive`].
    #[must_use]
    pub fn own_notes(&self, dataset: &DatasetName) -> Call {
        let mut command = self.command(["get", "-Hp", "-s", "local", "-o", "property,value"]);
        command.args([&properties(), dataset.as_str()]);
        command
    }

    /// The notes on these snapshots, as far as they exist.
    #[must_use]
    pub fn notes_on<S: AsRef<str>>(&self, snapshots: &[S]) -> Call {
        self.notes_of_these("name,property,value", snapshots)
    }

    fn notes_of_tree(&self, columns: &str, dataset: &DatasetName) -> Call {
        let mut command = self.command(["get", "-Hp", "-r", "-t", "filesystem,volume"]);
        command.args(["-s", "local", "-o", columns, &properties(), dataset.as_str()]);
        command
    }

    fn notes_of_these<S: AsRef<str>>(&self, columns: &str, snapshots: &[S]) -> Call {
        let mut command = self.command(["get", "-Hp", "-t", "snapshot", "-s", "local", "-o", columns]);
        command.arg(properties()).args(snapshots.iter().map(AsRef::as_ref));
        command
    }

    /// Takes a note on all of these.
    #[must_use]
    pub fn note<S: AsRef<str>>(&self, note: Note, value: &str, names: &[S]) -> Call {
        let mut command = self.command(["set".to_owned(), format!("{}={value}", note.property())]);
        command.args(names.iter().map(AsRef::as_ref));
        command
    }

    /// Drops a note.
    #[must_use]
    pub fn drop_note<S: AsRef<str>>(&self, note: Note, names: &[S]) -> Call {
        let mut command = self.command(["inherit", note.property()]);
        command.args(names.iter().map(AsRef::as_ref));
        command
    }

    /// A user property that was set on this very dataset; nothing is said where it wasn't.
    #[must_use]
    pub fn own_property(&self, property: &str, dataset: &DatasetName) -> Call {
        self.command(["get", "-Hp", "-s", "local", "-o", "value", property, dataset.as_str()])
    }

    /// All that was set on a dataset, or above it and counts for it: property, `local` or `inherited from DATASET`, and value. That is
    /// the last one, as it may have TABs and line feeds.
    #[must_use]
    pub fn set_properties(&self, dataset: &DatasetName) -> Call {
        self.command(["get", "-Hp", "-s", "local,inherited", "-o", "property,source,value", "all", dataset.as_str()])
    }

    /// Drops a user property.
    #[must_use]
    pub fn drop_property(&self, property: &str, dataset: &DatasetName) -> Call {
        self.command(["inherit", property, dataset.as_str()])
    }

    /// Gives a native property its received or default value, also one that can't be inherited (zfs-set(8)).
    #[must_use]
    pub fn reset_property(&self, property: &str, dataset: &DatasetName) -> Call {
        self.command(["inherit", "-S", property, dataset.as_str()])
    }

    /// Drops a user property of a snapshot.
    #[must_use]
    pub fn drop_snapshot_property(&self, property: &str, dataset: &DatasetName, snapshot: &SnapshotName) -> Call {
        self.command(["inherit", property, &dataset.at(snapshot.as_str())])
    }

    /// Sets a user property.
    #[must_use]
    pub fn set_property(&self, property: &str, value: &str, dataset: &DatasetName) -> Call {
        self.command(["set".to_owned(), format!("{property}={value}"), dataset.to_string()])
    }

    /// What was written to a dataset since its newest snapshot, in bytes.
    #[must_use]
    pub fn written(&self, dataset: &DatasetName) -> Call {
        self.get("written", dataset)
    }
}

fn properties() -> String {
    Note::ALL.map(Note::property).join(",")
}

/// Reads [`Zfs::notes_below`] and [`Zfs::notes_on`].
pub fn read_notes(input: impl BufRead) -> Result<Vec<Noted>, ParseError> {
    let mut notes = Vec::new();
    for line in input.lines() {
        let line = line?;
        let mut fields = line.splitn(3, '\t');
        let (Some(name), Some(property), Some(value)) = (fields.next(), fields.next(), fields.next()) else {
            // A value can have line feeds; none of ours has.
            continue;
        };
        if let Some(note) = Note::ALL.into_iter().find(|note| note.property() == property) {
            notes.push(Noted { name: name.to_owned(), note, value: value.to_owned() });
        }
    }
    Ok(notes)
}

/// Reads [`Zfs::note_names_below`] and [`Zfs::note_names_on`].
pub fn read_note_names(input: impl BufRead) -> Result<BTreeSet<(String, Note)>, ParseError> {
    let mut names = BTreeSet::new();
    for_lines(input, |line| {
        let Some((name, property)) = line.split_once('\t') else { return Err(ParseError::line("no TAB", line)) };
        names
            .extend(Note::ALL.into_iter().find(|note| note.property() == property).map(|note| (name.to_owned(), note)));
        Ok::<_, ParseError>(())
    })?;
    Ok(names)
}

/// The notes that are there. A value with line feeds can look like a note of another dataset: of one that has none, or as a second one
/// beside its own, and then neither counts.
#[must_use]
pub fn genuine(mut notes: Vec<Noted>, there: &BTreeSet<(String, Note)>) -> Vec<Noted> {
    let mut told: HashMap<(String, Note), usize> = HashMap::new();
    for Noted { name, note, .. } in &notes {
        *told.entry((name.clone(), *note)).or_default() += 1;
    }
    notes.retain(|Noted { name, note, .. }| {
        let key = (name.clone(), *note);
        there.contains(&key) && told.get(&key) == Some(&1)
    });
    notes
}

/// Whether a dataset's own notes say that zfsync has received or created it.
pub fn tells_of_a_receive(input: impl BufRead) -> Result<bool, ParseError> {
    let made = [Note::Received.property(), PLACEHOLDER];
    let mut told = false;
    for line in input.lines() {
        let line = line?;
        told |= line.split_once('\t').is_some_and(|(property, _)| made.contains(&property));
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_on_a_copy_beside_what_makes_it_one() {
        let words = b"b/x y\treadonly\ton\nb/x y\tcompression\tgzip\nb/x y/z\tcanmount\tnoauto\nb/x y/z\tzfsync:received\t1\nb/x y/z\tuser:a\tb\tc\n\n\
            b/x y\tfilesystem_count\t3\nb/x y\tsnapshot_count\t4\nb/x y\tkeylocation\tprompt\nb/x y/z\tkeylocation\tfile:///k\n";
        let property = |(on, name, value)| crate::Property { on, name, value };
        let all = read_settings(words).into_iter().map(property).filter(crate::Property::is_the_users);
        let told: Vec<String> = all.map(|one| format!("{} {}={}", one.on, one.name, one.value)).collect();
        assert_eq!(told, ["b/x y compression=gzip", "b/x y/z user:a=b\tc", "b/x y/z keylocation=file:///k"]);
    }

    #[test]
    fn a_forged_note_is_none() {
        let said = "b/x\tzfsync:received\t1\nb/own\tzfsync:received\t2\nb/y\tzfsync:received\t3\nb/y\tzfsync:received\t4\nb/y@s\tzfsync:missing-since\t5\n";
        let there = "b/x\tzfsync:received\nb/y\tzfsync:received\nb/y@s\tzfsync:missing-since\nb/y@s\tuser:other\n";
        let found = genuine(read_notes(said.as_bytes()).unwrap(), &read_note_names(there.as_bytes()).unwrap());
        let found: Vec<String> = found.into_iter().map(|noted| format!("{}={}", noted.name, noted.value)).collect();
        assert_eq!(found, ["b/x=1", "b/y@s=5"]);
        assert!(read_note_names(&b"b/x\n"[..]).is_err());
    }

    #[test]
    fn command_lines_and_what_they_print() {
        let zfs = Zfs::at("zfs");
        let words = |command: Call| {
            command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>().join("|")
        };
        let all = "zfsync:received,zfsync:missing-since,zfsync:placeholder";
        assert_eq!(
            words(zfs.notes_below(&"b/x y".parse().unwrap())),
            format!("get|-Hp|-r|-t|filesystem,volume|-s|local|-o|name,property,value|{all}|b/x y")
        );
        assert_eq!(
            words(zfs.notes_on(&["b/x@s 1", "b/x@t"])),
            format!("get|-Hp|-t|snapshot|-s|local|-o|name,property,value|{all}|b/x@s 1|b/x@t")
        );
        assert_eq!(
            words(zfs.note(Note::MissingSince, "17", &["b/x", "b/x@s"])),
            "set|zfsync:missing-since=17|b/x|b/x@s"
        );
        assert_eq!(words(zfs.drop_note(Note::MissingSince, &["b/x"])), "inherit|zfsync:missing-since|b/x");
        let text = "b/x y\tzfsync:received\tab, c\nb/x\tzfsync:missing-since\t17\nb/x\tother\t1\nodd line\n";
        let noted = |name: &str, note, value: &str| Noted { name: name.into(), note, value: value.into() };
        assert_eq!(
            read_notes(text.as_bytes()).unwrap(),
            [noted("b/x y", Note::Received, "ab, c"), noted("b/x", Note::MissingSince, "17")]
        );
    }
}
