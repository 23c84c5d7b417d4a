//! Questions to a helper whose part a thread plays.

use std::io::{self, Read as _, Write};
use std::thread;

use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::remote::link::{Access, End};
use helper::wire::{FrameKind, HEADER, Header, greeting, write_message};
use zfs::Hello;

/// A channel to a helper that gets so many requests and then speaks.
fn play(requests: usize, speak: impl FnOnce(&mut dyn Write) + Send + 'static) -> Channel {
    let ((mut stdin, ours_in), (ours_out, mut stdout), (ours_err, _)) =
        (io::pipe().unwrap(), io::pipe().unwrap(), io::pipe().unwrap());
    thread::spawn(move || {
        stdout.write_all(greeting(&Hello::default()).unwrap().as_bytes()).unwrap();
        for _ in 0..requests {
            let mut header = [0; HEADER];
            stdin.read_exact(&mut header).unwrap();
            stdin.read_exact(&mut vec![0; Header::decode(header).unwrap().len]).unwrap();
        }
        speak(&mut stdout);
        // Until nobody asks any more.
        let _ = io::copy(&mut stdin, &mut io::sink());
    });
    let (events, _) = unbounded_channel();
    Channel::over(1, [ours_in.into(), ours_out.into(), ours_err.into()], "beta", events).unwrap()
}

fn say(output: &mut dyn Write, reply: &Reply) {
    write_message(&mut &mut *output, FrameKind::Reply, reply).unwrap();
}

fn ends(silence: Duration) -> Ends {
    let link = Link { silence: Some(silence), ..Link::default() };
    let end = |name: &str| End { link: link.clone(), dataset: name.parse().unwrap() };
    Ends { source: end("p"), target: end("q") }
}

fn receiver(channel: Channel, ends: &Ends) -> Receiver<'_> {
    Receiver {
        channel,
        ends,
        asked: Instant::now(),
        claim: None,
        unlocked: None,
        ahead: None,
        unread: Vec::new(),
        noted: None,
    }
}

#[tokio::test]
async fn answers_to_other_questions_are_signs_of_life() {
    let number = crate::remote::client::CALLS;
    let channel = play(2, move |output| {
        for _ in 0..12 {
            thread::sleep(Duration::from_millis(250));
            say(output, &Reply::Names { id: number, datasets: vec!["q/x".parse().unwrap()] });
        }
        say(output, &Reply::Done { id: number, failure: None, warning: None });
        say(output, &Reply::Found { id: number + 1, found: vec![(0, Guid(7), Txg(1))] });
    });
    let ends = ends(Duration::from_secs(2));
    let mut receiver = receiver(channel, &ends);
    receiver.ask_names(ends.target.dataset.clone());
    assert_eq!(receiver.ask(&["q".to_owned()]).await.unwrap(), [(0, Guid(7), Txg(1))]);
    assert_eq!(receiver.names().await.unwrap().len(), 12);
}

#[tokio::test]
async fn one_that_says_nothing_is_not_waited_for() {
    let ends = ends(Duration::from_millis(200));
    let mut receiver = receiver(play(1, |_| {}), &ends);
    assert!(matches!(receiver.ask(&["q".to_owned()]).await, Err(StartError::NoAnswer { .. })));
}

#[tokio::test]
async fn a_claim_that_is_refused_ends_what_was_asked_after_it() {
    let number = crate::remote::client::CALLS;
    let channel = play(2, move |output| {
        let failure = Some(Failure { refusal: Refusal::Locked, words: "somebody".into() });
        say(output, &Reply::Done { id: number, failure, warning: None });
        say(output, &Reply::Found { id: number + 1, found: vec![] });
    });
    let ends = ends(Duration::from_secs(60));
    let mut receiver = receiver(channel, &ends);
    receiver.claim(1, Duration::ZERO).await.unwrap();
    let asked = receiver.ask(&["q".to_owned()]).await;
    assert!(matches!(asked, Err(StartError::LockedThere { ref holder, .. }) if holder == "somebody"), "{asked:?}");
}

#[tokio::test]
async fn whoever_asks_hears_why_the_channel_is_gone() {
    let channel = play(1, |output| say(output, &Reply::Names { id: 5, datasets: vec![] }));
    let ends = ends(Duration::from_secs(60));
    let error = receiver(channel, &ends).ask(&["q".to_owned()]).await.unwrap_err().to_string();
    assert!(
        error.starts_with("the helper on beta violated the protocol: it answers a request that was not made"),
        "{error}"
    );
}

/// What is done about swapped ends must not be taken for known because the connection was lost.
#[tokio::test]
async fn notes_that_zfs_refuses_are_none_and_a_lost_answer_is_a_failure() {
    let number = crate::remote::client::CALLS;
    let ends = ends(Duration::from_secs(60));
    let refusing = play(1, move |output| {
        let failure = Some(Failure { refusal: Refusal::Permission, words: "permission denied".into() });
        say(output, &Reply::Done { id: number, failure, warning: None });
    });
    let refused = receiver(refusing, &ends).readable_notes().await.unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    let lost = play(1, |output| say(output, &Reply::Names { id: 5, datasets: vec![] }));
    let lost = receiver(lost, &ends).readable_notes().await;
    assert!(matches!(lost, Err(StartError::Helper(_))), "{lost:?}");
}

/// Nothing that changes anything goes to a host in a dry run, whatever whoever decides has got wrong.
#[tokio::test]
async fn a_dry_run_has_nothing_changed() {
    let number = crate::remote::client::CALLS;
    // What is refused here has a number, and is never sent: one request arrives.
    let channel = play(1, move |output| say(output, &Reply::Found { id: number + 3, found: vec![] }));
    let ends = ends(Duration::from_secs(60));
    let mut receiver = receiver(channel.with(Access::of(true)), &ends);
    let dataset = ends.target.dataset.clone();
    for refused in [
        receiver.destroy(dataset.clone(), vec![]).await.unwrap(),
        receiver.clear(dataset.clone()).await.unwrap(),
        receiver.prune(&[(dataset, vec![("s".parse().unwrap(), Guid(1))])], false).await.unwrap().remove(0).err(),
    ] {
        let refused = refused.unwrap();
        assert_eq!(refused.refusal, Refusal::NotAllowed);
        assert!(refused.words.contains("must not change anything"), "{refused:?}");
    }
    assert_eq!(receiver.ask(&["q".to_owned()]).await.unwrap(), []);
}

#[tokio::test]
async fn nor_on_the_source() {
    let source = crate::endpoint::Endpoint::with(zfs::Zfs::at("/nonexistent/zfs")).with_access(Access::ReadOnly);
    let (dataset, snapshots) = ("p".parse().unwrap(), vec![("s".parse().unwrap(), Guid(1))]);
    let refused = source.prune(dataset, snapshots, false, None).await.unwrap_err();
    assert_eq!(refused.refusal, Refusal::NotAllowed);
}
