//! Reads snapshots for a comparison of what two sides hold. Only checksums leave the host, and only where its command line
//! allows that: they tell whoever asks whether a guess is right.

use std::io;
use std::time::{Duration, Instant};

use super::context::Context;
use crate::wire::Reply;
use zfs::{Failure, Part, Reading, permission};

/// So many checksums go into one frame: some 50 KiB.
const A_FRAME: usize = 1000;
/// How often a sign of life goes out, and so how soon it is noticed that nobody listens any more.
const BEAT: Duration = Duration::from_secs(1);

/// Reads one snapshot, and tells its checksums while they come.
pub(super) fn read(context: &Context, id: u64, reading: &Reading) -> Result<(), Failure> {
    let (mut parts, mut read, mut told): (Vec<Part>, u64, Instant) = (Vec::new(), 0, Instant::now());
    let send = |bytes, parts| context.replies.send(&Reply::Content { id, bytes, parts }).map_err(io::Error::other);
    let result = context.host.content(reading, &mut |bytes, part| {
        read = bytes;
        parts.extend(part);
        if parts.len() >= A_FRAME || told.elapsed() >= BEAT {
            told = Instant::now();
            send(bytes, std::mem::take(&mut parts))?;
        }
        Ok(())
    });
    result.map_err(|why| context.explain(why, permission::READ, &reading.dataset))?;
    send(read, parts).map_err(|error| zfs::Failure::new(zfs::Refusal::Other, &error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::fake::Session;
    use super::*;
    use crate::wire::Request;
    use zfs::name::Guid;
    use zfs::{Allow, Refusal};

    fn request(id: u64, dataset: &str) -> Request {
        let (dataset, snapshot) = (dataset.parse().unwrap(), "s".parse().unwrap());
        Request::Content { id, reading: Reading { dataset, snapshot, guid: Guid(1), raw: false, only: None } }
    }

    #[test]
    fn contents_are_read_only_where_that_is_allowed() {
        let roots = vec!["b/x".parse().unwrap()];
        for (allow, dataset, refusal) in [
            (vec![], "b/x", Refusal::NotAllowed),
            (vec![Allow::Destroy, Allow::Rollback], "b/x", Refusal::NotAllowed),
            (vec![Allow::Verify], "b/y", Refusal::NotAllowed),
            // The tame host can't read any.
            (vec![Allow::Verify], "b/x/a", Refusal::Other),
        ] {
            let mut session = Session::start(Config { roots: Vec::clone(&roots), allow, ..Config::default() });
            session.request(&request(7, dataset));
            assert_eq!(session.done(), (7, Some(refusal)), "{dataset}");
        }
    }
}
