//! One folder of a worktree, compared with what the index says of it.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, PoisonError};

use gix::bstr::{BStr, BString, ByteSlice as _};
use gix::index::Entry;
use gix::index::entry::Mode as Recorded;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat, fstat, openat, statat};
use rustix::io::Errno;

use super::Verdict;
use super::ignore::{Kind, Level};
use super::plan::{Folder, Is, Plan};
use super::survey::{About, Line, below};

/// How deep a folder that is not tracked is searched for a file that is not ignored.
const DEEPEST: usize = 64;

/// How much older than the index a file must be, in nanoseconds, to be known by its times: clocks of file systems advance in
/// steps of up to ten milliseconds.
pub(super) const STEP: i64 = 20_000_000;

/// The same where times have no fraction of a second.
pub(super) const WHOLE: i64 = 2_000_000_000;

/// The way from the root to the folder that is looked at, kept open, since the next one is near.
pub(super) struct Walk<'a> {
    plan: &'a Plan,
    steps: Vec<Step>,
    /// Room for the names that the kernel tells at once.
    room: Vec<u8>,
    /// What was seen, if all is to be.
    seen: Option<Vec<Line>>,
}

/// How much room that is, in bytes.
const ROOM: usize = 32 * 1024;

struct Step {
    /// The path of the folder.
    path: BString,
    folder: OwnedFd,
    ignored: Option<Arc<Level>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let seen = plan.survey.as_ref().map(|_| Vec::new());
        Self { plan, steps: Vec::new(), room: Vec::with_capacity(ROOM), seen }
    }

    /// Returns what was seen.
    pub(super) fn seen(self) -> Vec<Line> {
        self.seen.unwrap_or_default()
    }

    /// Takes note of a tracked name that is other than in the index and goes on, if all is to be seen; else that is a verdict.
    fn differs(
        &mut self,
        folder: &Folder,
        name: &BStr,
        stat: Option<&Stat>,
        verdict: Verdict,
    ) -> Result<(), Verdict> {
        let Some(seen) = &mut self.seen else { return Err(verdict) };
        let path = below(folder.path.as_bstr(), name);
        seen.push(match stat {
            None => Line::gone(path),
            Some(stat) if is_plain(FileType::from_raw_mode(stat.st_mode)) => {
                Line::of(About::File, path, stat)
            }
            Some(_) => return Err(Verdict::AskGit),
        });
        Ok(())
    }

    /// Opens the folder at `path`, one step after the other.
    fn go(&mut self, path: &BStr) -> Result<(), Verdict> {
        while self.steps.last().is_some_and(|step| !leads_to(&step.path, path)) {
            self.steps.pop();
        }
        let mut from = self.steps.last().map_or(0, |step| step.path.len() + 1);
        while from < path.len() {
            let to = path[from..].find_byte(b'/').map_or(path.len(), |slash| from + slash);
            let name = &path[from..to];
            let opened = if self.plan.remembers() {
                // Its names need most likely not be read.
                open_place(self.fd(), name)
            } else {
                open_folder(self.fd(), name)
            };
            let opened = opened.map_err(|cause| match cause {
                Errno::NOENT => Verdict::Dirty,
                _ => Verdict::AskGit,
            })?;
            self.steps.push(Step { path: path[..to].into(), folder: opened, ignored: None });
            from = to + 1;
        }
        Ok(())
    }

    /// Calls `each` with every name in the folder that was gone to, and what it stands for; a folder tells its names once.
    fn names(&mut self, each: impl FnMut(&[u8], FileType) -> Result<(), Verdict>) -> Result<(), Verdict> {
        let folder = self.steps.last().map_or_else(|| self.plan.root.as_fd(), |step| step.folder.as_fd());
        if self.plan.remembers() && !self.steps.is_empty() {
            let folder = open_folder(folder, b".").map_err(|_| Verdict::AskGit)?;
            return names(folder.as_fd(), &mut self.room, each);
        }
        names(folder, &mut self.room, each)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.steps.last().map_or_else(|| self.plan.root.as_fd(), |step| step.folder.as_fd())
    }

    /// Returns the ignore rules of the folder that was gone to.
    fn ignored(&mut self) -> Result<Arc<Level>, Verdict> {
        let mut root = self.plan.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        let mut level = match &*root {
            Some(level) => level.clone(),
            None => root.insert(Level::root(&self.plan.rules, self.plan.root.as_fd())?).clone(),
        };
        drop(root);
        for step in &mut self.steps {
            let own = match &step.ignored {
                Some(own) => own.clone(),
                None => level.below(step.folder.as_fd(), step.path.as_bstr())?,
            };
            step.ignored = Some(own.clone());
            level = own;
        }
        Ok(level)
    }
}

fn leads_to(folder: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn open_folder(above: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(above, name, flags, Mode::empty())
}

/// Opens a folder as a place to look from; its names cannot be read.
fn open_place(above: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    let light = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    let light = OFlags::RDONLY;
    let flags = light | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(above, name, flags, Mode::empty())
}

/// Calls `each` with every name in a folder that was just opened, and what it stands for.
fn names(
    folder: BorrowedFd<'_>,
    room: &mut Vec<u8>,
    mut each: impl FnMut(&[u8], FileType) -> Result<(), Verdict>,
) -> Result<(), Verdict> {
    let mut listed = RawDir::new(folder, room.spare_capacity_mut());
    while let Some(name) = listed.next() {
        let name = name.map_err(|_| Verdict::AskGit)?;
        let text = name.file_name().to_bytes();
        if text != b"." && text != b".." {
            each(text, name.file_type())?;
        }
    }
    Ok(())
}

/// Looks at one folder, by its number.
pub(super) fn look(walk: &mut Walk<'_>, number: usize) -> Verdict {
    try_look(walk, number).unwrap_or_else(|verdict| verdict)
}

fn try_look(walk: &mut Walk<'_>, number: usize) -> Result<Verdict, Verdict> {
    let plan = walk.plan;
    let folder = &plan.folders[number];
    match (walk.go(folder.path.as_bstr()), &mut walk.seen) {
        (Ok(()), _) => {}
        (Err(Verdict::Dirty), Some(seen)) => {
            seen.push(Line::gone(folder.path.clone()));
            return Ok(Verdict::Clean);
        }
        (Err(verdict), _) => return Err(verdict),
    }
    let recall = plan.recall.as_ref().and_then(|recall| Some((recall, fstat(walk.fd()).ok()?)));
    if let Some(seen) = &mut walk.seen {
        let (_, about) = recall.as_ref().ok_or(Verdict::AskGit)?;
        seen.push(Line::of(About::Folder, folder.path.clone(), about));
    }
    if recall.as_ref().is_some_and(|(recall, about)| recall.knows(number, about)) {
        return files(walk, folder, None);
    }
    let mut seen = vec![false; folder.items.len()];
    let mut others: Vec<(BString, FileType)> = Vec::new();
    walk.names(|name, kind| {
        match folder.items.binary_search_by(|item| item.name(&plan.index).as_bytes().cmp(name)) {
            Ok(at) => seen[at] = true,
            Err(_) if name.eq_ignore_ascii_case(b".git") => {
                if !folder.path.is_empty() {
                    return Err(Verdict::AskGit);
                }
            }
            Err(_) => others.push((name.into(), kind)),
        }
        Ok(())
    })?;
    if let Some((recall, about)) = recall.filter(|_| others.is_empty() && !seen.contains(&false)) {
        recall.learn(number, &about);
    }
    files(walk, folder, Some(&seen))?;
    if others.is_empty() {
        return Ok(Verdict::Clean);
    }
    let level = walk.ignored()?;
    let mut noted = walk.seen.take();
    for (name, kind) in others {
        untracked(walk.fd(), &level, folder.path.as_bstr(), name.as_bstr(), kind, (DEEPEST, &mut noted))?;
    }
    walk.seen = noted;
    Ok(Verdict::Clean)
}

/// Looks at the files of a folder; `seen` tells which of its names stand there, unless all do.
fn files(walk: &mut Walk<'_>, folder: &Folder, seen: Option<&[bool]>) -> Result<Verdict, Verdict> {
    let plan = walk.plan;
    for (n, item) in folder.items.iter().enumerate() {
        let listed = seen.is_none_or(|seen| seen[n]);
        let name = item.name(&plan.index);
        match item.is {
            // A folder that is there is opened by whoever looks at it.
            Is::Folder if listed => {}
            Is::Folder => match statat(walk.fd(), name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => walk.differs(folder, name, None, Verdict::Dirty)?,
                _ => return Err(Verdict::AskGit),
            },
            Is::Submodule => empty(walk.fd(), name)?,
            Is::File => match statat(walk.fd(), name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(about) => {
                    if let Err(verdict) = compare(&about, plan.index.entry(item.entry), plan) {
                        walk.differs(folder, name, Some(&about), verdict)?;
                    }
                }
                Err(Errno::NOENT) => walk.differs(folder, name, None, Verdict::Dirty)?,
                Err(_) => return Err(Verdict::AskGit),
            },
        }
    }
    Ok(Verdict::Clean)
}

/// Makes sure that nothing stands in a submodule's folder.
fn empty(above: BorrowedFd<'_>, name: &BStr) -> Result<(), Verdict> {
    let folder = open_folder(above, name).map_err(|_| Verdict::AskGit)?;
    names(folder.as_fd(), &mut Vec::with_capacity(ROOM), |_, _| Err(Verdict::AskGit))
}

/// Compares a file with what the index recorded of it.
fn compare(about: &Stat, entry: &Entry, plan: &Plan) -> Result<(), Verdict> {
    let kind = FileType::from_raw_mode(about.st_mode);
    let as_recorded = match entry.mode {
        Recorded::SYMLINK => kind == FileType::Symlink,
        _ => kind == FileType::RegularFile,
    };
    if !as_recorded {
        return Err(if is_plain(kind) { Verdict::Dirty } else { Verdict::AskGit });
    }
    let executable = about.st_mode & 0o100 != 0;
    if kind == FileType::RegularFile && executable != (entry.mode == Recorded::FILE_EXECUTABLE) {
        return Err(Verdict::Dirty);
    }
    let recorded = &entry.stat;
    // An index has room for the low bits only.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as git does")]
    let size = about.st_size as u32;
    if size != recorded.size {
        // git writes 0 for a file that it could not know by its times.
        return Err(if recorded.size == 0 { Verdict::AskGit } else { Verdict::Dirty });
    }
    if size == 0 && !entry.id.is_empty_blob() {
        return Err(Verdict::AskGit);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as git does")]
    let same = [
        (about.st_mtime as u32, recorded.mtime.secs),
        (about.st_mtime_nsec as u32, recorded.mtime.nsecs),
        (about.st_ctime as u32, recorded.ctime.secs),
        (about.st_ctime_nsec as u32, recorded.ctime.nsecs),
        (about.st_ino as u32, recorded.ino),
        (about.st_uid, recorded.uid),
        (about.st_gid, recorded.gid),
    ];
    if same.iter().any(|(now, then)| now != then) {
        return Err(Verdict::AskGit);
    }
    let modified = (about.st_mtime, i64::try_from(about.st_mtime_nsec).unwrap_or_default());
    let changed = (about.st_ctime, i64::try_from(about.st_ctime_nsec).unwrap_or_default());
    // As old as the index itself, and yet read by git since: what was written later has other times.
    let read = |at| is_before(modified, at) && is_before(changed, at);
    let known = is_before(modified, plan.written) || plan.vouched.is_some_and(read);
    if known { Ok(()) } else { Err(Verdict::AskGit) }
}

/// Tells whether one time, in seconds and nanoseconds, is so long before another that clocks do not matter.
fn is_before(one: (i64, i64), other: (i64, i64)) -> bool {
    let step = if one.1 == 0 || other.1 == 0 { WHOLE } else { STEP };
    (other.0 - one.0).saturating_mul(1_000_000_000).saturating_add(other.1 - one.1) > step
}

fn is_plain(kind: FileType) -> bool {
    matches!(kind, FileType::RegularFile | FileType::Symlink)
}

/// Makes sure that a name which is not tracked is ignored, or a folder with nothing but ignored files. Where all is to be
/// seen, what is not is noted.
fn untracked(
    above: BorrowedFd<'_>,
    level: &Arc<Level>,
    folder: &BStr,
    name: &BStr,
    listed: FileType,
    (depth, noted): (usize, &mut Option<Vec<Line>>),
) -> Result<(), Verdict> {
    let kind = match listed {
        FileType::Unknown => {
            let about = statat(above, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW);
            FileType::from_raw_mode(about.map_err(|_| Verdict::AskGit)?.st_mode)
        }
        known => known,
    };
    let path = below(folder, name);
    match kind {
        // git obeys it nevertheless, and nobody would note how it is.
        _ if is_plain(kind) && level.ignores(path.as_bstr(), Kind::File) => {
            if noted.is_some() && name == ".gitattributes" { Err(Verdict::AskGit) } else { Ok(()) }
        }
        _ if is_plain(kind) => {
            let Some(noted) = noted else { return Err(Verdict::Dirty) };
            let about = statat(above, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW);
            noted.push(Line::of(About::File, path, &about.map_err(|_| Verdict::AskGit)?));
            Ok(())
        }
        FileType::Directory if level.ignores(path.as_bstr(), Kind::Folder) => Ok(()),
        FileType::Directory if depth == 0 => Err(Verdict::AskGit),
        FileType::Directory => {
            let opened = open_folder(above, name).map_err(|_| Verdict::AskGit)?;
            if let Some(noted) = noted {
                let about = fstat(&opened).map_err(|_| Verdict::AskGit)?;
                noted.push(Line::of(About::Folder, path.clone(), &about));
            }
            let mut inside = Vec::new();
            names(opened.as_fd(), &mut Vec::with_capacity(ROOM), |name, kind| {
                if name.eq_ignore_ascii_case(b".git") {
                    // Another repository.
                    return Err(Verdict::AskGit);
                }
                inside.push((BString::from(name), kind));
                Ok(())
            })?;
            let level = level.below(opened.as_fd(), path.as_bstr())?;
            inside.into_iter().try_for_each(|(name, kind)| {
                let further = (depth - 1, &mut *noted);
                untracked(opened.as_fd(), &level, path.as_bstr(), name.as_bstr(), kind, further)
            })
        }
        // git has no word for anything else.
        _ => Ok(()),
    }
}
