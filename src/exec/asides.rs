//! The last words of a run about what it has set aside.

use std::time::Duration;

use super::receiver::Receiver;
use super::run::Ended;
use super::signals::Signals;
use crate::error::{Exit, StartError};
use crate::plan::Aside;
use crate::report::{Event, Reporter};

/// For more than so many it isn't asked how they are mounted.
const ASKED: usize = 8;

/// A pool that answers at all does so sooner, for all of them.
const LONGEST: Duration = Duration::from_secs(10);

/// Tells what was set aside, and where it is mounted, unless the run has no time to ask for that.
pub async fn tell(
    ended: &mut Ended,
    receiver: Result<Receiver<'_>, StartError>,
    signals: &mut Signals,
    reporter: &mut dyn Reporter,
) {
    let asks = (1..=ASKED).contains(&ended.asides.len()) && !matches!(ended.exit, Exit::Interrupted(_));
    if let Some(mut receiver) = receiver.ok().filter(|_| asks) {
        tokio::select! {
            _ = tokio::time::timeout(LONGEST, ask(&mut ended.asides, &mut receiver)) => {}
            signal = signals.next() => {
                ended.exit = Exit::Interrupted(signal);
                ended.summary.interrupted = true;
            }
        }
    }
    let settled = ended.exit == Exit::InSync;
    for aside in ended.asides.drain(..) {
        let aside = Aside { settled, ..aside };
        reporter.event(&Event::Notice { dataset: None, text: aside.to_string() });
    }
}

/// Asks how they are mounted.
async fn ask(asides: &mut [Aside], receiver: &mut Receiver<'_>) {
    for aside in asides {
        aside.mount = receiver.mount(&aside.name).await;
    }
}
