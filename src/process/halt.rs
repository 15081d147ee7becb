//! Being asked to end something that takes long: by a signal, or by another `wt` through a FIFO.
//!
//! Whoever works looks at [`Halt::cause`] between two steps and lets [`Halt::asked`] end what it waits for. Only while it
//! says so ([`Halt::heed`]) is a signal waited for; at any other time, and the second time, a signal ends the process at
//! once, as it would without this. A FIFO is listened to by an open descriptor, so that who asks knows whether anybody
//! hears, and is told by the kernel when that one is gone: no process id is ever looked at.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use rustix::io::Errno;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// This signal.
    Signal(u8),
    /// A person, through another `wt`.
    Person,
}

/// Whether the work is to end, to be asked and waited for any number of times.
#[derive(Debug, Clone)]
pub struct Halt {
    asked: Arc<watch::Sender<Option<Cause>>>,
    heeded: Arc<AtomicBool>,
}

/// As long as it lives, the work ends itself when it is asked to.
#[derive(Debug)]
pub struct Heeding {
    heeded: Arc<AtomicBool>,
    ended: Option<oneshot::Sender<()>>,
    listener: Option<JoinHandle<()>>,
}

impl Halt {
    /// Returns one that nobody asks for.
    pub fn never() -> Self {
        Self { asked: Arc::new(watch::channel(None).0), heeded: Arc::default() }
    }

    /// Listens for the signals that ask a process to end, in a thread of its own, until the process ends.
    pub fn on_signals() -> io::Result<Self> {
        let halt = Self::never();
        let (ready, is_ready) = mpsc::channel();
        let heard = halt.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(heard.hear_signals(&ready)),
                Err(cause) => drop(ready.send(Err(cause))),
            }
        })?;
        is_ready.recv().map_err(io::Error::other)??;
        Ok(halt)
    }

    async fn hear_signals(&self, ready: &mpsc::Sender<io::Result<()>>) {
        let opened = || -> io::Result<[(u8, Signal); 3]> {
            Ok([
                (2, signal(SignalKind::interrupt())?),
                (15, signal(SignalKind::terminate())?),
                (1, signal(SignalKind::hangup())?),
            ])
        };
        let [mut interrupt, mut terminate, mut hangup] = match opened() {
            Ok(signals) => signals,
            Err(cause) => return drop(ready.send(Err(cause))),
        };
        drop(ready.send(Ok(())));
        loop {
            let number = tokio::select! {
                _ = interrupt.1.recv() => interrupt.0,
                _ = terminate.1.recv() => terminate.0,
                _ = hangup.1.recv() => hangup.0,
            };
            if !self.heeded.load(Ordering::SeqCst) || self.cause().is_some() {
                end_now(number);
            }
            self.asked.send_replace(Some(Cause::Signal(number)));
        }
    }

    /// Says that the work ends itself when it is asked to, and listens for those who ask at the FIFO `control`, which is made
    /// where it is missing.
    pub fn heed(&self, control: &Path) -> io::Result<Heeding> {
        let (told, is_told) = oneshot::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let (asked, control) = (Arc::clone(&self.asked), control.to_owned());
        let listener = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            let listen = || -> io::Result<(tokio::runtime::Runtime, Receiver)> {
                match mkfifoat(CWD, &control, Mode::RUSR | Mode::WUSR) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let inside = runtime.enter();
                // Read-write, so that a writer that leaves is no end of file.
                let fifo = OpenOptions::new().read_write(true).open_receiver(&control)?;
                drop(inside);
                Ok((runtime, fifo))
            };
            match listen() {
                Err(cause) => drop(ready.send(Err(cause))),
                Ok((runtime, mut fifo)) => {
                    drop(ready.send(Ok(())));
                    runtime.block_on(async move {
                        let mut is_told = is_told;
                        let mut byte = [0; 1];
                        tokio::select! {
                            _ = &mut is_told => return,
                            _ = fifo.read(&mut byte) => {}
                        }
                        asked.send_if_modified(|cause| {
                            let first = cause.is_none();
                            *cause = cause.or(Some(Cause::Person));
                            first
                        });
                        // The FIFO stays open to the end of the work: who asked waits for that.
                        drop(is_told.await);
                        drop(fifo);
                    });
                }
            }
        })?;
        is_ready.recv().map_err(io::Error::other)??;
        self.heeded.store(true, Ordering::SeqCst);
        Ok(Heeding { heeded: Arc::clone(&self.heeded), ended: Some(told), listener: Some(listener) })
    }

    /// Returns who asked, if anybody has.
    pub fn cause(&self) -> Option<Cause> {
        *self.asked.borrow()
    }

    /// Waits until somebody asks.
    pub fn asked(&self) -> impl Future<Output = ()> + use<> {
        let mut asked = self.asked.subscribe();
        let kept = self.clone();
        async move {
            // Never an error: the sender is kept.
            drop(asked.wait_for(Option::is_some).await.map(|_| ()));
            drop(kept);
        }
    }
}

impl Drop for Heeding {
    fn drop(&mut self) {
        self.heeded.store(false, Ordering::SeqCst);
        drop(self.ended.take());
        // The FIFO is closed when this returns.
        drop(self.listener.take().map(JoinHandle::join));
    }
}

/// Ends the process as the signal itself would have.
#[expect(clippy::exit, reason = "nobody is left who would hear of it in time")]
fn end_now(signal: u8) {
    std::process::exit(128 + i32::from(signal));
}

/// What became of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nobody listens.
    Nobody,
    /// Who listened has ended its work.
    Ended,
    /// It was asked, and still works after that time.
    Late,
}

/// Asks whoever listens at the FIFO `control` to end its work, and waits for that, at most `patience`.
pub fn ask(control: &Path, patience: Duration) -> io::Result<Answer> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Not by `fs_err`: which error it is says everything.
    let fifo = match open(control, flags, Mode::empty()) {
        Ok(fifo) => fifo,
        Err(Errno::NOENT | Errno::NXIO) => return Ok(Answer::Nobody),
        Err(error) => return Err(error.into()),
    };
    match rustix::io::write(&fifo, b"e") {
        Ok(_) => {}
        Err(Errno::PIPE) => return Ok(Answer::Ended),
        Err(error) => return Err(error.into()),
    }
    // Without events asked for, only the end of the last reader wakes us.
    let mut watched = [PollFd::new(&fifo, PollFlags::empty())];
    let limit = Timespec::try_from(patience).ok();
    loop {
        match poll(&mut watched, limit.as_ref()) {
            Ok(0) => return Ok(Answer::Late),
            Ok(_) => return Ok(Answer::Ended),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_waits_for_the_end_of_the_work() {
        let place = tempfile::tempdir().unwrap();
        let control = place.path().join("control");
        assert_eq!(ask(&control, Duration::ZERO).unwrap(), Answer::Nobody);
        let halt = Halt::never();
        let heeding = halt.heed(&control).unwrap();
        assert_eq!(ask(&control, Duration::ZERO).unwrap(), Answer::Late);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(halt.asked());
        assert_eq!(halt.cause(), Some(Cause::Person));
        let asking = std::thread::spawn(move || (ask(&control, Duration::from_secs(30)).unwrap(), control));
        drop(heeding);
        let (answer, control) = asking.join().unwrap();
        assert!(matches!(answer, Answer::Ended | Answer::Nobody), "{answer:?}");
        assert_eq!(ask(&control, Duration::ZERO).unwrap(), Answer::Nobody);
    }
}
