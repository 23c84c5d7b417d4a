//! Asks the target's host what its helper's user may do there, before a resolution takes something away.

use std::collections::HashMap;

use crate::plan::Needs;
use crate::remote::client::Channel;
use crate::remote::client::HelperError;
use helper::wire::{Reply, Request};
use zfs::name::DatasetName;
use zfs::{Examine, Failure, Resolution, Rights};

/// What the helper's user may do with datasets that were asked about.
pub type Known = HashMap<DatasetName, Rights>;

/// Why nothing could take the place of what this resolution takes away, as far as anybody can tell. Root may do everything. `raw`: what
/// comes is raw. `known` is for as long as nothing is changed there.
pub async fn refusal(
    channel: &Channel,
    resolution: &Resolution,
    raw: bool,
    known: &mut Known,
) -> Result<Option<Failure>, HelperError> {
    let user = channel.user();
    let Some(needs) = Needs::of(resolution, raw).filter(|_| channel.examines() && user != "root") else {
        return Ok(None);
    };
    let above = rights(channel, &needs.above, known).await?;
    if needs.are_met_by(&above) {
        return Ok(None);
    }
    let own = rights(channel, &needs.dataset, known).await?;
    let stays = needs.may_stay && has_any_below(channel, &needs.dataset).await?;
    Ok(needs.refusal(user, &own, &above, stays))
}

/// What the helper's user may do with this dataset.
async fn rights(channel: &Channel, dataset: &DatasetName, known: &mut Known) -> Result<Rights, HelperError> {
    if let Some(rights) = known.get(dataset) {
        return Ok(rights.clone());
    }
    let rights = examined(channel, dataset).await?;
    known.insert(dataset.clone(), rights.clone());
    Ok(rights)
}

async fn examined(channel: &Channel, dataset: &DatasetName) -> Result<Rights, HelperError> {
    let mut call = channel.call(|id| Request::Examine { id, what: Examine::Dataset(dataset.clone()) });
    loop {
        match call.next().await? {
            Reply::Examined { examination, .. } => {
                let place = examination.place.filter(|place| place.nearest.as_ref() == Some(dataset));
                return Ok(place.map_or(Rights::Unknown, |place| place.rights));
            }
            Reply::Done { .. } => return Ok(Rights::Unknown),
            _ => {}
        }
    }
}

/// Whether datasets lie below this one; not if nobody can tell.
async fn has_any_below(channel: &Channel, dataset: &DatasetName) -> Result<bool, HelperError> {
    let mut call = channel.call(|id| Request::Names { id, dataset: dataset.clone() });
    let mut any = false;
    loop {
        match call.next().await? {
            Reply::Names { datasets, .. } => any |= datasets.iter().any(|name| name != dataset),
            Reply::Done { .. } => return Ok(any),
            _ => {}
        }
    }
}
