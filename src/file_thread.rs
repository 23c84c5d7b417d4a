//! Files that are written by a thread of their own, in order: a file server that hangs must hold up neither a stream nor the ear for
//! signals. Whoever waits for the thread waits only as long as it gets on.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

/// A file system that has finished nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells whether it has got on: what only fails, however often, keeps nobody waiting.
type Job<S> = Box<dyn FnOnce(&mut S) -> bool + Send>;

/// Says that a job gets on, where one has to do with many files.
#[derive(Debug)]
pub struct Beat(watch::Sender<u64>);

impl Beat {
    /// It has got on.
    pub fn tick(&self) {
        self.0.send_modify(|done| *done += 1);
    }
}

/// A way to the thread, which owns what it works on. It ends when the last way is gone and all is done.
#[derive(Debug)]
pub struct FileThread<S> {
    jobs: mpsc::Sender<Job<S>>,
    /// How often it has got on.
    done: watch::Receiver<u64>,
    /// What that was when somebody waited in vain.
    late: Arc<AtomicU64>,
}

impl<S> Clone for FileThread<S> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), done: self.done.clone(), late: self.late.clone() }
    }
}

impl<S: Send + 'static> FileThread<S> {
    /// Starts it, with what it works on.
    pub fn start(name: &str, state: impl FnOnce(Beat) -> S) -> io::Result<Self> {
        let ((jobs, todo), (tell, done)) = (mpsc::channel::<Job<S>>(), watch::channel(0));
        let (mut state, beat) = (state(Beat(tell.clone())), Beat(tell));
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            for job in todo {
                if job(&mut state) {
                    beat.tick();
                }
            }
        })?;
        Ok(Self { jobs, done, late: Arc::new(AtomicU64::new(u64::MAX)) })
    }

    /// Has something done, after all that was given before. It tells whether it has got on.
    pub fn put(&self, job: impl FnOnce(&mut S) -> bool + Send + 'static) {
        // A thread that broke down is found by whoever waits.
        let _ = self.jobs.send(Box::new(job));
    }

    /// The same, waiting for what comes of it.
    pub async fn ask<T: Send + 'static>(&self, job: impl FnOnce(&mut S) -> T + Send + 'static) -> io::Result<T> {
        self.ask_within(PATIENCE, job).await
    }

    async fn ask_within<T: Send + 'static>(
        &self,
        patience: Duration,
        job: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> io::Result<T> {
        let (tell, mut answer) = oneshot::channel();
        self.put(move |state| {
            // Somebody may have waited too long.
            let _ = tell.send(job(state));
            true
        });
        let mut done = self.done.clone();
        loop {
            let before = *done.borrow_and_update();
            if let Ok(answer) = answer.try_recv() {
                return Ok(answer);
            }
            // Where somebody has waited in vain nobody else does, until it goes on.
            let patience = if self.late.load(Ordering::Relaxed) == before { Duration::ZERO } else { patience };
            match tokio::time::timeout(patience, done.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(io::Error::other("an internal thread failed")),
                Err(_) => {
                    self.late.store(before, Ordering::Relaxed);
                    return Err(late(PATIENCE));
                }
            }
        }
    }
}

/// Why a file system is not waited for.
pub fn late(patience: Duration) -> io::Error {
    let words = format!("the file system has not answered for {} s", patience.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, words)
}

/// Why nobody waits any longer, though the file system might still answer.
pub fn hurried() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the file system had not answered when a signal ended the wait")
}

/// Does something with files in a thread, and waits for what comes of it.
pub async fn once<T: Send + 'static>(job: impl FnOnce(&Beat) -> io::Result<T> + Send + 'static) -> io::Result<T> {
    FileThread::start("file", |beat| beat)?.ask(|beat| job(beat)).await.and_then(|done| done)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn what_hangs_is_waited_for_once() {
        let (go, gate) = mpsc::channel::<()>();
        let thread = FileThread::start("test", |_| Vec::new()).unwrap();
        let line = |line| {
            move |lines: &mut Vec<_>| {
                lines.push(line);
                true
            }
        };
        thread.put(move |_| gate.recv().is_ok());
        thread.put(line("first"));
        let ask = |patience| thread.ask_within(patience, |lines| lines.clone());
        assert_eq!(ask(SHORT).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let began = Instant::now();
        assert!(ask(Duration::from_secs(60)).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        // What was given is done, in its order, when it goes on.
        thread.put(line("second"));
        go.send(()).unwrap();
        while *thread.done.borrow() < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(Duration::from_secs(60)).await.unwrap(), ["first", "second"]);
    }

    #[tokio::test]
    async fn what_gets_on_is_waited_for() {
        struct Slow(mpsc::Receiver<()>, Beat, u32);
        impl Slow {
            fn one(&mut self) -> bool {
                self.2 += u32::from(self.0.recv_timeout(SHORT / 2).is_err());
                true
            }
        }
        let (_never, gate) = mpsc::channel();
        let thread = FileThread::start("test", |beat| Slow(gate, beat, 0)).unwrap();
        (0..8).for_each(|_| thread.put(Slow::one));
        assert_eq!(thread.ask_within(SHORT * 3, |slow| slow.2).await.unwrap(), 8);
        let many = |slow: &mut Slow| {
            for _ in 0..8 {
                slow.one();
                slow.1.tick();
            }
            slow.2
        };
        assert_eq!(thread.ask_within(SHORT * 3, many).await.unwrap(), 16);
    }

    #[tokio::test]
    async fn what_only_fails_is_not_waited_for() {
        let (_never, gate) = mpsc::channel::<()>();
        let thread = FileThread::start("test", |_| gate).unwrap();
        (0..20).for_each(|_| thread.put(|gate| gate.recv_timeout(SHORT / 2).is_ok()));
        let began = Instant::now();
        assert_eq!(thread.ask_within(SHORT * 3, |_| ()).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < SHORT * 9, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_thread_that_broke_down_is_told() {
        let thread = FileThread::start("test", |_| ()).unwrap();
        thread.put(|()| std::panic::resume_unwind(Box::new("on purpose")));
        assert!(thread.ask(|()| ()).await.unwrap_err().to_string().contains("thread failed"));
        assert!(once(|_| Err::<(), _>(io::ErrorKind::NotFound.into())).await.is_err());
    }
}
