//! Findings about a host: the connection, its helper, OpenZFS.

use std::time::Duration;

use super::{ConnectionFacts, EndFacts, Examined, Finding, HostRole, Mark};
use crate::format::duration;

/// A clock that is further off than this makes names and ages of snapshots wrong.
const CLOCK: u64 = 5;
/// A run without `-j` has four streams and asks questions beside them.
const SESSIONS: usize = 5;
/// Older versions are not tested.
const OLDEST: (u32, u32) = (2, 1);

/// What is to be said of a host.
pub(super) fn findings(end: &EndFacts, version: &str) -> Vec<Finding> {
    if let Examined::Unreachable(why) = &end.examined {
        return vec![Finding::new("ssh", Mark::Failure, why)];
    }
    let mut all = Vec::new();
    if let Some(connection) = &end.connection {
        all.push(login(end, connection));
        all.push(helper(end, connection, version));
        all.push(sessions(connection, end.hello.is_plain()));
        all.push(round_trip(end, connection));
        all.push(clock(end, connection));
    }
    if let Some(other) = &end.direct {
        let words =
            format!("with direct, {} connects to {other} by itself: log in there and run doctor for {other}", end.host);
        all.push(Finding::unknown("direct", words));
    }
    if let Examined::Failed(why) = &end.examined {
        let advice = format!("see what 'zfs list' and 'zpool status' say on {}", end.host);
        all.push(Finding::failure("examination", format!("the host could not be examined: {why}"), advice));
    }
    all.push(openzfs(end));
    all
}

fn login(end: &EndFacts, connection: &ConnectionFacts) -> Finding {
    let method = connection.method.as_ref().map(|method| format!(" by {method}")).unwrap_or_default();
    let cipher = connection.cipher.as_ref().map(|cipher| format!("; cipher {cipher}")).unwrap_or_default();
    let words = format!("logged in after {}{method}{cipher}", duration(connection.login));
    match connection.method.as_deref() {
        Some("password" | "keyboard-interactive") => {
            let advice = format!("runs from cron can't answer prompts: install a key (ssh-copy-id {})", end.host);
            Finding::warning("ssh", words, advice)
        }
        _ => Finding::ok("ssh", words),
    }
}

fn helper(end: &EndFacts, connection: &ConnectionFacts, version: &str) -> Finding {
    let hello = &end.hello;
    let other = if hello.version == version { String::new() } else { format!(" (here: {version})") };
    let (verb, role) = match end.role {
        HostRole::Sender => ("send", "source"),
        HostRole::Receiver => ("recv", "target"),
    };
    let roots = hello.roots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let allowed = if hello.allow.is_empty() { String::new() } else { format!("; allowed: {}", hello.allow.join(",")) };
    let restricted = if roots.is_empty() { String::new() } else { format!("; restricted to {roots}") };
    let took = match connection.greeting.as_millis() {
        few @ 0..100 => format!("{few} ms"),
        _ => duration(connection.greeting),
    };
    let (their, user) = (&hello.version, &hello.user);
    if hello.is_plain() {
        let zfs = hello.zfs_path.as_deref().unwrap_or("zfs");
        let words = format!(
            "none: {user} runs {zfs} alone, which answered after {took}; it takes no lock, and whatever needs a helper is refused"
        );
        let advice =
            format!("install zfsync on {}, or let one be sent along (--helper ship), for everything else", end.host);
        return Finding::warning("helper", words, advice);
    }
    let words = format!("zfsync {their}{other} runs as {user}, and answered after {took}{allowed}{restricted}");
    if connection.serves != end.role {
        let advice = format!("a {role} needs zfsync {verb}: check command= in authorized_keys on {}", end.host);
        return Finding::failure("helper", format!("{words}; but it can't {verb}"), advice);
    }
    if let Some(dataset) = &end.dataset
        && end.is_outside()
    {
        let advice = format!("choose a dataset within {roots}, or change --root in the forced command");
        return Finding::failure("helper", format!("{words}; {dataset} is outside of that"), advice);
    }
    let lacking: Vec<&str> =
        end.needs.iter().map(|need| need.word()).filter(|need| !hello.allow.iter().any(|word| word == need)).collect();
    if !lacking.is_empty() {
        let lacking = lacking.join(",");
        let advice = format!("add --allow {lacking} to the forced command in authorized_keys on {}", end.host);
        return Finding::failure("helper", format!("{words}; the job needs {lacking}"), advice);
    }
    Finding::ok("helper", words)
}

/// Where `zfs` runs alone each call of it takes a session, and two of them are for questions.
fn sessions(ConnectionFacts { sessions: (granted, asked), .. }: &ConnectionFacts, plain: bool) -> Finding {
    let words = format!("{granted} of {asked} sessions over one connection");
    let questions = if plain { 2 } else { 1 };
    if *granted >= SESSIONS - 1 + questions {
        return Finding::ok("sessions", words);
    }
    let streams = granted.saturating_sub(questions).max(1);
    let advice = format!(
        "set MaxSessions to 10, its default, in the host's sshd_config, or use -j {streams}; --connections spreads streams over several connections"
    );
    Finding::warning("sessions", words, advice)
}

fn round_trip(end: &EndFacts, connection: &ConnectionFacts) -> Finding {
    match connection.round_trip {
        Some(time) => {
            Finding::ok("round trip", format!("{:.1} ms for a request and its reply", time.as_secs_f64() * 1000.0))
        }
        None if end.examined == Examined::Older => Finding::unknown("round trip", older(end)),
        None => Finding::unknown("round trip", "there was no reply"),
    }
}

fn clock(end: &EndFacts, connection: &ConnectionFacts) -> Finding {
    let Some(ahead) = connection.clock else { return Finding::unknown("clock", older(end)) };
    let off = ahead.unsigned_abs();
    if off <= CLOCK {
        return Finding::ok("clock", "the clocks agree");
    }
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let words = format!("its clock is {} {direction} this machine's", duration(Duration::from_secs(off)));
    Finding::warning("clock", words, "snapshots are named and kept by date: synchronize both clocks with NTP")
}

pub(super) fn older(end: &EndFacts) -> String {
    format!("zfsync {} on {} is too old to report this", end.hello.version, end.host)
}

fn openzfs(end: &EndFacts) -> Finding {
    const CHECK: &str = "OpenZFS";
    let host = &end.host;
    if end.hello.zfs_path.is_none() {
        let advice = format!("install OpenZFS on {host}: a package such as zfsutils-linux");
        return Finding::failure(
            CHECK,
            "there is no zfs command on PATH, in /sbin, /usr/sbin or /usr/local/sbin",
            advice,
        );
    }
    let found = end.found();
    let userland = found.and_then(|found| found.userland.as_deref());
    let module = found.and_then(|found| found.module.as_deref()).or(end.hello.zfs.as_deref());
    let (userland, module) = match (userland, module) {
        (Some(userland), Some(module)) => (userland, module),
        (None, Some(module)) => return aged(format!("kernel module {module}"), module),
        (Some(userland), None) => {
            let words = format!("{userland}, but no kernel module reports its version");
            return Finding::failure(CHECK, words, format!("on {host}: modprobe zfs, then check dmesg"));
        }
        (None, None) if end.examined == Examined::Older => return Finding::unknown(CHECK, older(end)),
        (None, None) => return Finding::unknown(CHECK, "zfs version reports no version"),
    };
    if release(userland) != release(module) {
        let words = format!("the zfs command has version {userland}, the kernel module {module}");
        return Finding::warning(CHECK, words, format!("reboot {host} after an upgrade, so that both are the same"));
    }
    aged(userland.to_owned(), userland)
}

/// A version that can be used, unless it is an old one.
fn aged(words: String, version: &str) -> Finding {
    match number(version) {
        Some(number) if number < OLDEST => {
            let (major, minor) = OLDEST;
            let advice = format!("upgrade to OpenZFS {major}.{minor} or newer: zfsync is not tested with older ones");
            Finding::warning("OpenZFS", words, advice)
        }
        _ => Finding::ok("OpenZFS", words),
    }
}

/// Without the revision of the package.
fn release(version: &str) -> &str {
    version.split('-').next().unwrap_or(version)
}

fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = release(version).split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
