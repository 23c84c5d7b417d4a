//! Listing what an end has.

use std::io::{self, BufReader};
use std::os::fd::OwnedFd;
use std::time::Duration;

use helper::read_report;
use zfs::host::{HANGS, Watched};
use zfs::name::DatasetName;
use zfs::text::quoted;
use zfs::{
    Ended, Failure, Host as _, Inventory, Limits, Most, ParseError, Refusal, StreamSpec, read_source,
    read_source_within,
};

use super::{Endpoint, Place, limits};
use crate::remote::client::{EndOfStream, StreamEnd};

impl Endpoint {
    /// Lists a dataset and what lies so many levels below it, with all snapshots and bookmarks; and how that ended.
    pub async fn list(
        &self,
        top: &DatasetName,
        depth: Option<usize>,
        silence: Option<Duration>,
    ) -> Result<(Vec<Inventory>, Ended), Failure> {
        let stream = StreamSpec::List { dataset: top.clone(), depth };
        let mut again = self.remote();
        loop {
            let (given_up, limits) = limits(silence);
            let (own, stream, top) = (self.clone(), stream.clone(), top.clone());
            let listed = tokio::task::spawn_blocking(move || own.read_list(stream, &top, &limits)).await;
            drop(given_up);
            let listed = listed.unwrap_or_else(|error| Err(Failure::new(Refusal::Other, &error.to_string())));
            let lost = matches!(listed, Err(Failure { refusal: Refusal::Lost, .. }));
            match again.take().filter(|_| lost) {
                Some(remote) => remote.revive().await?,
                None => return listed,
            }
        }
    }

    fn read_list(
        &self,
        stream: StreamSpec,
        top: &DatasetName,
        limits: &Limits,
    ) -> Result<(Vec<Inventory>, Ended), Failure> {
        let system = |error: io::Error| Failure::new(Refusal::Other, &error.to_string());
        let input = |output: OwnedFd| BufReader::with_capacity(256 * 1024, Watched::new(output, limits.clone()));
        match self.place.as_ref() {
            Place::Here(host) => {
                let zfs::host::Outgoing { output, words, process } = host.stream(&stream)?;
                let words = std::thread::Builder::new().spawn(move || read_report(words, |_| {})).map_err(system)?;
                let read = read_source(input(output), top);
                // It ends by itself behind a line that isn't whole, and its status may tell why.
                let stopped = read.as_ref().is_err_and(|error| !matches!(error, ParseError::Cut(_)));
                if stopped {
                    process.end(true);
                }
                if read.as_ref().is_err_and(is_late) {
                    return Err(Failure::new(Refusal::Other, HANGS));
                }
                let died = process.wait().err().filter(|died| !(stopped && died.killed));
                let words = words.join().unwrap_or_default();
                let ended = Ended {
                    words,
                    killed: died.as_ref().is_some_and(|died| died.killed),
                    status: died.map(|died| died.status),
                };
                told(read, ended)
            }
            Place::There(remote) => {
                let channel = remote.channel();
                let (output, reports, id) = channel.ask_stream(stream, None).map_err(system)?;
                let end = EndOfStream::of(channel.clone(), id, reports, |_| {}).map_err(system)?;
                let read = read_source_within(input(output), top, Most::ANYWHERE);
                if read.as_ref().is_err_and(is_late) {
                    channel.cancel_stream(id);
                    // The next question goes to another helper.
                    channel.give_up("the rest of a listing did not arrive in time");
                    return Err(Failure::new(Refusal::Other, HANGS));
                }
                match end.wait(read.is_ok()) {
                    StreamEnd::Complete(ended) => told(read, ended),
                    StreamEnd::Incomplete(_) => {
                        // It was stopped because of what was read.
                        let words = read.err().map_or("the listing was incomplete".into(), |error| error.to_string());
                        Err(Failure::new(Refusal::Other, &words))
                    }
                    StreamEnd::Refused(why) => Err(why),
                    StreamEnd::Late => Err(Failure::new(Refusal::Other, HANGS)),
                    StreamEnd::Lost => Err(Failure::new(Refusal::Lost, &channel.why_closed())),
                }
            }
        }
    }
}

fn is_late(error: &ParseError) -> bool {
    matches!(error, ParseError::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

/// What was listed, with how it ended: what `zfs` says of it is told in its words.
fn told(read: Result<Vec<Inventory>, ParseError>, ended: Ended) -> Result<(Vec<Inventory>, Ended), Failure> {
    let words = if ended.words.is_empty() { String::new() } else { quoted(&ended.words) };
    let status =
        |status: &str| Failure::new(Refusal::from_words(&words), if words.is_empty() { status } else { &words });
    match (&ended.status, read) {
        (Some(died), _) if words.is_empty() || ended.killed => Err(status(died)),
        (_, Err(error)) => Err(Failure::new(Refusal::Other, &error.to_string())),
        (_, Ok(all)) if all.is_empty() && !words.is_empty() => Err(status("")),
        (_, Ok(all)) => Ok((all, Ended { words, ..ended })),
    }
}
