//! The last words of a run about what it has set aside.

use super::receiver::Receiver;
use super::run::Ended;
use crate::error::{Exit, StartError};
use crate::report::{Event, Reporter};

/// For more than so many it isn't asked how they are mounted.
const ASKED: usize = 8;

/// Tells what was set aside, and where it is mounted, unless the run has no time to ask for that.
pub async fn tell(ended: &mut Ended, receiver: Result<Receiver<'_>, StartError>, reporter: &mut dyn Reporter) {
    let asks = ended.asides.len() <= ASKED && !matches!(ended.exit, Exit::Interrupted(_));
    let mut receiver = receiver.ok().filter(|_| asks);
    for mut aside in ended.asides.drain(..) {
        if let Some(receiver) = &mut receiver {
            aside.mount = receiver.mount(&aside.name).await;
        }
        reporter.event(&Event::Notice { dataset: None, text: aside.to_string() });
    }
}
