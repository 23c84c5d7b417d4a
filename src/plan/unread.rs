//! Datasets of the target that exist and can't be read.

use super::Verdict;
use super::blocked::Blocked;
use super::item::OnTarget;
use super::negotiate::Negotiation;
use zfs::name::DatasetName;

impl Negotiation {
    /// Takes what exists on the target and can't be read, with the words of zfs; before the answers that it came with. It stops itself
    /// alone: what lies below may be fine.
    pub fn unread(&mut self, all: Vec<(String, String)>) {
        for (name, words) in all {
            let Ok(dataset) = name.split('@').next().unwrap_or_default().parse::<DatasetName>() else { continue };
            self.target_exists |= dataset.is_within(&self.target);
            self.existing.extend(dataset.ancestors());
            self.existing.insert(dataset.clone());
            let place = dataset.below(&self.target).and_then(|path| self.index_of(&path));
            let item = place.and_then(|place| self.items.get_mut(place));
            if let Some(item) = item.filter(|item| !item.source.snapshots.is_empty()) {
                item.on_target = OnTarget::Settled(Verdict::Blocked(Blocked::Unreadable { words }));
            }
            self.unread.insert(dataset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::SourceDataset;
    use crate::plan::fixture::named as versions;

    use zfs::name::Txg;

    /// What lies below is fine, and the pool is asked about by the name above.
    #[test]
    fn what_cannot_be_read_stops_itself_alone() {
        let dataset = |path: &str| {
            let name: DatasetName = format!("a/s{path}").parse().unwrap();
            let path = name.below(&"a/s".parse().unwrap()).unwrap();
            SourceDataset { path, snapshots: versions(&["a", "b"]), ..SourceDataset::default() }
        };
        let all = ["", "/bad", "/bad/kid", "/ok"].map(dataset).to_vec();
        let mut talk = Negotiation::new(&"a/s".parse().unwrap(), &"b/t".parse().unwrap(), all, false);
        let guids = versions(&["a", "b"]);
        let words = |name: &str| (name.to_owned(), format!("cannot open '{name}': I/O error"));
        loop {
            let names = talk.questions();
            if names.is_empty() {
                break;
            }
            let bad = |name: &&String| name.split('@').next().is_some_and(|name| ["b/t", "b/t/bad"].contains(&name));
            talk.unread(names.iter().filter(bad).map(|name| words(name)).collect());
            let place = |at: usize| u32::try_from(at).unwrap();
            let there = |name: &str| {
                name.ends_with("kid@a")
                    || name.ends_with("ok@a")
                    || name == "b"
                    || name.ends_with("/kid")
                    || name.ends_with("/ok")
            };
            let found = names.iter().enumerate().filter(|(_, name)| !bad(name) && there(name));
            let found: Vec<_> = found.map(|(at, _)| (place(at), guids.get(0).unwrap().guid, Txg(1))).collect();
            talk.answers(&found);
        }
        assert!(talk.unlisted().is_empty());
        let plan = talk.plan();
        let ends: Vec<String> = plan
            .datasets
            .iter()
            .map(|planned| match &planned.verdict {
                Verdict::Send(steps) => {
                    format!("sent from {:?}", steps[0].base.as_ref().map(|base| base.name.to_string()))
                }
                Verdict::Blocked(why) => why.to_string().lines().next().unwrap().to_owned(),
                other => format!("{other:?}"),
            })
            .collect();
        let says = |name: &str| format!("the target can't be read: zfs says: cannot open '{name}': I/O error");
        let from = || "sent from Some(\"a\")".to_owned();
        assert_eq!(ends, [says("b/t@b"), says("b/t/bad@b"), from(), from()]);
        assert_eq!(plan.nearest.unwrap().as_str(), "b");
    }
}
