//! Telling a runner to stop, or to park: a mark on disk that outlasts any race, and a FIFO that wakes it.
//!
//! The mark is written first and read by a runner after it has opened its FIFO, so that an order given at any moment is
//! seen. Only the holder of the task's lock removes it. An order to park names its attempt, since nobody waits for its end:
//! one that comes too late means nothing to the attempt after it.

use std::io::{self, Write as _};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::OpenOptions;
use tokio::sync::watch;

use crate::store::layout::TaskFolder;

fn mark(folder: &TaskFolder) -> std::path::PathBuf {
    folder.root().join("stop")
}

fn park_mark(folder: &TaskFolder) -> std::path::PathBuf {
    folder.root().join("park")
}

/// What a runner is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// A person stops the task.
    Stop,
    /// Its account cannot be used, for this reason.
    Park(String),
}

/// Orders the runner of a task to stop.
pub fn give(folder: &TaskFolder) -> io::Result<()> {
    fs::write(mark(folder), b"stop\n")?;
    wake(folder);
    Ok(())
}

/// Orders that attempt of a task to end and wait for a person, for `reason`, which is one line.
pub fn park(folder: &TaskFolder, attempt: u32, reason: &str) -> io::Result<()> {
    fs::write(park_mark(folder), format!("{attempt}\n{reason}"))?;
    wake(folder);
    Ok(())
}

/// Returns why that attempt was ordered to park, if it was.
pub fn parked(folder: &TaskFolder, attempt: u32) -> Option<String> {
    let text = fs::read_to_string(park_mark(folder)).ok()?;
    let (number, reason) = text.split_once('\n')?;
    (number.parse() == Ok(attempt)).then(|| reason.to_owned())
}

fn wake(folder: &TaskFolder) {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).expect("open flags fit an int");
    // No reader yet: it looks for the mark when it comes. No FIFO: it makes one, then looks. One that is just leaving
    // needs no waking.
    if let Ok(mut fifo) = fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(folder.control())
    {
        drop(fifo.write_all(b"s"));
    }
}

/// The runner's end: the order that was given, to be asked and waited for any number of times.
#[derive(Debug, Clone)]
pub struct Orders {
    given: watch::Receiver<Option<Order>>,
}

impl Orders {
    /// Opens the FIFO, making it if it is missing, and listens for that attempt in a task of the current runtime.
    pub fn listen(folder: &TaskFolder, attempt: u32) -> io::Result<Self> {
        match mkfifoat(CWD, folder.control(), Mode::RUSR | Mode::WUSR) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // Read-write, so that a writer that leaves is no end of file.
        let mut fifo = OpenOptions::new().read_write(true).open_receiver(folder.control())?;
        let folder = folder.clone();
        let (tell, given) = watch::channel(order(&folder, attempt));
        tokio::spawn(async move {
            let mut bytes = [0; 16];
            loop {
                tell.send_replace(order(&folder, attempt));
                // A stop outdoes everything; after it, nothing is left to hear.
                if *tell.borrow() == Some(Order::Stop) || fifo.read(&mut bytes).await.is_err() {
                    break;
                }
            }
            // Kept open: a closed channel would wake the ones who wait for nothing.
            tell.closed().await;
        });
        Ok(Self { given })
    }

    /// Returns orders that never come: for work that a person does in the foreground.
    pub fn never() -> Self {
        Self { given: watch::channel(None).1 }
    }

    /// Returns the order that was given.
    pub fn given(&self) -> Option<Order> {
        self.given.borrow().clone()
    }

    /// Returns whether the work is to end.
    pub fn stop_given(&self) -> bool {
        self.given.borrow().is_some()
    }

    /// Waits until the work is to end.
    pub async fn stop(&self) {
        let mut given = self.given.clone();
        if given.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn order(folder: &TaskFolder, attempt: u32) -> Option<Order> {
    if mark(folder).exists() { Some(Order::Stop) } else { parked(folder, attempt).map(Order::Park) }
}

/// Forgets orders that were carried out, or that came too late; the caller holds the task's lock.
pub fn forget(folder: &TaskFolder) {
    forget_stop(folder);
    drop(fs::remove_file(park_mark(folder)));
}

/// Forgets an order to stop alone.
pub fn forget_stop(folder: &TaskFolder) {
    // A missing mark is the usual case.
    drop(fs::remove_file(mark(folder)));
}
