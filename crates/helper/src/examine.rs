//! What is told of this host before a first replication: nothing outside of the helper's roots.

use super::Config;
use super::context::Context;
use zfs::{Examination, Examine, Failure, Place};

/// Looks at what was asked for, and tells what may be told.
pub(super) fn examine(context: &Context, what: &Examine) -> Result<Examination, Failure> {
    let Context { config, host, .. } = context;
    let mut found = host.examine(what)?;
    found.pools.iter_mut().for_each(|pools| pools.retain(|pool| tells_of_pool(config, &pool.name)));
    found.place = found.place.map(|place| tell(config, place));
    Ok(found)
}

fn tells_of_pool(config: &Config, pool: &str) -> bool {
    config.roots.is_empty() || config.roots.iter().any(|root| root.pool() == pool)
}

/// Where the root itself does not exist yet, what is above it is told by its name, with the space and the permissions that count for
/// it, and nothing else of it.
fn tell(config: &Config, mut place: Place) -> Place {
    let within = place.nearest.as_ref().is_some_and(|nearest| config.allows(nearest));
    if !within {
        (place.mount, place.used) = (None, None);
    }
    if let Some(encryption) = &mut place.encryption {
        encryption.root = encryption.root.take().filter(|root| config.tells_of(root));
    }
    place
}

#[cfg(test)]
mod tests {
    use super::super::Side;
    use super::super::fake::Session;
    use super::*;
    use crate::wire::{Reply, Request};
    use zfs::Refusal;

    fn session(roots: &[&str], side: Side) -> Session {
        let roots = roots.iter().map(|root| root.parse().unwrap()).collect();
        Session::start(Config { roots, side, ..Config::default() })
    }

    fn ask(session: &mut Session, what: Examine) -> Result<Examination, Refusal> {
        session.request(&Request::Examine { id: 1, what });
        match session.reply() {
            Some(Reply::Examined { id: 1, examination }) => Ok(*examination),
            Some(Reply::Done { id: 1, failure: Some(failure), .. }) => Err(failure.refusal),
            other => panic!("{other:?}"),
        }
    }

    fn dataset(name: &str) -> Examine {
        Examine::Dataset(name.parse().unwrap())
    }

    #[test]
    fn both_sides_tell_all_where_there_are_no_roots() {
        for side in [Side::Receiver, Side::Sender] {
            let mut session = session(&[], side);
            let found = ask(&mut session, dataset("b/x/new")).unwrap();
            assert_eq!(found.pools.unwrap().iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
            let place = found.place.unwrap();
            assert_eq!(place.nearest, Some("b/x".parse().unwrap()));
            assert!(place.mount.is_some());
            assert_eq!(place.encryption.unwrap().root, Some("b".parse().unwrap()));
            assert_eq!(ask(&mut session, Examine::Nothing), Ok(Examination::default()));
            session.close().unwrap();
        }
    }

    #[test]
    fn what_is_outside_of_the_roots_is_not_told() {
        let mut session = session(&["b/x/own"], Side::Receiver);
        assert_eq!(ask(&mut session, dataset("c/x")), Err(Refusal::NotAllowed));
        // What is above a root is as little its business as what is beside it.
        assert_eq!(ask(&mut session, dataset("b/x")), Err(Refusal::NotAllowed));
        let found = ask(&mut session, dataset("b/x/own/a")).unwrap();
        assert_eq!(found.pools.unwrap().len(), 1);
        let place = found.place.unwrap();
        assert_eq!((place.mount, place.used), (None, None));
        assert_eq!(place.available, Some(4096));
        assert_eq!(ask(&mut session, Examine::Host).unwrap().pools.unwrap().len(), 1);
        session.close().unwrap();
    }
}
