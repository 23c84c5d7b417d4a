//! What can happen next in a simulated run, and the choice.

use super::world::{Live, Weather, World};
use crate::exec::machine::ConnectionId;
use crate::plan::StepId;
use crate::remote::client::ChannelId;

/// What can happen next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    Up(usize),
    Sent(StepId),
    Received(StepId),
    Relisted(usize),
    Resolved(usize),
    // From here on: what does no harm, and brings nothing forward.
    Tick,
    Moved(StepId),
    Estimated(StepId),
    Late(usize),
    Stale,
    Again(StepId),
    // From here on: what passes.
    Down(ChannelId),
    Cut(ConnectionId),
    UpFails(usize),
    Killed(StepId),
    Sticks(StepId),
    Unlucky(StepId),
    ResolutionLost(usize),
    // From here on: what doesn't.
    SendFails(StepId),
    Refused(StepId),
    RelistFails(usize),
    RelistClashes(usize),
    NoWay(usize),
    ResolutionRefused(usize),
    ResolvedInVain(usize),
    Stop,
}

impl World {
    /// Chooses what happens next; `None`: nothing this time.
    pub fn choose(&mut self) -> Option<Next> {
        let [good, harmless, passing, bad] = self.possible();
        let roll = self.roll();
        // Mostly things go well, else nothing long would ever be tried.
        let choice = match (roll % 8, self.weather) {
            (5, _) => &harmless,
            (6, Weather::Any) if !bad.is_empty() => &bad,
            (6 | 7, Weather::Any | Weather::Faults(1..)) => &passing,
            _ if good.is_empty() => return Some(Next::Tick),
            _ => &good,
        };
        let next = *choice.get(roll / 8 % choice.len().max(1))?;
        if let Weather::Faults(left) = &mut self.weather
            && (6..8).contains(&(roll % 8))
        {
            *left = left.saturating_sub(1);
        }
        Some(next)
    }

    fn possible(&self) -> [Vec<Next>; 4] {
        let (mut good, mut harmless) = (Vec::new(), vec![Next::Tick]);
        let (mut passing, mut bad) = (Vec::new(), Vec::new());
        for at in 0..self.coming.len() {
            good.push(Next::Up(at));
            // The first channel was there before the run began.
            if self.numbered > 0 {
                passing.push(Next::UpFails(at));
                bad.push(Next::NoWay(at));
            }
        }
        for (id, live) in &self.steps {
            self.possible_for(*id, live, &mut good, &mut harmless, &mut passing, &mut bad);
        }
        for dataset in &self.relisting {
            good.push(Next::Relisted(*dataset));
            bad.extend([Next::RelistFails(*dataset), Next::RelistClashes(*dataset)]);
        }
        for dataset in self.resolving.iter().filter(|_| !self.channels.is_empty()) {
            good.push(Next::Resolved(*dataset));
            passing.push(Next::ResolutionLost(*dataset));
            bad.extend([Next::ResolutionRefused(*dataset), Next::ResolvedInVain(*dataset)]);
        }
        passing.extend(self.channels.keys().map(|channel| Next::Down(*channel)));
        passing.extend(self.channels.values().map(|connection| Next::Cut(*connection)));
        harmless.extend((0..self.undead.len()).map(Next::Late));
        if !self.ghosts.is_empty() {
            harmless.push(Next::Stale);
        }
        if self.numbered > 0 {
            bad.push(Next::Stop);
        }
        [good, harmless, passing, bad]
    }

    fn possible_for(
        &self,
        id: StepId,
        live: &Live,
        good: &mut Vec<Next>,
        harmless: &mut Vec<Next>,
        passing: &mut Vec<Next>,
        bad: &mut Vec<Next>,
    ) {
        if live.stuck {
            if live.aborted && !live.told_sent && id.is_multiple_of(2) {
                good.push(Next::Sent(id));
            }
            return;
        }
        harmless.push(Next::Moved(id));
        if self.limits.stall.is_some() {
            passing.push(Next::Sticks(id));
        }
        let others_first =
            self.steps.iter().any(|(other, before)| before.channel == live.channel && *other < id && !before.told_sent);
        if !live.told_sent && !others_first {
            good.push(Next::Sent(id));
            harmless.push(Next::Estimated(id));
            passing.push(Next::Killed(id));
            bad.push(Next::SendFails(id));
        }
        if live.told_received.is_none() && !others_first {
            // The end of the stream can be answered before we have told the machine of it.
            good.push(Next::Received(id));
            passing.push(Next::Unlucky(id));
            bad.push(Next::Refused(id));
        } else {
            harmless.push(Next::Again(id));
        }
    }
}
