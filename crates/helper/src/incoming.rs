//! The stream that is coming in: what the [`Judge`] lets pass goes to `zfs recv`, to one for each snapshot or to one for a
//! whole package; the rest of a stream that is refused is dropped.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::context::Context;
use super::input::Input;
use super::judge::{Act, Judge, Packages, Wants};
use super::key_guard::KeyGuard;
use super::receiving::{Ending, Receives, Receiving, Told};
use super::{HelperError, guard};
use crate::pump::{Mover, Taken};
use crate::wire::WireError;
use zfs::host::{Host, Intake, Started};
use zfs::name::SnapshotName;
use zfs::{Allow, Brings, Failure, Receive, Refusal, permission};

/// What takes the bytes.
enum Sink {
    /// Nothing yet: it can be started only when more is known.
    None,
    /// A receive.
    Open { stdin: Intake, receiving: Arc<Receiving> },
    /// A receive that has all of its stream; another one may follow.
    Closed(Arc<Receiving>),
    /// Nothing any more: the rest is dropped. A receive that has ended by itself still waits for the stream's end.
    Dropped(Option<Arc<Receiving>>),
}

/// A stream between its `Receive` and its `End` or `Abort`.
pub(super) struct Incoming {
    id: u64,
    receive: Receive,
    judge: Judge,
    keys: KeyGuard,
    sink: Sink,
}

/// What handling it takes of the session.
pub(super) struct Hands<'a> {
    pub input: &'a Input,
    pub context: &'a Context,
    pub receives: &'a Arc<Receives>,
    pub mover: &'a mut Mover,
}

impl Incoming {
    /// Checks the request, and starts the receive where the request alone says how.
    pub(super) fn new(id: u64, receive: Receive, hands: &Hands<'_>) -> Self {
        let keys = KeyGuard::new(&hands.context.config, &receive);
        // Each stream of a package is looked at.
        let whole = hands.context.config.allow.contains(&Allow::Packages) && !keys.guards();
        let packages = if whole { Packages::Whole } else { Packages::Apart };
        let judge = Judge::new(&receive, packages);
        let mut incoming = Self { id, receive, judge, keys, sink: Sink::None };
        let asks = incoming.replaces() || incoming.keys.guards();
        let early = !asks && (incoming.brings_one() || packages == Packages::Whole);
        let started = incoming.prepare(hands).and_then(|()| match &incoming.receive.brings {
            Brings::Snapshot(snapshot) if early => incoming.start(hands, Some(snapshot)).map(Some),
            Brings::Snapshots if early => incoming.start(hands, None).map(Some),
            _ => Ok(None),
        });
        match started {
            Ok(Some(sink)) => incoming.sink = sink,
            Ok(None) => {}
            Err(failure) => incoming.fail(hands, failure),
        }
        incoming
    }

    fn replaces(&self) -> bool {
        self.receive.into_empty || self.receive.overwrite
    }

    fn brings_one(&self) -> bool {
        matches!(self.receive.brings, Brings::Snapshot(_))
    }

    /// What the request alone can be refused for, and what must be there before it.
    fn prepare(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let (Context { config, host, .. }, receive) = (hands.context, &self.receive);
        guard::receive(config, receive)?;
        for ancestor in &receive.ancestors {
            host.create_placeholder(ancestor, receive.top_ancestor.as_ref() == Some(ancestor))
                .map_err(|why| hands.context.explain_missing(why, permission::RECEIVE, ancestor))?;
        }
        Ok(())
    }

    /// What is replaced is looked at when the stream has begun, and again before its END record: then ZFS puts the new dataset in
    /// the place of the old one, with all snapshots that this one has got meanwhile (`dmu_recv_end_check` in
    /// `module/zfs/dmu_recv.c`), and until then a sender can take all the time that it likes.
    fn check_replaced(&self, host: &dyn Host) -> Result<(), Failure> {
        let dataset = &self.receive.dataset;
        if self.receive.into_empty && !host.is_empty(dataset)? {
            return Err(Failure::new(Refusal::Exists, &format!("destination {dataset} exists and is not empty")));
        }
        if self.receive.overwrite && host.has_snapshots(dataset)? {
            return Err(Failure::new(Refusal::Changed, &format!("{dataset} has snapshots now")));
        }
        Ok(())
    }

    fn start(&self, hands: &Hands<'_>, snapshot: Option<&SnapshotName>) -> Result<Sink, Failure> {
        let Started { stdin, words, process } = hands.context.host.receive(&self.receive, snapshot)?;
        let told = if self.judge.is_apart() { Told::Later } else { Told::Now };
        let receiving = hands.receives.watch(hands.context, self.id, self.receive.clone(), told, process, words)?;
        Ok(Sink::Open { stdin, receiving })
    }

    /// Takes a data frame's body; an error means that the session is over.
    pub(super) fn data(&mut self, len: usize, hands: &mut Hands<'_>) -> Result<(), HelperError> {
        let mut left = len;
        while left > 0 {
            if let Sink::Dropped(_) = self.sink {
                hands.mover.take(&hands.input.0, None::<&OwnedFd>, left).map_err(WireError::Io)?;
                return Ok(());
            }
            left -= match self.judge.wants() {
                Wants::Rest => self.pass(left, hands)?,
                Wants::Pass(most) => {
                    let some = usize::try_from(most).unwrap_or(left).min(left);
                    self.judge.passed(some as u64);
                    self.pass(some, hands)?
                }
                Wants::Bytes(most) => {
                    let mut bytes = vec![0; most.min(left)];
                    read(hands.input, &mut bytes)?;
                    match self.judge.read(&bytes) {
                        Ok(act) => self.act(act, hands)?,
                        Err(why) => self.refuse(&why, hands),
                    }
                    bytes.len()
                }
                Wants::Nothing => {
                    self.refuse("there is data after its end", hands);
                    0
                }
            };
        }
        Ok(())
    }

    fn pass(&mut self, len: usize, hands: &mut Hands<'_>) -> Result<usize, HelperError> {
        if let Sink::Open { stdin, receiving } = &self.sink {
            let taken = hands.mover.take(&hands.input.0, Some(stdin), len).map_err(WireError::Io)?;
            receiving.took(len);
            self.taken(taken);
        }
        Ok(len)
    }

    /// A receive that takes no more has ended, and says why; what still comes of its stream has no place to go.
    fn taken(&mut self, taken: Taken) {
        if taken == Taken::Refused
            && let Sink::Open { receiving, .. } = std::mem::replace(&mut self.sink, Sink::Dropped(None))
        {
            self.sink = Sink::Dropped(Some(receiving));
        }
    }

    fn act(&mut self, act: Option<Act>, hands: &mut Hands<'_>) -> Result<(), HelperError> {
        match act {
            None => Ok(()),
            Some(Act::Begin { snapshot, bytes }) => {
                let checked = self.keys.check(hands.context, &self.receive, &bytes);
                if let Err(failure) = checked.and_then(|()| self.begin(snapshot.as_ref(), hands)) {
                    self.fail(hands, failure);
                }
                self.forward(&bytes, hands)
            }
            Some(Act::Forward(bytes)) => self.forward(&bytes, hands),
            Some(Act::End(bytes)) => {
                // Only with these ZFS gives up what is there, with all snapshots that it has got meanwhile.
                if self.replaces()
                    && let Err(failure) = self.check_replaced(&*hands.context.host)
                {
                    self.fail(hands, failure);
                }
                self.forward(&bytes, hands)?;
                if self.judge.is_apart() {
                    self.close();
                }
                Ok(())
            }
        }
    }

    /// A receive has all of its stream. One that has ended before keeps its place, so that its stream's end can tell.
    fn close(&mut self) {
        match std::mem::replace(&mut self.sink, Sink::Dropped(None)) {
            Sink::Open { stdin, receiving } => {
                stdin.complete();
                receiving.finish(Ending::Complete);
                self.sink = Sink::Closed(receiving);
            }
            other => self.sink = other,
        }
    }

    /// A stream begins that may be received: sees to it that there is a receive for it.
    fn begin(&mut self, snapshot: Option<&SnapshotName>, hands: &Hands<'_>) -> Result<(), Failure> {
        match &self.sink {
            Sink::Open { .. } | Sink::Dropped(_) => Ok(()),
            Sink::None => {
                if self.replaces() {
                    self.check_replaced(&*hands.context.host)?;
                }
                let snapshot = match &self.receive.brings {
                    Brings::Snapshot(announced) => Some(announced),
                    Brings::Snapshots => snapshot,
                };
                self.sink = self.start(hands, snapshot)?;
                Ok(())
            }
            Sink::Closed(before) => {
                let before = Arc::clone(before);
                // It starts while the one before it still settles, and gets nothing until that is through.
                let next = self.start(hands, snapshot)?;
                if before.succeeds(|| !hands.is_deserted()) {
                    self.sink = next;
                    return Ok(());
                }
                if let Sink::Open { stdin, receiving } = next {
                    receiving.withdraw();
                    drop(stdin);
                    receiving.finish(Ending::Broken);
                }
                // It has told why itself.
                self.sink = Sink::Dropped(None);
                Ok(())
            }
        }
    }

    fn forward(&mut self, bytes: &[u8], hands: &Hands<'_>) -> Result<(), HelperError> {
        if let Sink::Open { stdin, receiving } = &self.sink {
            receiving.needs(self.judge.features());
            let taken = hands.mover.put(&hands.input.0, stdin, bytes).map_err(WireError::Io)?;
            receiving.took(bytes.len());
            self.taken(taken);
        }
        Ok(())
    }

    /// The stream isn't what was announced, or not what anybody may send.
    fn refuse(&mut self, why: &str, hands: &Hands<'_>) {
        let words = format!("the helper refuses the stream for {}: {why}", self.receive.dataset);
        self.fail(hands, Failure::new(Refusal::UnexpectedStream, &words));
    }

    /// Nothing more is received of it, and the sender learns why.
    fn fail(&mut self, hands: &Hands<'_>, failure: Failure) {
        match std::mem::replace(&mut self.sink, Sink::Dropped(None)) {
            Sink::None => hands.context.replies.done(self.id, Some(failure)),
            Sink::Open { stdin, receiving } => {
                receiving.tell(Some(failure));
                drop(stdin);
                receiving.finish(Ending::Broken);
            }
            Sink::Closed(receiving) => receiving.tell(Some(failure)),
            Sink::Dropped(receiving) => self.sink = Sink::Dropped(receiving),
        }
    }

    /// The sender has said how the stream ends.
    pub(super) fn end(self, ending: Ending, context: &Context) {
        let broken = |words: &str| Some(Failure::new(Refusal::Stream, words));
        match self.sink {
            Sink::None if ending == Ending::Broken => context.replies.done(self.id, broken("the stream was aborted")),
            Sink::None => context.replies.done(self.id, broken("the stream ended before it began")),
            Sink::Open { stdin, receiving } => {
                match ending {
                    Ending::Complete => stdin.complete(),
                    Ending::Broken => drop(stdin),
                }
                receiving.tell(None);
                receiving.finish(ending);
            }
            Sink::Closed(receiving) if ending == Ending::Broken => receiving.tell(broken("the stream was aborted")),
            Sink::Closed(receiving) if !self.judge.may_end() => receiving.tell(broken("the package is incomplete")),
            Sink::Closed(receiving) => receiving.tell(None),
            Sink::Dropped(Some(receiving)) => {
                // Some of it has reached nobody.
                receiving.tell_lost(Failure::new(Refusal::Stream, "zfs recv ended before its stream"));
                receiving.finish(ending);
            }
            Sink::Dropped(None) => {}
        }
    }
}

impl Hands<'_> {
    /// Whether the sender is gone.
    fn is_deserted(&self) -> bool {
        self.context.replies.is_broken() || crate::pump::is_gone(&self.input.0)
    }
}

fn read(input: &Input, bytes: &mut [u8]) -> Result<(), HelperError> {
    let mut input: &Input = input;
    Ok(input.read_exact(bytes).map_err(|error: io::Error| WireError::Io(error))?)
}
