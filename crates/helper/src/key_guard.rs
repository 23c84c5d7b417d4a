//! Whether a raw increment leaves the key of what is there as it is. ZFS stores the wrapped key that the stream brings in the place
//! of the copy's and compares only the GUIDs: with a damaged one, or one that is wrapped anew (`zfs change-key`), all snapshots of
//! the copy are unreadable to whoever has the old key. So a sender that isn't trusted must bring the same one, byte by byte. One that is
//! trusted says where others share the key and don't get the new one.

use super::Config;
use super::context::Context;
use zfs::record::{Begin, Features, SIZE};
use zfs::{Allow, Failure, Receive, Refusal, WrappedKey, permission};

/// Looks after one dataset while streams come for it.
pub(super) struct KeyGuard {
    /// Something is there, and its key is to stay.
    guards: bool,
    /// The sender is trusted, and what it brings must only go with the keys of others.
    trusts: bool,
    /// The key that is there, once it was looked at: what is let through leaves it as it is.
    there: Option<WrappedKey>,
}

impl KeyGuard {
    pub(super) fn new(config: &Config, receive: &Receive) -> Self {
        // Nothing is there, or nothing that has a key: no full stream takes an encrypted dataset's place
        // (`recv_begin_check_existing_impl` in `module/zfs/dmu_recv.c`).
        let existing = !(receive.create || receive.into_empty || receive.overwrite);
        let allowed = [Allow::Rekey, Allow::Packages].iter().any(|allow| config.allow.contains(allow));
        Self { guards: existing && (!allowed || receive.keeps_key), trusts: allowed, there: None }
    }

    /// Whether it checks anything. Then no receive may run before that: what it asks needs a session on another machine, and the
    /// receive may have the only one.
    pub(super) fn guards(&self) -> bool {
        self.guards
    }

    /// Checks a BEGIN record and its content, before a receive gets them.
    pub(super) fn check(&mut self, context: &Context, receive: &Receive, begin: &[u8]) -> Result<(), Failure> {
        let Some((record, list)) = begin.split_first_chunk::<SIZE>().filter(|_| self.guards) else { return Ok(()) };
        let raw = Begin::read(record).is_ok_and(|begin| begin.features.any(Features::RAW));
        if !raw {
            return Ok(());
        }
        let dataset = &receive.dataset;
        let refused = |why: &str| {
            Failure::new(Refusal::WrappedKey, &format!("the helper refuses the stream for {dataset}: {why}"))
        };
        if self.there.is_none() {
            self.there = context
                .host
                .wrapped_key(dataset, receive.base.as_ref())
                .map_err(|why| context.explain(why, permission::READ, dataset))
                .map_err(|why| Failure {
                    words: format!(
                        "can't read the wrapped key of {dataset}, which a raw increment must not replace: {}",
                        why.words
                    ),
                    ..why
                })?;
        }
        let Some(there) = &self.there else { return Ok(()) };
        match WrappedKey::read(list) {
            Ok(brought) if brought == *there || self.trusts && brought.is_salted_as(there) => Ok(()),
            Ok(_) => Err(refused(
                "it would replace the wrapped encryption key, and the existing snapshots could become unreadable",
            )),
            Err(error) => Err(refused(&error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Session, begin, receive};
    use super::*;
    use crate::wire::{FrameKind, Reply, Request};
    use zfs::name::Guid;
    use zfs::{Brings, wrapped_key_content as key, wrapped_key_salted as salted};

    /// A raw increment's BEGIN record with this content.
    fn raw(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap();
        let begin = Begin { features: Features::RAW, content: length, ..begin(Some(Guid(1)), "p/x@s") };
        [&begin.to_bytes()[..], content].concat()
    }

    /// The failure of one receive of a stream that is complete.
    fn played(allow: Vec<Allow>, receive: Receive, stream: &[u8]) -> (Option<Failure>, usize) {
        let mut session = Session::start(Config { allow, ..Config::default() });
        session.request(&Request::Receive { id: 1, receive });
        session.data(stream);
        let mut end = [0; SIZE];
        end[0] = 5;
        end[SIZE - 3..].copy_from_slice(b"end");
        session.data(&end);
        session.mark(FrameKind::End);
        let Some(Reply::Done { failure, .. }) = session.reply() else { panic!("no answer") };
        session.close().unwrap();
        let received = session.host.received.lock().unwrap().len();
        (failure, received)
    }

    #[test]
    fn a_raw_increment_leaves_the_key_as_it_is() {
        let key_1 = || receive("b/key-1");
        assert_eq!(played(vec![], key_1(), &raw(&key(1))), (None, 1));
        for content in [&key(2)[..], &key(1)[1..], &[]] {
            let (failure, received) = played(vec![Allow::Destroy, Allow::Rollback], key_1(), &raw(content));
            assert_eq!((failure.unwrap().refusal, received), (Refusal::WrappedKey, 0), "{} bytes", content.len());
        }
        // Where it is allowed, where there is no key, and where the stream brings none.
        for allow in [Allow::Rekey, Allow::Packages] {
            assert_eq!(played(vec![allow], key_1(), &raw(&key(2))), (None, 1), "{allow:?}");
        }
        assert_eq!(played(vec![], receive("b/x"), &raw(&key(2))), (None, 1));
        assert_eq!(played(vec![], key_1(), &begin(Some(Guid(1)), "p/x@s").to_bytes()), (None, 1));
        // It can't be told.
        let (failure, received) = played(vec![], receive("b/key-denied"), &raw(&key(1)));
        let failure = failure.unwrap();
        assert_eq!((failure.refusal, received), (Refusal::Permission, 0));
        assert!(failure.words.contains("must not replace: permission denied"), "{}", failure.words);
    }

    /// Others have its key, and get no increment: also whoever is trusted brings no other, unless it goes with theirs already.
    #[test]
    fn a_key_that_others_share_stays() {
        let shared = || Receive { keeps_key: true, ..receive("b/key-1") };
        for allow in [Allow::Rekey, Allow::Packages] {
            assert_eq!(played(vec![allow], shared(), &raw(&key(1))), (None, 1), "{allow:?}");
            assert_eq!(played(vec![allow], shared(), &raw(&salted(2, 1))), (None, 1), "{allow:?}");
            for content in [key(2), salted(2, 0)] {
                let (failure, received) = played(vec![allow], shared(), &raw(&content));
                assert_eq!((failure.unwrap().refusal, received), (Refusal::WrappedKey, 0), "{allow:?}");
            }
        }
        // Whoever isn't trusted could forge the salt.
        let (failure, received) = played(vec![], shared(), &raw(&salted(2, 1)));
        assert_eq!((failure.unwrap().refusal, received), (Refusal::WrappedKey, 0));
    }

    #[test]
    fn each_stream_of_a_package_leaves_it_as_it_is() {
        second_of_a_package_is_refused(Config::default(), receive("b/key-1"));
        let trusted = Config { allow: vec![Allow::Packages], ..Config::default() };
        second_of_a_package_is_refused(trusted, Receive { keeps_key: true, ..receive("b/key-1") });
    }

    fn second_of_a_package_is_refused(config: Config, receive: Receive) {
        let mut session = Session::start(config);
        session.request(&Request::Receive { id: 1, receive: Receive { brings: Brings::Snapshots, ..receive } });
        let end = || {
            let mut end = vec![0; SIZE];
            end[0] = 5;
            end[SIZE - 3..].copy_from_slice(b"end");
            end
        };
        let header =
            Begin { header: zfs::record::HeaderType::Package, kind: None, to: Guid(0), ..begin(None, "p/x@c") };
        let second = Begin {
            to: Guid(3),
            from: Some(Guid(2)),
            ..Begin::read(raw(&key(2))[..SIZE].try_into().unwrap()).unwrap()
        };
        session.data(&[&header.to_bytes()[..], &end(), &raw(&key(1)), &end(), &second.to_bytes(), &key(2)].concat());
        assert_eq!(session.done(), (1, Some(Refusal::WrappedKey)));
        session.mark(FrameKind::Abort);
        session.close().unwrap();
        assert_eq!(*session.host.began.lock().unwrap(), ["b/key-1@s"]);
    }
}
