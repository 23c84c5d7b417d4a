//! Findings about a dataset of a host: its pool, what may be done with it, and whether what comes fits into it.

use super::host::older;
use super::{EndFacts, Examined, Finding, HostRole, Mark};
use crate::format::bytes;
use crate::plan::nearest;
use zfs::name::DatasetName;
use zfs::{Allow, Examination, FeatureState, Place, PoolState, Rights, permission};

/// Without these nothing is received; the others only let what arrives be kept unmounted and marked.
const TO_RECEIVE: [&str; 3] = ["receive", "create", "mount"];
/// Without these nothing is sent, or not several snapshots at once; the others are for bookmarks and notes.
const TO_SEND: [&str; 2] = ["send", "hold"];

/// What is to be said of a dataset; `other` is the other end.
pub(super) fn findings(end: &EndFacts, other: Option<&EndFacts>) -> Vec<Finding> {
    if end.is_outside() || end.hello.zfs_path.is_none() {
        return Vec::new();
    }
    let Some(found) = end.found() else {
        let words = match &end.examined {
            Examined::Older => older(end),
            _ => return Vec::new(),
        };
        return vec![Finding::unknown("pool", words.clone()), Finding::unknown("permissions", words)];
    };
    let mut all = pools(end, found);
    let (Some(dataset), Some(place)) = (&end.dataset, &found.place) else { return all };
    let Some(nearest) = &place.nearest else {
        all.extend(place.unread.as_ref().map(|words| {
            let advice = format!("on {}: zfs list '{dataset}' says why", end.host);
            Finding::failure("dataset", format!("{dataset} can't be read: {words}"), advice)
        }));
        return all;
    };
    all.push(existence(end, dataset, nearest));
    all.extend(place.locked.as_ref().map(|who| {
        Finding::warning(
            "lock",
            format!("another run holds the lock: {who}"),
            "wait until it has ended, or use --wait-lock",
        )
    }));
    all.push(permissions(end, nearest, place, other));
    all.extend(encryption(end, place, other));
    let source = other.filter(|_| end.role == HostRole::Receiver).and_then(EndFacts::found);
    if end.role == HostRole::Receiver {
        all.extend(features(end, place, source));
        all.push(space(end, place, source));
        all.extend(mount(dataset, nearest, place));
    }
    all
}

fn pools(end: &EndFacts, found: &Examination) -> Vec<Finding> {
    const CHECK: &str = "pool";
    let Some(pools) = &found.pools else {
        let advice = format!("on {}: zpool list says why", end.host);
        return vec![Finding::failure(CHECK, "the pools can't be listed", advice)];
    };
    let Some(dataset) = &end.dataset else {
        if pools.is_empty() {
            let advice = format!("on {}: zpool import lists those that can be imported", end.host);
            return vec![Finding::failure(CHECK, "no pool is imported", advice)];
        }
        // It isn't known that any of them is meant.
        let mark = |finding: Finding| Finding { mark: finding.mark.min(Mark::Warning), ..finding };
        return pools.iter().map(|pool| mark(health(end, pool))).collect();
    };
    let name = dataset.pool();
    if let Some(pool) = found.pool(name) {
        return vec![health(end, pool)];
    }
    let near = nearest(name, pools.iter().map(|pool| pool.name.as_str()));
    let near = if near.is_empty() { String::new() } else { format!("; similar names: {}", near.join(", ")) };
    let advice = format!("on {}: zpool import '{name}', or name a dataset of another pool{near}", end.host);
    vec![Finding::failure(CHECK, format!("no pool '{name}' is imported"), advice)]
}

fn health(end: &EndFacts, PoolState { name, health, readonly }: &PoolState) -> Finding {
    const CHECK: &str = "pool";
    let words = format!("{name} is {health}");
    let status = format!("on {}: zpool status '{name}'", end.host);
    match (health.as_str(), readonly) {
        ("ONLINE", false) => Finding::ok(CHECK, words),
        (_, true) if end.role == HostRole::Receiver => {
            let advice = format!("on {}: zpool export '{name}', then zpool import '{name}'", end.host);
            Finding::failure(CHECK, format!("{words}, and imported read-only"), advice)
        }
        ("ONLINE", true) => {
            let advice = "it can be replicated, but no bookmarks can be created on it: keep its newest common snapshot";
            Finding::warning(CHECK, format!("{words}, and imported read-only"), advice)
        }
        ("DEGRADED", _) => Finding::warning(CHECK, words, status),
        _ => Finding::failure(CHECK, words, status),
    }
}

fn existence(end: &EndFacts, dataset: &DatasetName, nearest: &DatasetName) -> Finding {
    const CHECK: &str = "dataset";
    match (end.role, dataset == nearest) {
        (HostRole::Sender, true) => Finding::ok(CHECK, format!("{dataset} exists")),
        (HostRole::Sender, false) => {
            let advice = format!("on {}: zfs list -r '{nearest}' shows those that exist", end.host);
            Finding::failure(CHECK, format!("{dataset} does not exist"), advice)
        }
        (HostRole::Receiver, true) => {
            let words = format!("{dataset} exists: it must be empty, or have a snapshot in common with the source");
            Finding::ok(CHECK, words)
        }
        (HostRole::Receiver, false) => Finding::ok(CHECK, format!("{dataset} will be created below {nearest}")),
    }
}

fn permissions(end: &EndFacts, nearest: &DatasetName, place: &Place, other: Option<&EndFacts>) -> Finding {
    const CHECK: &str = "permissions";
    let guards = end.role == HostRole::Receiver && guards_keys(end, nearest, place, other);
    let guarded = format!("{},{}", permission::RECEIVE, permission::READ);
    let (needed, essential) = match end.role {
        HostRole::Sender => (permission::SEND, &TO_SEND[..]),
        HostRole::Receiver if guards => (guarded.as_str(), &TO_RECEIVE[..]),
        HostRole::Receiver => (permission::RECEIVE, &TO_RECEIVE[..]),
    };
    let user = &end.hello.user;
    let lacking = match (&place.rights, place.rights.lacking(needed)) {
        (Rights::All, _) => return Finding::ok(CHECK, format!("{user} has all permissions")),
        (Rights::DelegationOff, _) => {
            let words = format!("{user} is not root, and the pool's property delegation is off");
            let advice = format!("on {}, as root: zpool set delegation=on '{}'", end.host, nearest.pool());
            return Finding::failure(CHECK, words, advice);
        }
        (_, None) => return Finding::unknown(CHECK, format!("zfs allow '{nearest}' can't be read")),
        (_, Some(lacking)) => lacking,
    };
    if lacking.is_empty() {
        return Finding::ok(CHECK, format!("{user} has all permissions that are needed on {nearest}"));
    }
    let lacks_key = guards && lacking.contains(&permission::READ);
    let why = if lacks_key {
        ": without send, the helper takes no raw increment, as it can't compare wrapped keys"
    } else {
        ""
    };
    let words = format!("{user} lacks {} on {nearest}, or below it{why}", lacking.join(","));
    // TARGET itself must not exist: nothing could tell such a user whether it is empty.
    let target = end.dataset.as_ref().filter(|_| end.role == HostRole::Receiver);
    let missing = target.and_then(DatasetName::parent).and_then(|above| first_below(nearest, &above));
    let grant = match missing.filter(|_| nearest.parent().is_none()) {
        Some(missing) => permission::allow_below(user, &lacking.join(","), &missing),
        None => permission::allow(user, &lacking.join(","), nearest),
    };
    let advice = format!("on {}, as root: {grant}", end.host);
    // A copy that isn't there yet is sent in full, once.
    let exists = end.dataset.as_ref() == Some(nearest);
    let fails = (lacks_key && exists) || lacking.iter().any(|one| essential.contains(one));
    if fails { Finding::failure(CHECK, words, advice) } else { Finding::warning(CHECK, words, advice) }
}

/// Whether raw increments may come, of which the helper lets none replace the wrapped key that is there (`helper/key_guard.rs`).
fn guards_keys(end: &EndFacts, nearest: &DatasetName, place: &Place, other: Option<&EndFacts>) -> bool {
    let of = |place: &Place| place.encryption.as_ref().map(|encryption| encryption.encrypted);
    let source = other.and_then(EndFacts::found).and_then(|found| of(found.place.as_ref()?));
    let copy = end.dataset.as_ref() == Some(nearest) && of(place) == Some(true);
    let trusts = |word: &String| [Allow::Rekey, Allow::Packages].iter().any(|allow| allow.word() == word);
    end.connection.is_some() && !end.hello.allow.iter().any(trusts) && source.unwrap_or(copy)
}

/// The highest dataset below `nearest` that is `dataset`, or above it.
fn first_below(nearest: &DatasetName, dataset: &DatasetName) -> Option<DatasetName> {
    let mut above = std::iter::successors(Some(dataset.clone()), DatasetName::parent);
    above.find(|one| one.parent().as_ref() == Some(nearest))
}

fn encryption(end: &EndFacts, place: &Place, other: Option<&EndFacts>) -> Option<Finding> {
    const CHECK: &str = "encryption";
    let own = place.encryption.as_ref()?;
    let exists = place.nearest == end.dataset;
    let root = own.root.as_ref().map(|root| format!(" (encryption root {root})")).unwrap_or_default();
    let key = if own.key_loaded { "its key is loaded" } else { "its key is not loaded" };
    if end.role == HostRole::Sender {
        return exists.then(|| {
            if own.encrypted {
                Finding::ok(CHECK, format!("encrypted{root}, {key}: it is sent raw, which needs no key"))
            } else {
                Finding::ok(CHECK, "not encrypted")
            }
        });
    }
    let of_source = other.and_then(EndFacts::found).and_then(|found| found.place.as_ref()?.encryption.as_ref());
    let source = of_source.is_some_and(|source| source.encrypted);
    if !own.encrypted {
        let stays = if source { ": encrypted datasets of the source stay encrypted" } else { "" };
        return Some(Finding::ok(CHECK, format!("{} is not encrypted{stays}", place.nearest.as_ref()?)));
    }
    let words = format!("{} is encrypted{root}, {key}", place.nearest.as_ref()?);
    if own.key_loaded || source {
        return Some(Finding::ok(CHECK, words));
    }
    let load = own.root.as_ref().or(place.nearest.as_ref())?;
    let advice =
        format!("on {}: zfs load-key '{load}'; unencrypted datasets can't be received there without the key", end.host);
    let known = of_source.is_some();
    Some(if known { Finding::failure(CHECK, words, advice) } else { Finding::warning(CHECK, words, advice) })
}

/// Of those that are active in the source's pool, the target's pool should lack none. Not every dataset of the pool uses each.
fn features(end: &EndFacts, place: &Place, source: Option<&Examination>) -> Option<Finding> {
    const CHECK: &str = "features";
    let source = source?.place.as_ref()?;
    let in_state = |wanted: FeatureState| -> Vec<&str> {
        let active = source.features.iter().filter(|feature| feature.state == FeatureState::Active);
        active.map(|feature| feature.name.as_str()).filter(|name| place.feature(name) == Some(wanted)).collect()
    };
    let (disabled, unknown) = (in_state(FeatureState::Disabled), in_state(FeatureState::Unknown));
    if place.features.is_empty() || source.features.is_empty() {
        return Some(Finding::unknown(CHECK, "the features of a pool can't be read"));
    }
    if disabled.is_empty() && unknown.is_empty() {
        return Some(Finding::ok(CHECK, "the pool has all features that streams from the source's pool may need"));
    }
    let pool = place.nearest.as_ref()?.pool();
    let lacking = [&disabled[..], &unknown[..]].concat();
    let named = lacking.iter().map(|name| format!("feature@{name}")).collect::<Vec<_>>().join(", ");
    let words = format!("pool {pool} lacks {named}, active in the source's pool");
    let set = disabled.iter().map(|name| format!("zpool set feature@{name}=enabled '{pool}'")).collect::<Vec<_>>();
    let mut advice = Vec::new();
    if !set.is_empty() {
        advice.push(format!("on {}: {}", end.host, set.join("; ")));
    }
    if !unknown.is_empty() {
        advice.push(format!("a newer OpenZFS on {} has {}", end.host, unknown.join(", ")));
    }
    let advice = advice.join("; ");
    let encrypted = source.encryption.as_ref().is_some_and(|encryption| encryption.encrypted);
    let fails = encrypted && lacking.contains(&"encryption");
    Some(if fails { Finding::failure(CHECK, words, advice) } else { Finding::warning(CHECK, words, advice) })
}

fn space(end: &EndFacts, place: &Place, source: Option<&Examination>) -> Finding {
    const CHECK: &str = "space";
    let Some(available) = place.available else {
        return Finding::unknown(CHECK, "zfs does not report the available space");
    };
    let room = format!("{} available", bytes(available));
    if available == 0 {
        return Finding::failure(CHECK, room, "free some space, or raise a quota (zfs get available,quota there)");
    }
    let Some(used) = source.and_then(|source| source.place.as_ref()?.used) else {
        return Finding::ok(CHECK, room);
    };
    // Most of it may be there already.
    let copy = place.used.filter(|_| place.nearest == end.dataset).unwrap_or(0);
    let there = if copy == 0 { String::new() } else { format!(", the target {}", bytes(copy)) };
    let words = format!("{room}; the source uses {} with all its snapshots{there}", bytes(used));
    if used.saturating_sub(copy) <= available {
        return Finding::ok(CHECK, words);
    }
    let advice = "free some space, raise a quota, or replicate less (--newest-only, --exclude); compression on the target may help";
    Finding::warning(CHECK, words, advice)
}

/// Whether TARGET is mounted, or will be: received filesystems aren't, but what exists is as its owner wants it.
fn mount(dataset: &DatasetName, nearest: &DatasetName, place: &Place) -> Option<Finding> {
    const CHECK: &str = "mount";
    const NEW: &str = "what is received below it gets canmount=noauto";
    let mount = place.mount.as_ref()?;
    let is_path = !matches!(mount.mountpoint.as_str(), "none" | "legacy");
    if dataset != nearest {
        let below = dataset.as_str().strip_prefix(nearest.as_str()).unwrap_or_default();
        let at = match mount.mountpoint.trim_end_matches('/') {
            path if is_path => format!("its mount point would be {path}{below}"),
            _ => "it has no mount point".to_owned(),
        };
        return Some(Finding::ok(CHECK, format!("{dataset} will not be mounted (canmount=noauto); {at}")));
    }
    let advice = "changes to its files stop increments";
    let at = &mount.mountpoint;
    Some(match (mount.mounted, mount.readonly, mount.canmount.as_deref()) {
        (true, Some(true), _) => Finding::ok(CHECK, format!("{dataset} is mounted at {at}, read-only")),
        (true, ..) => {
            let advice = format!("{advice}: unmount it (zfs unmount), or set readonly=on");
            Finding::warning(CHECK, format!("{dataset} is mounted at {at}"), advice)
        }
        (false, Some(false), Some("on")) if is_path => {
            let words =
                format!("{dataset} is not mounted, but zfs mount -a and the next boot mount it at {at} (canmount=on)");
            Finding::warning(CHECK, words, format!("{advice}: set canmount=noauto or readonly=on"))
        }
        (false, _, Some(canmount)) => {
            Finding::ok(CHECK, format!("{dataset} is not mounted (canmount={canmount}); {NEW}"))
        }
        (false, ..) => Finding::ok(CHECK, format!("{dataset} is not mounted; {NEW}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs::MountState;

    #[test]
    fn what_is_mounted_is_told_as_it_is() {
        let told = |nearest: &str, mountpoint: &str, mounted: bool, canmount: Option<&str>, readonly: Option<bool>| {
            let (mountpoint, canmount) = (mountpoint.to_owned(), canmount.map(str::to_owned));
            let mount = Some(MountState { mountpoint, mounted, canmount, readonly });
            let finding = mount_of(&Place { mount, ..Place::default() }, nearest);
            (finding.mark, finding.words)
        };
        let (on, off) = (Some(true), Some(false));
        for (found, mark, words) in [
            (told("b/a", "/b/a", true, Some("on"), off), Mark::Warning, "b/a is mounted at /b/a"),
            (told("b/a", "/b/a", true, None, None), Mark::Warning, "b/a is mounted at /b/a"),
            (told("b/a", "/b/a", true, Some("on"), on), Mark::Ok, "b/a is mounted at /b/a, read-only"),
            (
                told("b/a", "/b/a", false, Some("on"), off),
                Mark::Warning,
                "b/a is not mounted, but zfs mount -a and the next boot mount it at /b/a (canmount=on)",
            ),
            (
                told("b/a", "/b/a", false, Some("noauto"), on),
                Mark::Ok,
                "b/a is not mounted (canmount=noauto); what is received below it gets canmount=noauto",
            ),
            (
                told("b/a", "none", false, Some("on"), off),
                Mark::Ok,
                "b/a is not mounted (canmount=on); what is received below it gets canmount=noauto",
            ),
            (
                told("b/a", "/b/a", false, None, None),
                Mark::Ok,
                "b/a is not mounted; what is received below it gets canmount=noauto",
            ),
            (
                told("b", "/", true, Some("on"), off),
                Mark::Ok,
                "b/a will not be mounted (canmount=noauto); its mount point would be /a",
            ),
            (
                told("b", "none", false, Some("on"), off),
                Mark::Ok,
                "b/a will not be mounted (canmount=noauto); it has no mount point",
            ),
        ] {
            assert_eq!(found, (mark, words.to_owned()));
        }
    }

    fn mount_of(place: &Place, nearest: &str) -> Finding {
        mount(&"b/a".parse().unwrap(), &nearest.parse().unwrap(), place).unwrap()
    }
}
