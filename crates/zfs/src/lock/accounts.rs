//! Locks between accounts: files can't be shared by accounts that don't trust each other, so each holder of a tree announces it on a
//! socket in Linux's abstract name space (unix(7)), where nothing can be left behind. Whoever wants a tree asks all of them. The
//! kernel tells which account a socket belongs to (`SO_PEERCRED`), so one of somebody who may not receive into the tree counts for
//! nothing, whatever it is called and says.

use std::io;

use crate::name::DatasetName;

/// Another account's run that holds something of a tree, or what it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The account's number.
    pub uid: u32,
    /// What it says of itself, if it has answered.
    pub words: Option<String>,
}

#[cfg(target_os = "linux")]
pub use linux::{Announcement, announce, holders};

/// Of elsewhere.
#[cfg(not(target_os = "linux"))]
mod none {
    use super::{DatasetName, Holder, io};

    /// Nothing: this system has no such sockets.
    #[derive(Debug)]
    pub struct Announcement;

    /// Does nothing.
    pub fn announce(_: &DatasetName, _: &str) -> io::Result<Announcement> {
        Ok(Announcement)
    }

    /// Nobody can be asked.
    pub fn holders(_: &DatasetName, _: u32, _: impl FnMut(u32) -> bool) -> io::Result<Vec<Holder>> {
        Ok(Vec::new())
    }
}
#[cfg(not(target_os = "linux"))]
pub use none::{Announcement, announce, holders};

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{PipeWriter, Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread::JoinHandle;
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags};
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

    use super::{DatasetName, Holder, io};

    /// How the names of all these sockets begin.
    const PREFIX: &str = "zfsync/tree/";
    /// So long the holders may take, all together, to say what they have. One that doesn't answer, because it is stopped, say, has it all
    /// the same.
    const PATIENCE: Duration = Duration::from_secs(2);
    /// More than a dataset's name and who holds it take.
    const MAX_WORDS: usize = 2048;

    static COUNT: AtomicU64 = AtomicU64::new(0);

    /// Tells other accounts of a tree that is held, until it is dropped.
    #[derive(Debug)]
    pub struct Announcement {
        /// Its end ends the thread.
        stop: Option<PipeWriter>,
        thread: Option<JoinHandle<()>>,
    }

    impl Drop for Announcement {
        fn drop(&mut self) {
            self.stop = None;
            // The name must be gone when whoever comes next looks.
            if let Some(thread) = self.thread.take() {
                let _ = thread.join();
            }
        }
    }

    /// Announces that `owner` holds a tree. To be done before [`holders`] is asked, so that of two at the same time one sees the other.
    pub fn announce(dataset: &DatasetName, owner: &str) -> io::Result<Announcement> {
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Whoever takes such a name before us must not be able to keep us from it.
        let bound = (0..100).find_map(|again| {
            let name = format!("{PREFIX}{pid}.{count}.{again}");
            SocketAddr::from_abstract_name(name).and_then(|address| UnixListener::bind_addr(&address)).ok()
        });
        let listener = bound.ok_or(io::ErrorKind::AddrInUse)?;
        listener.set_nonblocking(true)?;
        let (stopped, stop) = io::pipe()?;
        let words = format!("{dataset}\n{}\n", owner.replace(char::is_control, " "));
        let answer = move || {
            loop {
                let mut fds = [PollFd::new(&stopped, PollFlags::IN), PollFd::new(&listener, PollFlags::IN)];
                let polled = rustix::event::poll(&mut fds, None);
                if polled.is_ok() && !fds[0].revents().is_empty() {
                    return;
                }
                // Fewer bytes than a new socket's buffer holds: this never waits.
                while let Ok((mut asker, _)) = listener.accept() {
                    let _ = asker.set_nonblocking(true).and_then(|()| asker.write_all(words.as_bytes()));
                }
            }
        };
        let thread = std::thread::Builder::new().name("announce".into()).spawn(answer)?;
        Ok(Announcement { stop: Some(stop), thread: Some(thread) })
    }

    /// Those of other accounts than `own` that hold a tree, a part of it, or what it is a part of. `may` says whether an account may
    /// receive into it.
    pub fn holders(dataset: &DatasetName, own: u32, mut may: impl FnMut(u32) -> bool) -> io::Result<Vec<Holder>> {
        let (mut found, until) = (Vec::new(), Instant::now() + PATIENCE);
        // Somebody's names need not be text.
        let sockets = std::fs::read("/proc/net/unix")?;
        for name in names(&String::from_utf8_lossy(&sockets)) {
            let Ok(socket) = connect(name) else { continue };
            let Ok(uid) = sockopt::socket_peercred(&socket).map(|peer| peer.uid.as_raw()) else { continue };
            if uid == own || !may(uid) {
                continue;
            }
            match ask(socket, until) {
                Some((tree, _)) if !(tree.is_within(dataset) || dataset.is_within(&tree)) => {}
                Some((tree, owner)) => found.push(Holder { uid, words: Some(format!("{owner}, for {tree}")) }),
                None => found.push(Holder { uid, words: None }),
            }
            // One that holds it is enough.
            if !found.is_empty() && Instant::now() >= until {
                break;
            }
        }
        Ok(found)
    }

    /// The announcements among all sockets, in the words of `/proc/net/unix` (proc_net(5)): an abstract name begins with `@`.
    pub(super) fn names(sockets: &str) -> impl Iterator<Item = &str> {
        let paths = sockets.lines().filter_map(|line| line.rsplit(' ').next()?.strip_prefix('@'));
        paths.filter(|name| name.starts_with(PREFIX))
    }

    fn connect(name: &str) -> rustix::io::Result<UnixStream> {
        // Somebody's socket on which nobody answers would make a connection wait.
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket: OwnedFd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
        Ok(UnixStream::from(socket))
    }

    /// What a holder says until then.
    pub(super) fn ask(mut socket: UnixStream, until: Instant) -> Option<(DatasetName, String)> {
        socket.set_nonblocking(false).ok()?;
        let (mut text, mut part) = (Vec::new(), [0; MAX_WORDS]);
        while text.len() < MAX_WORDS {
            let rest = until.saturating_duration_since(Instant::now());
            // Zero would be no limit, and is refused.
            socket.set_read_timeout(Some(rest)).ok()?;
            match socket.read(&mut part) {
                Ok(0) => break,
                Ok(read) => text.extend_from_slice(part.get(..read)?),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        let text = String::from_utf8(text).ok()?;
        let mut lines = text.lines();
        Some((lines.next()?.parse().ok()?, lines.next()?.to_owned()))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const NOBODY: u32 = u32::MAX;

    /// The names of sockets are those of all processes here, and other tests announce too, beside this one or at the same time.
    fn named(dataset: &str) -> DatasetName {
        format!("accounts-{}{dataset}", std::process::id()).parse().unwrap()
    }

    fn held(dataset: &str) -> Vec<String> {
        let own = rustix::process::geteuid().as_raw();
        let found = holders(&named(dataset), NOBODY, |uid| uid == own).unwrap();
        let ours = format!("{}/", named(""));
        found.into_iter().filter_map(|holder| holder.words).filter(|words| words.contains(&ours)).collect()
    }

    #[test]
    fn a_tree_is_announced_as_long_as_it_is_held() {
        let announced = announce(&named("/a"), "run\n1").unwrap();
        let beside = announce(&named("/b"), "run 2").unwrap();
        let words = [format!("run 1, for {}", named("/a"))];
        assert_eq!(held("/a"), words);
        assert_eq!(held("/a/x"), words);
        assert_eq!(held("").len(), 2);
        assert!(held("/ab").is_empty());
        drop(announced);
        assert!(held("/a").is_empty());
        drop(beside);
        assert!(held("").is_empty());
    }

    #[test]
    fn a_slow_answer_has_no_longer_than_all_of_them() {
        use std::io::Write as _;
        use std::time::{Duration, Instant};
        let (asker, mut slow) = std::os::unix::net::UnixStream::pair().unwrap();
        let drips = std::thread::spawn(move || {
            while slow.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let until = Instant::now() + Duration::from_millis(300);
        assert_eq!(linux::ask(asker, until), None);
        // All that it may say would take longer than 40 seconds.
        assert!(until.elapsed() < Duration::from_secs(20), "{:?}", until.elapsed());
        drips.join().unwrap();
        let (asker, mut quick) = std::os::unix::net::UnixStream::pair().unwrap();
        quick.write_all(b"p/a\nwho\n").unwrap();
        drop(quick);
        let until = Instant::now() + Duration::from_secs(60);
        assert_eq!(linux::ask(asker, until), Some(("p/a".parse().unwrap(), "who".into())));
    }

    #[test]
    fn who_may_not_receive_counts_for_nothing() {
        let _announced = announce(&named("less/a"), "somebody").unwrap();
        assert!(holders(&named("less/a"), NOBODY, |_| false).unwrap().is_empty());
        let own = rustix::process::geteuid().as_raw();
        assert!(holders(&named("less/a"), own, |_| true).unwrap().is_empty());
    }

    #[test]
    fn sockets_of_others_are_left_alone() {
        let sockets = "Num RefCount Protocol Flags Type St Inode Path\n\
                       ffff: 00000002 00000000 00010000 0001 01 20000 /run/zfsync/tree/1.0.0\n\
                       ffff: 00000002 00000000 00010000 0001 01 20001 @zfsync/tree/1.0.0\n\
                       ffff: 00000002 00000000 00010000 0001 01 20002\n\
                       ffff: 00000003 00000000 00000000 0001 03 20003 @/tmp/.X11-unix/X0\n";
        assert_eq!(linux::names(sockets).collect::<Vec<_>>(), ["zfsync/tree/1.0.0"]);
    }
}
