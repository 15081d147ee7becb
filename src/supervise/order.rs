//! Telling a runner to stop: a mark on disk that outlasts any race, and a FIFO that wakes it.
//!
//! The mark is written first and read by a runner after it has opened its FIFO, so that an order given at any moment is
//! seen. Only the holder of the task's lock removes it.

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

/// Orders the runner of a task to stop.
pub fn give(folder: &TaskFolder) -> io::Result<()> {
    fs::write(mark(folder), b"stop\n")?;
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).expect("open flags fit an int");
    // No reader yet: it looks for the mark when it comes. No FIFO: it makes one, then looks. One that is just leaving
    // needs no waking.
    if let Ok(mut fifo) = fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(folder.control())
    {
        drop(fifo.write_all(b"s"));
    }
    Ok(())
}

/// The runner's end: whether an order to stop was given, to be asked and waited for any number of times.
#[derive(Debug, Clone)]
pub struct Orders {
    stop: watch::Receiver<bool>,
}

impl Orders {
    /// Opens the FIFO, making it if it is missing, and listens in a task of the current runtime.
    pub fn listen(folder: &TaskFolder) -> io::Result<Self> {
        match mkfifoat(CWD, folder.control(), Mode::RUSR | Mode::WUSR) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // Read-write, so that a writer that leaves is no end of file.
        let mut fifo = OpenOptions::new().read_write(true).open_receiver(folder.control())?;
        let mark = mark(folder);
        let (tell, stop) = watch::channel(mark.exists());
        tokio::spawn(async move {
            let mut bytes = [0; 16];
            while !mark.exists() && fifo.read(&mut bytes).await.is_ok() {}
            tell.send_replace(mark.exists());
            // Kept open: a closed channel would wake the ones who wait for nothing.
            tell.closed().await;
        });
        Ok(Self { stop })
    }

    /// Returns orders that never come: for work that a person does in the foreground.
    pub fn never() -> Self {
        Self { stop: watch::channel(false).1 }
    }

    /// Returns whether an order to stop was given.
    pub fn stop_given(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits until an order to stop is given.
    pub async fn stop(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|given| *given).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Forgets an order that was carried out, or that came too late; the caller holds the task's lock.
pub fn forget(folder: &TaskFolder) {
    // A missing mark is the usual case.
    drop(fs::remove_file(mark(folder)));
}
