//! TCP ports that are a task's own, among all tasks of all repositories of this user.
//!
//! ```text
//! $XDG_STATE_HOME/wt/ports/PORT     the path of the record of the task that has it
//! tasks/NAME@G/ports.json           that record: its ports, and whether it holds them
//! ```
//!
//! Invariant: a port is somebody's only while both say so. Whatever a kill leaves between the two, or a repository that was
//! deleted, is a lease that nobody holds and that may be handed out again. Both change under one lock of the user, inside of
//! which no other lock is taken. What does not ask `wt` is found by binding: nothing is handed out that somebody listens on.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use super::Site;
use crate::config;
use crate::failpoint;
use crate::model::TaskId;
use crate::store::layout::{TaskFolder, private_folder};
use crate::store::lock::{DEADLINE, Lock, LockError};

/// Where ports are taken from: below the ones that systems give to outgoing connections, above the well-known ones.
const FIRST: u16 = 20_000;
/// The last of them.
const LAST: u16 = 29_999;
/// Where the kernel says which ports it gives to outgoing connections.
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Why a task has no ports.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// There is no place for leases.
    #[error("there is no home folder to keep the leases of ports in")]
    NoHome,
    /// All are leased or in use.
    #[error("only {found} of {wanted} ports are free from {FIRST} to {LAST}")]
    None {
        /// How many were asked for.
        wanted: u32,
        /// How many there are.
        found: usize,
    },
    /// Others are at it.
    #[error("the leases of ports are locked")]
    Lock(#[from] LockError),
    /// The leases or the task's record.
    #[error("the leases of ports cannot be kept")]
    Io(#[from] io::Error),
}

/// What a task says of its ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    ports: Vec<u16>,
    /// Whether they are its own now; else it had them once and gets them again if nobody else has.
    held: bool,
}

impl Record {
    fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // Something on the way is no folder any more.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        replace(path, &serde_json::to_vec(self).map_err(io::Error::other)?)
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}

/// The leases of one user.
#[derive(Debug, Clone)]
pub struct Leases {
    folder: PathBuf,
}

impl Leases {
    /// Returns the leases of whoever runs this program.
    pub fn of_user() -> Result<Self, PortsError> {
        let state = config::state_folder().ok_or(PortsError::NoHome)?;
        Ok(Self::within(&state.join("ports")))
    }

    /// Returns the leases in `folder`, which need not exist.
    pub fn within(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn lock(&self) -> Result<Lock, PortsError> {
        private_folder(&self.folder)?;
        Ok(Lock::take(&self.folder.join("lock"), DEADLINE, "leasing ports")?)
    }

    fn of(&self, port: u16) -> PathBuf {
        self.folder.join(port.to_string())
    }

    /// Returns the record that a lease names, whether or not it is true.
    fn named(&self, port: u16) -> io::Result<Option<PathBuf>> {
        match fs::read_to_string(self.of(port)) {
            Ok(text) => Ok(Some(PathBuf::from(text.trim_end_matches('\n')))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the record of the task that holds a port. What cannot be read may be held, so it is.
    fn holder(&self, port: u16) -> io::Result<Option<PathBuf>> {
        let Some(path) = self.named(port)? else { return Ok(None) };
        let held = match Record::read(&path) {
            Ok(record) => record.is_some_and(|record| record.held && record.ports.contains(&port)),
            Err(_) => true,
        };
        Ok(held.then_some(path))
    }

    /// Gives a task `count` ports that nobody else has, in a row of its own; those that it has or had before if they are
    /// free. Asked again, it answers the same.
    pub fn lease(&self, task: &TaskFolder, count: u32) -> Result<Vec<u16>, PortsError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let _lock = self.lock()?;
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        let own = task.ports();
        let before = Record::read(&own)?.unwrap_or_default();
        let mut found: Vec<u16> = Vec::new();
        for port in before.ports.iter().copied().filter(|port| (FIRST..=LAST).contains(port)) {
            let holder = self.holder(port)?;
            // Its own processes may listen on what it holds already.
            let free = match &holder {
                Some(holder) => *holder == own,
                None => is_free(port),
            };
            if free && found.len() < wanted && !found.contains(&port) {
                found.push(port);
            }
        }
        let kernel = fs::read_to_string(EPHEMERAL).ok().and_then(|text| span(&text));
        for port in from(self.next()) {
            if found.len() >= wanted {
                break;
            }
            if kernel.is_some_and(|(low, high)| (low..=high).contains(&port)) || found.contains(&port) {
                continue;
            }
            if self.holder(port)?.is_none() && is_free(port) {
                found.push(port);
                // The next task begins behind: what was just freed has time to be forgotten by its clients.
                fs::write(self.folder.join("next"), after(port).to_string())?;
            }
        }
        if found.len() < wanted {
            return Err(PortsError::None { wanted: count, found: found.len() });
        }
        let let_go: Vec<u16> = before.ports.into_iter().filter(|port| !found.contains(port)).collect();
        Record { ports: found.clone(), held: true }.write(&own)?;
        failpoint::hit("ports.after_record");
        self.forget(&let_go, &own)?;
        for port in &found {
            replace(&self.of(*port), format!("{}\n", own.display()).as_bytes())?;
        }
        failpoint::hit("ports.after_leases");
        Ok(found)
    }

    fn next(&self) -> u16 {
        let text = fs::read_to_string(self.folder.join("next")).unwrap_or_default();
        text.trim().parse().unwrap_or(FIRST)
    }

    /// Lets the ports of a task go; it remembers them, to get them again if it comes back. It may have none.
    pub fn release(&self, task: &TaskFolder) -> Result<(), PortsError> {
        let own = task.ports();
        if Record::read(&own)?.is_none() {
            return Ok(());
        }
        let _lock = self.lock()?;
        self.let_go(&own)
    }

    fn let_go(&self, own: &Path) -> Result<(), PortsError> {
        let Some(record) = Record::read(own)? else { return Ok(()) };
        if record.held {
            Record { held: false, ..record.clone() }.write(own)?;
        }
        failpoint::hit("ports.after_release");
        self.forget(&record.ports, own)
    }

    fn forget(&self, ports: &[u16], own: &Path) -> Result<(), PortsError> {
        for port in ports {
            if self.named(*port)?.as_deref() == Some(own) {
                fs::remove_file(self.of(*port))?;
            }
        }
        Ok(())
    }

    /// Returns every lease: the port, and the record of the task that it names.
    pub fn list(&self) -> Result<Vec<(u16, PathBuf)>, PortsError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let ports: BTreeSet<u16> = names.filter_map(|name| name.parse().ok()).collect();
        let mut found = Vec::new();
        for port in ports {
            found.extend(self.named(port)?.map(|record| (port, record)));
        }
        Ok(found)
    }

    /// Returns the leases that nobody holds: of deleted repositories, of a `wt` that was killed.
    pub fn dead(&self) -> Result<Vec<(u16, PathBuf)>, PortsError> {
        let mut dead = Vec::new();
        for (port, record) in self.list()? {
            if self.holder(port)?.is_none() {
                dead.push((port, record));
            }
        }
        Ok(dead)
    }

    /// Takes away the leases that nobody holds; returns how many there were.
    pub fn reclaim(&self) -> Result<usize, PortsError> {
        if !self.folder.is_dir() {
            return Ok(0);
        }
        let _lock = self.lock()?;
        let dead = self.dead()?;
        for (port, _) in &dead {
            fs::remove_file(self.of(*port))?;
        }
        Ok(dead.len())
    }
}

/// Gives a task as many ports as the settings ask for.
pub fn lease(site: &Site<'_>, id: &TaskId) -> Result<Vec<u16>, PortsError> {
    match site.settings.workspace.ports {
        0 => Ok(Vec::new()),
        count => Leases::of_user()?.lease(&site.layout.task(id), count),
    }
}

/// Lets the ports of a task go, whatever the settings ask for now.
pub fn release(site: &Site<'_>, id: &TaskId) -> Result<(), PortsError> {
    let folder = site.layout.task(id);
    if folder.ports().exists() { Leases::of_user()?.release(&folder) } else { Ok(()) }
}

/// Returns the ports that a task holds by its own record; none where it cannot be read.
pub fn held(task: &TaskFolder) -> Vec<u16> {
    let record = Record::read(&task.ports()).ok().flatten();
    record.filter(|record| record.held).map(|record| record.ports).unwrap_or_default()
}

/// Returns the variables of a workspace's ports: `WT_PORT_0`, `WT_PORT_1` …
pub fn variables(ports: &[u16]) -> impl Iterator<Item = (String, String)> + '_ {
    ports.iter().enumerate().map(|(n, port)| (format!("WT_PORT_{n}"), port.to_string()))
}

fn after(port: u16) -> u16 {
    if port >= LAST { FIRST } else { port + 1 }
}

/// All ports of the range, beginning at `start`.
fn from(start: u16) -> impl Iterator<Item = u16> {
    let start = if (FIRST..=LAST).contains(&start) { start } else { FIRST };
    (start..=LAST).chain(FIRST..start)
}

/// Reads the two ends of a range, with white space between them.
fn span(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Tells whether nobody listens on a port, on this machine alone or for all the world.
fn is_free(port: u16) -> bool {
    let addresses: [SocketAddr; 4] = [
        (Ipv4Addr::LOCALHOST, port).into(),
        (Ipv6Addr::LOCALHOST, port).into(),
        (Ipv4Addr::UNSPECIFIED, port).into(),
        (Ipv6Addr::UNSPECIFIED, port).into(),
    ];
    addresses.iter().all(|address| match bind(address) {
        Ok(_) => true,
        // Other errors say that there is no such address: no IPv6 here.
        Err(error) => !matches!(error, Errno::ADDRINUSE | Errno::ACCESS | Errno::PERM),
    })
}

/// Takes an address for a moment as a server would that is about to listen, without listening: two that look at once do not
/// take each other, or what each other's children hold until they run their program, for somebody who does.
fn bind(address: &SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    net::sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_listens_has_a_port() {
        let looking = (FIRST..=LAST).rev().find_map(|port| {
            let address = (Ipv4Addr::LOCALHOST, port).into();
            Some((port, bind(&address).ok().filter(|_| is_free(port))?))
        });
        let (port, looking) = looking.unwrap();
        assert!(is_free(port), "another look is no server");
        net::listen(&looking, 1).unwrap();
        assert!(!is_free(port));
    }

    #[test]
    fn the_round_begins_anywhere_and_misses_nothing() {
        let round: Vec<u16> = from(LAST).collect();
        assert_eq!((round[0], round[1], round.len()), (LAST, FIRST, 10_000));
        assert_eq!(from(7).next(), Some(FIRST));
        assert_eq!((after(LAST), after(FIRST)), (FIRST, FIRST + 1));
        assert_eq!(span("32768\t60999\n"), Some((32_768, 60_999)));
        assert_eq!(span("many"), None);
    }

    #[test]
    fn variables_are_numbered_from_zero() {
        let all: Vec<_> = variables(&[20_001, 20_007]).collect();
        assert_eq!(all[1], ("WT_PORT_1".to_owned(), "20007".to_owned()));
        assert_eq!(all.len(), 2);
    }
}
