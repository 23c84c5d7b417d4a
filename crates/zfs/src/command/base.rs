//! What a dataset says of one of its snapshots as the base of an increment: whether it was written to since, and with which key
//! it is encrypted. Slow columns: only for datasets for which there is something to do.

use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::parse::for_lines;
use super::{Call, ParseError, Zfs};
use crate::name::{DatasetName, Guid, SnapshotName};

/// What a dataset says of a snapshot that an increment is to start from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseFacts {
    /// How many bytes were written to the dataset since the snapshot (`written@`); `None` where nobody asked for a snapshot.
    #[serde(default)]
    pub written: Option<u64>,
    /// The snapshot's IV set (`ivsetguid`); only what is encrypted has one. A raw increment needs the same on both sides.
    #[serde(default)]
    pub iv_set: Option<Guid>,
    /// The dataset whose key this one is encrypted with; `None` where it isn't encrypted.
    #[serde(default)]
    pub encryption_root: Option<DatasetName>,
    /// Whether that key is loaded.
    #[serde(default)]
    pub key_loaded: bool,
}

impl Zfs {
    /// How these datasets are encrypted, and what was written to them since their snapshot of this name. Read it with
    /// [`read_base_facts`].
    #[must_use]
    pub fn base_facts(&self, since: Option<&SnapshotName>, datasets: &[DatasetName]) -> Call {
        let written = since.map_or_else(|| "written".to_owned(), |snapshot| format!("written@{snapshot}"));
        let columns = format!("name,encryptionroot,keystatus,{written}");
        let mut command = self.command(["list", "-Hp", "-t", "filesystem,volume", "-o", &columns]);
        command.args(datasets.iter().map(DatasetName::as_str));
        command
    }

    /// The IV sets of these snapshots and bookmarks; missing ones as in [`Zfs::list_names`]. Read it with [`read_iv_sets`].
    #[must_use]
    pub fn iv_sets<S: AsRef<str>>(&self, names: &[S]) -> Call {
        let mut command = self.command(["list", "-Hp", "-t", "snapshot,bookmark", "-o", "name,ivsetguid"]);
        command.args(names.iter().map(AsRef::as_ref));
        command
    }

    /// Whether a pool has any encrypted dataset. Read it with [`feature_is_active`].
    #[must_use]
    pub fn encryption_feature(&self, pool: &str) -> Call {
        let mut command = self.zpool();
        command.args(["get", "-Hp", "-o", "value", "feature@encryption", pool]);
        command
    }
}

/// Reads [`Zfs::encryption_feature`].
#[must_use]
pub fn feature_is_active(output: &[u8]) -> bool {
    String::from_utf8_lossy(output).lines().any(|line| line.trim() == "active")
}

/// Reads [`Zfs::base_facts`]; without IV sets.
pub fn read_base_facts(input: impl BufRead) -> Result<Vec<(DatasetName, BaseFacts)>, ParseError> {
    let mut all = Vec::new();
    for_lines(input, |line| {
        let wrong = |what| ParseError::line(what, line);
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, root, key, written] = fields[..] else { return Err(wrong("not four fields")) };
        let name = name.parse().map_err(|_| wrong("the name is not valid"))?;
        let encryption_root = match root {
            "-" | "" => None,
            root => Some(root.parse().map_err(|_| wrong("the encryption root is not a valid name"))?),
        };
        // "-": there is no such snapshot.
        let facts =
            BaseFacts { written: written.parse().ok(), iv_set: None, encryption_root, key_loaded: key == "available" };
        all.push((name, facts));
        Ok::<_, ParseError>(())
    })?;
    Ok(all)
}

/// Reads [`Zfs::iv_sets`]: those of what is encrypted.
pub fn read_iv_sets(input: impl BufRead) -> Result<Vec<(String, Guid)>, ParseError> {
    let mut all = Vec::new();
    for_lines(input, |line| {
        let Some((name, iv_set)) = line.rsplit_once('\t') else { return Err(ParseError::line("no TAB", line)) };
        all.extend(iv_set.parse().ok().map(|iv_set| (name.to_owned(), Guid(iv_set))));
        Ok::<_, ParseError>(())
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_zfs_prints() {
        let text = "b/e\tb/e\tunavailable\t0\nb/e/k\tb/e\tavailable\t4096\nb/p\t-\t-\t-\n";
        let all = read_base_facts(text.as_bytes()).unwrap();
        let root = |name: &str| Some(name.parse().unwrap());
        let facts =
            |written, encryption_root, key_loaded| BaseFacts { written, iv_set: None, encryption_root, key_loaded };
        assert_eq!(all[0].1, facts(Some(0), root("b/e"), false));
        assert_eq!(all[1].1, facts(Some(4096), root("b/e"), true));
        assert_eq!(all[2].1, facts(None, None, false));
        assert!(read_base_facts("b/e\tb/e\n".as_bytes()).is_err());
        let iv_sets = read_iv_sets("b/e@s\t38807107899691037\nb/p@s\t-\n".as_bytes()).unwrap();
        assert_eq!(iv_sets, [("b/e@s".to_owned(), Guid(38_807_107_899_691_037))]);
    }
}
