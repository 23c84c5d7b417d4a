//! What a run would find here: for dry runs, which take no lock and send nothing.

use super::context::Context;
use zfs::Outlook;
use zfs::name::DatasetName;

/// What it looks like for whoever wants to fill this tree. What can't be found out is not told.
pub(super) fn of(context: &Context, tree: &DatasetName) -> Outlook {
    let Context { config, host, .. } = context;
    // What is above a root is nobody's business.
    let mut nearest = std::iter::successors(Some(tree.clone()), DatasetName::parent).filter(|name| config.allows(name));
    Outlook { locked: host.claimed(tree), available: nearest.find_map(|name| host.available(&name)) }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::fake::Session;
    use super::*;
    use crate::wire::{Reply, Request};
    use zfs::Refusal;

    #[test]
    fn what_is_above_a_root_is_not_told() {
        for (roots, dataset, expected) in [
            (&[][..], "b/x/new/a", Some((None, Some(4096)))),
            (&["b/x/new"], "b/x/new/xx", Some((None, Some(4096)))),
            (&["b/x/new"], "b/x/new/taken", Some((Some("another".to_owned()), Some(4096)))),
            (&["b/new"], "b/new/a", Some((None, None))),
            (&["b/new"], "b/x", None),
        ] {
            let roots = roots.iter().map(|root| root.parse().unwrap()).collect();
            let mut session = Session::start(Config { roots, ..Config::default() });
            session.request(&Request::Outlook { id: 1, dataset: dataset.parse().unwrap() });
            match (session.reply(), expected) {
                (Some(Reply::Outlook { outlook, .. }), Some((locked, available))) => {
                    assert_eq!(outlook, Outlook { locked, available }, "{dataset}");
                }
                (Some(Reply::Done { failure: Some(failure), .. }), None) => {
                    assert_eq!(failure.refusal, Refusal::NotAllowed);
                }
                other => panic!("{dataset}: {other:?}"),
            }
            session.close().unwrap();
        }
    }
}
