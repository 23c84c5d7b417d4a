//! How a stream of another host ends: what its helper says of that, waited for in one place, with a limit.

use std::io;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use zfs::{Ended, Failure};

use super::channel::Channel;
use super::open::Report;

/// So long another host may take to say how a stream has ended, once all of it has come or it has been asked to stop.
const ENDED_WITHIN: Duration = Duration::from_secs(60);

/// Why a helper that doesn't say it in that time is given up.
pub(super) const LATE: &str = "it did not report how a stream ended";

/// How a stream of another host has ended.
#[derive(Debug)]
pub(crate) enum StreamEnd {
    /// As its process did; all of it has come.
    Complete(Ended),
    /// As its process did; the end of the stream is missing.
    Incomplete(Ended),
    /// It was never begun.
    Refused(Failure),
    /// The connection was lost before.
    Lost,
    /// The helper hasn't said in time, and is taken for dead.
    Late,
}

/// A stream of another host whose end is still to come. Its reports are taken as they come.
#[derive(Debug)]
pub(crate) struct EndOfStream {
    channel: Channel,
    id: u64,
    end: Receiver<StreamEnd>,
    begun: Option<oneshot::Receiver<()>>,
}

impl EndOfStream {
    /// Listens from now on; estimates of its size are handed on at once.
    pub(crate) fn of(
        channel: Channel,
        id: u64,
        reports: Receiver<Report>,
        estimated: impl FnMut(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let ((tell_end, end), (tell_begun, begun)) = (mpsc::channel(), oneshot::channel());
        thread::Builder::new().spawn(move || _ = tell_end.send(listen(&reports, tell_begun, estimated)))?;
        Ok(Self { channel, id, end, begun: Some(begun) })
    }

    /// What is told as soon as it begins, or is over.
    pub(crate) fn begun(&mut self) -> impl Future<Output = ()> + use<> {
        let begun = self.begun.take();
        async {
            if let Some(begun) = begun {
                // Of one that never begins nothing more comes.
                let _ = begun.await;
            }
        }
    }

    /// Waits for it, once nothing more of the stream is read; if not `all` of it has been read, it is stopped.
    pub(crate) fn wait(self, all: bool) -> StreamEnd {
        if !all {
            self.channel.cancel_stream(self.id);
        }
        self.within(ENDED_WITHIN)
    }

    /// A helper that doesn't say it in time is taken for dead: what it says next would be of no use.
    fn within(self, limit: Duration) -> StreamEnd {
        self.end.recv_timeout(limit).unwrap_or_else(|_| {
            self.channel.give_up(LATE);
            StreamEnd::Late
        })
    }
}

fn listen(reports: &Receiver<Report>, begun: oneshot::Sender<()>, mut estimated: impl FnMut(u64)) -> StreamEnd {
    let mut begun = Some(begun);
    loop {
        match reports.recv() {
            // Nobody may wait for that.
            Ok(Report::Begun) => _ = begun.take().map(|begun| begun.send(())),
            Ok(Report::Estimated(total)) => estimated(total),
            Ok(Report::Ended(ended, true)) => return StreamEnd::Complete(ended),
            Ok(Report::Ended(ended, false)) => return StreamEnd::Incomplete(ended),
            Ok(Report::Refused(why)) => return StreamEnd::Refused(why),
            // The channel is gone, and says why itself.
            Err(_) => return StreamEnd::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Instant;

    use super::*;
    use helper::wire;
    use zfs::StreamSpec;

    #[test]
    fn a_helper_that_does_not_tell_the_end_of_a_stream_is_taken_for_dead() {
        let ((_stdin, ours_in), (ours_out, mut stdout), (ours_err, _stderr)) =
            (io::pipe().unwrap(), io::pipe().unwrap(), io::pipe().unwrap());
        stdout.write_all(wire::greeting(&zfs::Hello::default()).unwrap().as_bytes()).unwrap();
        let (events, _told) = tokio::sync::mpsc::unbounded_channel();
        let channel = Channel::over(1, [ours_in.into(), ours_out.into(), ours_err.into()], "alpha", events).unwrap();
        let list = || StreamSpec::List { dataset: "a/s".parse().unwrap(), depth: None };
        let (_output, reports, id) = channel.ask_stream(list(), None).unwrap();
        let end = EndOfStream::of(channel.clone(), id, reports, |_| ()).unwrap();
        let began = Instant::now();
        let end = end.within(Duration::from_millis(200));
        assert!(matches!(end, StreamEnd::Late), "{end:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(channel.is_closed());
        // Nobody waits for it any more, though it is still there.
        let (output, _, _) = channel.ask_stream(list(), None).unwrap();
        assert_eq!(io::Read::read(&mut std::fs::File::from(output), &mut [0; 1]).unwrap(), 0);
    }
}
