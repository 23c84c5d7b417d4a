//! Finds out before a job takes a snapshot whether one of its targets is its source, or lies in it or around it, under another host's name.

use std::time::Duration;

use super::connections::ConnectionPool;
use super::link::{close, first_channel};
use super::stop::Stop;
use super::targets::{noted_on, seen_from};
use crate::config::{CronJob, PushJob, check_overlap};
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::remote::link::{Access, Ends};

/// A target that doesn't answer in this time holds up no snapshot. What is wrong with it the push finds out.
const LIMIT: Duration = Duration::from_secs(10);

/// Refuses such a job. Only a target whose name overlaps with its source's is asked, and only until it is recorded there: then it was
/// replicated to.
pub async fn check(job: &CronJob, sender: &Endpoint, stop: &Stop) -> Result<(), StartError> {
    // What its source sends by itself may be reached from there alone.
    let targets = job.branches.iter().flat_map(|branch| &branch.targets).filter(|push| push.direct.is_none());
    for push in targets.filter(|push| check_overlap(&push.ends).is_err()) {
        let looked = async { Ok(tokio::time::timeout(LIMIT, is_same_host(push, sender)).await.unwrap_or(false)) };
        if stop.unless(looked).await? {
            check_overlap(&push.ends)?;
        }
    }
    Ok(())
}

/// Whether both ends are known to be on the same host.
async fn is_same_host(push: &PushJob, sender: &Endpoint) -> bool {
    let Ends { source, target } = &*push.ends;
    let noted = noted_on(sender, &source.dataset).await.unwrap_or_default();
    if !noted.at(&push.ends, &seen_from(&push.ends).await).is_empty() {
        return false;
    }
    let (mut connections, mut events) = ConnectionPool::new(target.link.clone(), None, Access::ReadOnly);
    connections.connect(1, Duration::ZERO);
    let greeted = first_channel(&mut connections, &mut events).await;
    close(connections).await;
    greeted.is_ok_and(|(_, hello)| hello.boot_id.is_same(&sender.hello().boot_id))
}
