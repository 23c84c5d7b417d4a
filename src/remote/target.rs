//! TARGET as the user writes it: `[USER@]HOST:DATASET`, `[USER@][v6]:DATASET`, or `DATASET` on this machine.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use thiserror::Error;

use zfs::name::{DatasetName, NameError};

/// Where a tree goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `None`: this machine.
    pub host: Option<Host>,
    /// The dataset there that SOURCE's own content goes to.
    pub dataset: DatasetName,
}

/// A host as ssh takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The login name, if one was given.
    pub user: Option<String>,
    /// Name, alias of ssh_config, or address (IPv6 without brackets).
    pub name: String,
}

impl Host {
    /// The destination argument for `ssh`.
    #[must_use]
    pub fn destination(&self) -> String {
        match &self.user {
            Some(user) => format!("{user}@{}", self.name),
            None => self.name.clone(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.name.contains(':') { write!(f, "[{}]", self.name) } else { f.write_str(&self.name) }
    }
}

/// What is wrong with a TARGET.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    /// Nothing in front of the colon.
    #[error("{0:?} has no host before the ':': write [USER@]HOST:DATASET, or DATASET on this machine")]
    NoHost(String),
    /// Nothing behind it.
    #[error("{0:?} has no dataset after the ':': write [USER@]HOST:DATASET")]
    NoDataset(String),
    /// `[` without `]:`.
    #[error("{0:?}: write an IPv6 address in brackets, as in [USER@][ADDRESS]:DATASET")]
    Bracket(String),
    /// A URL, as some tools take it.
    #[error("{0:?} is a URL: write [USER@]HOST:DATASET{meant}", meant = meant(.1.as_deref()))]
    Url(String, Option<String>),
    /// Two colons where one belongs.
    #[error("{0:?} has two colons after the host: write [USER@]HOST:DATASET{meant}", meant = meant(.1.as_deref()))]
    TwoColons(String, Option<String>),
    /// An IPv6 address without brackets.
    #[error("{0:?}: write an IPv6 address in brackets; did you mean {1:?}?")]
    BareAddress(String, String),
    /// `ssh` would take it for an option, or it has blanks or control characters.
    #[error("{0:?} is not a valid host or user name")]
    BadHost(String),
    /// `user@host` or `user@host/dataset`, without a colon.
    #[error("{0:?} has no ':' after the host: write [USER@]HOST:DATASET{meant}", meant = with_colon(.0))]
    NoColon(String),
    /// A path of the file system behind the colon, as scp and rsync take it.
    #[error("{0:?} has a path after the ':', not a dataset name; did you mean {1:?}?")]
    Path(String, String),
    /// The dataset part is no legal name.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for Target {
    type Err = TargetError;

    /// A `/` before the first `:` means that the whole is a dataset of this machine, as datasets may have colons in their
    /// names. A pool with a colon in its name can't be a local TARGET.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Some(error) = elsewhere(text) {
            return Err(error);
        }
        let Some((host, dataset)) = split(text)? else {
            let dataset = text.parse().map_err(|error| match error {
                NameError::IsSnapshot(_) if is_login(text) => TargetError::NoColon(text.to_owned()),
                error => error.into(),
            })?;
            return Ok(Self { host: None, dataset });
        };
        let (user, name) = match host.rsplit_once('@') {
            Some((user, name)) => (Some(user), name),
            None => (None, host),
        };
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        if name.is_empty() || user.is_some_and(str::is_empty) {
            return Err(TargetError::NoHost(text.to_owned()));
        }
        for part in user.iter().copied().chain([name]) {
            if part.starts_with('-')
                || part.chars().any(|ch| ch.is_whitespace() || ch.is_control() || "'\"`$;&<>|(){}".contains(ch))
                || part.ends_with('\\')
                || (part == name && part.contains('\\'))
            {
                return Err(TargetError::BadHost(part.to_owned()));
            }
        }
        if dataset.is_empty() {
            return Err(TargetError::NoDataset(text.to_owned()));
        }
        let host = Host { user: user.map(ToOwned::to_owned), name: name.to_owned() };
        match dataset.parse() {
            Ok(dataset) => Ok(Self { host: Some(host), dataset }),
            Err(NameError::Path(path)) => {
                Err(TargetError::Path(text.to_owned(), format!("{host}:{}", path.trim_matches('/'))))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What is written as other tools take it, and can't be a target here.
fn elsewhere(text: &str) -> Option<TargetError> {
    let is_target = |meant: &String| meant.parse::<Target>().is_ok_and(|target| target.host.is_some());
    if let Some(rest) = text.strip_prefix("ssh://") {
        let meant = rest.split_once('/').map(|(host, dataset)| format!("{host}:{}", dataset.trim_matches('/')));
        return Some(TargetError::Url(text.to_owned(), meant.filter(is_target)));
    }
    let (host, dataset) = text.rsplit_once(':')?;
    let (login, name) = host.rsplit_once('@').map_or(("", host), |(user, name)| (&host[..=user.len()], name));
    if name.parse::<Ipv6Addr>().is_ok() {
        return Some(TargetError::BareAddress(text.to_owned(), format!("{login}[{name}]:{dataset}")));
    }
    // A name of this machine may have colons behind the pool.
    let twice = host.strip_suffix(':').filter(|host| !host.contains(['/', ':', '[']))?;
    let meant = format!("{twice}:{dataset}");
    Some(TargetError::TwoColons(text.to_owned(), Some(meant).filter(is_target)))
}

/// What may have been meant, where that is a target.
fn meant(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean {meant:?}?"))
}

/// Whether this can only be a host with a login name: what stands before the `@` of a snapshot is rarely a pool alone.
fn is_login(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, _)| !user.contains('/'))
}

/// What may have been meant, where a `/` stands for the colon.
fn with_colon(text: &str) -> String {
    let Some((host, dataset)) = text.split_once('/') else { return "; a snapshot can't be a target".to_owned() };
    format!("; did you mean {:?}?", format!("{host}:{dataset}"))
}

/// Host part and dataset part; `None` for a dataset of this machine.
fn split(text: &str) -> Result<Option<(&str, &str)>, TargetError> {
    let start = text.find('@').map_or(0, |at| at + 1);
    if text[start..].starts_with('[') {
        let end = text.find("]:").ok_or_else(|| TargetError::Bracket(text.to_owned()))?;
        return Ok(Some((&text[..=end], &text[end + 2..])));
    }
    match text.find(':') {
        Some(colon) if !text[..colon].contains('/') => Ok(Some((&text[..colon], &text[colon + 1..]))),
        _ => Ok(None),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}:{}", self.dataset),
            None => self.dataset.fmt(f),
        }
    }
}

/// What this machine calls itself.
#[must_use]
pub fn host_name_here() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Target, TargetError> {
        text.parse()
    }

    #[test]
    fn takes_hosts_users_and_addresses() {
        for (text, destination, dataset) in [
            ("beta:tank/b", Some("beta"), "tank/b"),
            ("root@beta:tank", Some("root@beta"), "tank"),
            ("[::1]:tank/b", Some("::1"), "tank/b"),
            ("me@[fe80::1%eth0]:tank", Some("me@fe80::1%eth0"), "tank"),
            ("beta:tank/a:b", Some("beta"), "tank/a:b"),
            ("dom\u{e4}ne:tank", Some("dom\u{e4}ne"), "tank"),
            // A user of a Windows domain, as ssh takes it.
            ("DOM\\user@beta:tank", Some("DOM\\user@beta"), "tank"),
            ("tank/a:b", None, "tank/a:b"),
            ("tank", None, "tank"),
        ] {
            let target = parse(text).unwrap();
            assert_eq!(target.host.as_ref().map(Host::destination).as_deref(), destination, "{text}");
            assert_eq!(target.dataset.as_str(), dataset);
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn what_other_tools_take_is_told_in_our_words() {
        for (text, words) in [
            ("ssh://beta/bpool/data", "is a URL: write [USER@]HOST:DATASET; did you mean \"beta:bpool/data\"?"),
            ("ssh://me@beta/bpool/", "did you mean \"me@beta:bpool\"?"),
            ("ssh://beta", "\"ssh://beta\" is a URL: write [USER@]HOST:DATASET"),
            ("root@fd00::2:bpool/data", "in brackets; did you mean \"root@[fd00::2]:bpool/data\"?"),
            ("fd00::2:bpool/data", "in brackets; did you mean \"[fd00::2]:bpool/data\"?"),
            (
                "beta::bpool/data",
                "has two colons after the host: write [USER@]HOST:DATASET; did you mean \"beta:bpool/data\"?",
            ),
            ("me@beta::bpool", "did you mean \"me@beta:bpool\"?"),
            ("beta::", "\"beta::\" has two colons after the host: write [USER@]HOST:DATASET"),
        ] {
            let told = parse(text).unwrap_err().to_string();
            assert!(told.ends_with(words), "{told}");
        }
        for legal in ["tank/a::b", "beta:tank/a::b", "[::1]:tank"] {
            assert!(parse(legal).is_ok(), "{legal}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        assert!(matches!(parse(":tank"), Err(TargetError::NoHost(_))));
        assert!(matches!(parse("me@:tank"), Err(TargetError::NoHost(_))));
        assert!(matches!(parse("@beta:tank"), Err(TargetError::NoHost(_))));
        assert!(matches!(parse("beta:"), Err(TargetError::NoDataset(_))));
        assert!(matches!(parse("[::1:tank"), Err(TargetError::Bracket(_))));
        assert!(matches!(parse("-oProxyCommand=x:tank"), Err(TargetError::BadHost(_))));
        assert!(matches!(parse("-l@beta:tank"), Err(TargetError::BadHost(_))));
        assert!(matches!(parse("user\\@beta:tank"), Err(TargetError::BadHost(_))));
        assert!(matches!(parse("ho\\st:tank"), Err(TargetError::BadHost(_))));
        assert!(matches!(parse("be ta:tank"), Err(TargetError::BadHost(_))));
        assert!(matches!(parse("beta:tank@s"), Err(TargetError::Name(NameError::IsSnapshot(_)))));
        assert!(matches!(parse("beta:/tank/x"), Err(TargetError::Path(_, meant)) if meant == "beta:tank/x"));
        assert!(matches!(parse("me@beta"), Err(TargetError::NoColon(_))));
        assert!(matches!(parse("me@beta/tank/x"), Err(TargetError::NoColon(_))));
        assert!(matches!(parse(""), Err(TargetError::Name(NameError::Empty))));
    }
}
