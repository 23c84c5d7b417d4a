//! The end on the source's host: takes an order, carries the push out, and tells of it.

use std::os::fd::OwnedFd;

use super::super::parts::Pushed;
use super::super::push;
use super::super::signals::Signals;
use super::told::{Ended, Over, Told};
use crate::config::ordered;
use crate::error::{Exit, StartError};
use crate::remote::client::HelperError;
use crate::remote::direct::service::{Service, Speaker};
use crate::report::{DatasetEnd, Event, Reporter};

/// Serves one order on this process's stdin and stdout; how the push has ended.
pub async fn serve() -> Result<Exit, StartError> {
    // From now on a signal is never the end of the process: whoever has given the order is told.
    let _signals = Signals::listen()?;
    let cant = |error| StartError::System { what: "can't serve on stdin and stdout", error };
    let own = |fd: rustix::fd::BorrowedFd<'static>| fd.try_clone_to_owned().map_err(cant);
    let (stdin, stdout): (OwnedFd, OwnedFd) = (own(rustix::stdio::stdin())?, own(rustix::stdio::stdout())?);
    let mut service = Service::start(stdin, stdout).map_err(cant)?;
    let speaker = service.speaker();
    let pushed = match service.order().await {
        Err(words) => Err(StartError::Usage(words)),
        Ok(order) => {
            let mut teller = Teller { speaker: speaker.clone(), ends: order.ends };
            match ordered(order) {
                Ok(job) => push::push(job, &mut teller).await,
                Err(error) => Err(error),
            }
        }
    };
    let (exit, over) = match pushed {
        Ok(Pushed { exit, plan, nothing: _ }) => {
            for row in plan.into_iter().flatten() {
                speaker.tell(&Told::Row(row));
            }
            (exit, Over { exit: exit.code(), error: None, unreached: false })
        }
        Err(error) => {
            let unreached = matches!(error, StartError::Connect(_) | StartError::Helper(HelperError::Connect(_)));
            let exit = error.exit();
            (exit, Over { exit: exit.code(), error: Some(error.to_string()), unreached })
        }
    };
    speaker.tell(&Told::Over(over));
    drop(speaker);
    service.finish();
    Ok(exit)
}

/// Tells of each event.
struct Teller {
    speaker: Speaker,
    /// Whether somebody wants the ends of datasets.
    ends: bool,
}

impl Reporter for Teller {
    fn event(&mut self, event: &Event) {
        let spare = matches!(event, Event::Progress { .. }) && self.speaker.is_behind();
        if !spare && !self.speaker.tell(&Told::Event(event.clone())) {
            let text = "the report is too long for one message: run zfsync on this host to see it".into();
            self.speaker.tell(&Told::Event(Event::Notice { dataset: None, text }));
        }
    }

    fn ended(&mut self, end: &DatasetEnd<'_>) {
        if self.ends {
            self.speaker.tell(&Told::Dataset(Ended::of(end)));
        }
    }
}
