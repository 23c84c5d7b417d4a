//! The first connection to a target's host, and what its helper says of itself.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use super::connections::{ConnectionPool, Opened};
use crate::config::check_overlap;
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::remote::client::{ChannelEvent, ChannelId, FromChannel};
use crate::remote::link::{Ends, Link};
use crate::remote::plain;
use crate::remote::source::Remote;
use crate::remote::ssh::Master;
use helper::wire::SENDS;
use zfs::name::DatasetName;
use zfs::{Allow, Hello};

/// What is connected before a push begins.
#[derive(Debug, Default)]
pub struct Connected {
    /// The source's host; the push closes it.
    pub source: Option<Remote>,
    /// The connection to the target's host; whoever has made it closes it.
    pub target: Option<Arc<Master>>,
}

/// Waits for the first connection and its helper's greeting.
pub async fn first_channel(
    connections: &mut ConnectionPool,
    events: &mut UnboundedReceiver<FromChannel>,
) -> Result<(ChannelId, Hello), StartError> {
    // Greeting and handle come by different ways.
    let mut greeted = None;
    loop {
        tokio::select! {
            opened = connections.opened() => match opened {
                Opened::Connection { connection, channels, masters } => connections.connected(connection, channels, masters?),
                Opened::Channel { channel, opened } => connections.add(channel, opened?),
            },
            Some(FromChannel { channel, event }) = events.recv() => match event {
                ChannelEvent::Ready(hello) => greeted = Some((channel, hello)),
                ChannelEvent::Closed(error) => return Err(error.into()),
                _ => {}
            },
        }
        if let Some((channel, hello)) = greeted.take_if(|(channel, _)| connections.channel(*channel).is_some()) {
            return Ok((channel, hello));
        }
    }
}

/// Whether the target's helper can do what is asked of it.
pub fn check_helper(ends: &Ends, sender: &Endpoint, hello: &Hello) -> Result<(), StartError> {
    let host = ends.target.link.name();
    if hello.zfs_path.is_none() {
        return Err(StartError::NoZfsThere(host));
    }
    if hello.capabilities.iter().any(|word| word == SENDS) {
        return Err(StartError::WrongHelper { host, is: "send", wanted: "recv" });
    }
    let ours = sender.hello();
    let target = &ends.target.dataset;
    if !hello.roots.is_empty() && !hello.roots.iter().any(|root| target.is_within(root)) {
        let roots = hello.roots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(StartError::OutsideRoot { host, roots, target: target.to_string() });
    }
    // One that doesn't take packages whole takes them apart.
    let mut needs = ends.target.link.allow.iter().filter(|allow| **allow != Allow::Packages);
    if let Some(missing) = needs.find(|allow| !hello.allow.iter().any(|word| word == allow.word())) {
        return Err(not_allowed(host, *missing, hello));
    }
    // An ssh to the very machine that sends, under whatever name.
    if hello.boot_id.is_same(&ours.boot_id) {
        check_overlap(ends)?;
    }
    Ok(())
}

/// Whether a helper may do what its link is for.
fn check_allowed(link: &Link, hello: &Hello) -> Result<(), StartError> {
    match link.allow.iter().find(|allow| !hello.allow.iter().any(|word| word == allow.word())) {
        Some(missing) => Err(not_allowed(link.name(), *missing, hello)),
        None => Ok(()),
    }
}

fn not_allowed(host: String, what: Allow, hello: &Hello) -> StartError {
    if !hello.is_plain() {
        return StartError::NotAllowed { host, what };
    }
    StartError::NotByPlainZfs { host, options: plain::options(what) }
}

/// What is still open ends with its stdin; a host that is gone doesn't hold us up for long.
pub async fn close(connections: ConnectionPool) {
    connections.close().await;
}

/// Opens the end that sends, and checks that it can do what is asked of it.
pub async fn open_sender(ends: &Ends) -> Result<Endpoint, StartError> {
    sender_over(None, ends).await
}

/// The same where its host may be connected already.
pub async fn sender_over(connected: Option<Remote>, Ends { source, .. }: &Ends) -> Result<Endpoint, StartError> {
    let sources = std::slice::from_ref(&source.dataset);
    let sender = match connected {
        Some(remote) => checked_sender(remote, sources)?,
        None => sender_of(&source.link, sources).await?,
    };
    allowed(sender, &source.link).await
}

/// The same for these datasets.
pub async fn allowed_sender_of(origin: &Link, sources: &[DatasetName]) -> Result<Endpoint, StartError> {
    allowed(sender_of(origin, sources).await?, origin).await
}

async fn allowed(sender: Endpoint, origin: &Link) -> Result<Endpoint, StartError> {
    if sender.remote().is_some()
        && let Err(error) = check_allowed(origin, &sender.hello())
    {
        sender.close().await;
        return Err(error);
    }
    Ok(sender)
}

/// The same for whoever does what it can: a job replicates though it may not prune.
pub async fn sender_of(origin: &Link, sources: &[DatasetName]) -> Result<Endpoint, StartError> {
    let Some(host) = &origin.host else { return Endpoint::here() };
    checked_sender(Remote::open(host, origin).await?, sources)
}

fn checked_sender(remote: Remote, sources: &[DatasetName]) -> Result<Endpoint, StartError> {
    let (hello, name) = (remote.hello(), remote.host().to_string());
    if !hello.capabilities.iter().any(|word| word == SENDS) {
        return Err(StartError::WrongHelper { host: name, is: "recv", wanted: "send" });
    }
    if hello.zfs_path.is_none() {
        return Err(StartError::NoZfsThere(name));
    }
    let outside = |source: &&DatasetName| !hello.roots.iter().any(|root| source.is_within(root));
    if let Some(source) = sources.iter().find(outside).filter(|_| !hello.roots.is_empty()) {
        let roots = hello.roots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(StartError::SourceOutsideRoot { host: name, roots, source_dataset: source.to_string() });
    }
    Ok(Endpoint::there(remote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    #[test]
    fn what_is_not_allowed_is_named_as_it_was_asked_for() {
        let command = cli::command();
        let is_command = |word: &str| command.get_subcommands().any(|one| one.get_name() == word);
        let options: Vec<&str> =
            command.get_subcommands().flat_map(clap::Command::get_arguments).filter_map(clap::Arg::get_long).collect();
        for what in Allow::OF_A_TARGET.into_iter().chain(Allow::OF_A_SOURCE) {
            let told = not_allowed("beta".into(), what, &Hello::default()).to_string();
            let (asked, advice) = told.split_once(": not permitted: ").unwrap();
            let words = || asked.split([' ', ',', '(', ')']);
            let long: Vec<&str> = words().filter_map(|word| word.strip_prefix("--")).collect();
            assert!(!long.is_empty() || words().any(is_command), "{told}");
            assert!(long.iter().all(|long| options.contains(long)), "{told}");
            assert!(advice.contains(&format!("add --allow {} to the helper's command there", what.word())), "{told}");
        }
    }
}
