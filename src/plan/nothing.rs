//! A selection in which there is nothing to replicate. To call that a success would claim a copy that doesn't exist.

use std::fmt;

use zfs::name::DatasetName;

/// Why there is nothing to replicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nothing {
    /// The top of the tree.
    source: DatasetName,
    /// How many datasets are selected; none of them has a snapshot.
    selected: usize,
    /// Where a snapshot is to be taken, if that is another host.
    host: Option<String>,
}

impl Nothing {
    /// `selected` datasets below `source`, so many of them without a snapshot; `None` where there is something to replicate.
    #[must_use]
    pub fn of(source: &DatasetName, selected: usize, without_snapshots: usize) -> Option<Self> {
        (selected == without_snapshots).then(|| Self { source: source.clone(), selected, host: None })
    }

    /// The source is on this host, which is another one than this machine.
    #[must_use]
    pub fn on(self, host: Option<impl fmt::Display>) -> Self {
        Self { host: host.map(|host| host.to_string()), ..self }
    }

    /// Whether any dataset is selected.
    #[must_use]
    pub fn is_any_selected(&self) -> bool {
        self.selected > 0
    }

    /// What is lacking.
    #[must_use]
    pub fn why(&self) -> String {
        match self.selected {
            0 => format!("no dataset of {} is selected", self.source),
            1 => "the selected dataset has no snapshot".into(),
            more => format!("none of the {more} selected datasets has a snapshot"),
        }
    }

    /// What helps, where a snapshot does.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let place = self.host.as_ref().map_or_else(String::new, |host| format!(", on {host}"));
        let source = shell_words::quote(self.source.as_str());
        self.is_any_selected().then(|| format!("take one first{place}: zfsync snapshot {source}"))
    }
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = self.why();
        match self.advice() {
            Some(advice) => write!(f, "nothing to replicate: {why}\n  {advice}"),
            None => write!(f, "nothing to replicate: {why}; check --include and --exclude"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_snapshot_is_something() {
        let source: DatasetName = "p/a b".parse().unwrap();
        let told = |selected, without| Nothing::of(&source, selected, without).map(|nothing| nothing.to_string());
        assert_eq!(told(2, 1), None);
        assert!(told(0, 0).unwrap().contains("no dataset of p/a b is selected"));
        assert!(told(1, 1).unwrap().contains("the selected dataset has no snapshot\n"));
        let pulled = Nothing::of(&source, 1, 1).unwrap().on(Some("beta"));
        assert_eq!(pulled.advice().unwrap(), "take one first, on beta: zfsync snapshot 'p/a b'");
        let many = told(3, 3).unwrap();
        assert!(many.contains("none of the 3 selected") && many.ends_with("zfsync snapshot 'p/a b'"), "{many}");
    }
}
