//! What is known of a regular file while somebody is interested in it.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::error::{Error, Result};
use crate::fs::ids::{DirId, FileId};
use crate::names::StampedName;
use crate::session::Process;
use crate::store::dirfd::stat_file;
use crate::store::local::{Area, Kept};

/// How far the writing of a draft has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// As it was begun: empty, or a copy.
    Untouched,
    /// The only writes so far have failed: nothing of them is in the draft.
    Refused,
    /// Written or truncated since it was begun: worth publishing.
    Written,
    /// Written, but a write failed or a writer was killed: published as partial only (spec 4.9).
    Damaged,
}

impl Progress {
    /// Bytes are about to be written or cut.
    pub fn change(&mut self) {
        *self = match self {
            Progress::Untouched | Progress::Written => Progress::Written,
            Progress::Refused | Progress::Damaged => Progress::Damaged,
        };
    }

    /// A write failed, or a writer was killed.
    pub fn damage(&mut self) {
        *self = match self {
            Progress::Untouched | Progress::Refused => Progress::Refused,
            Progress::Written | Progress::Damaged => Progress::Damaged,
        };
    }

    /// The draft was emptied: the bytes that a failed write has left are gone.
    pub fn heal(&mut self) {
        *self = match self {
            Progress::Untouched | Progress::Refused => Progress::Untouched,
            Progress::Written | Progress::Damaged => Progress::Written,
        };
    }

    pub fn is_changed(self) -> bool {
        matches!(self, Progress::Written | Progress::Damaged)
    }

    pub fn is_damaged(self) -> bool {
        matches!(self, Progress::Refused | Progress::Damaged)
    }
}

/// New content that is not published yet, in a file of the private directory.
#[derive(Debug)]
pub struct Draft {
    /// Open for reading and writing.
    pub file: Arc<File>,
    /// Its inode number.
    pub ino: u64,
    pub progress: Progress,
    /// Open handles that may write to it.
    pub writers: u32,
    /// An edit of what was consumed already: it stays consumed.
    pub of_consumed: bool,
}

/// Where a doc's bytes are.
#[derive(Debug)]
pub enum Content {
    /// In a draft that waits for the open that it was made for. The name is reserved, and not listed yet.
    Reserved(Draft),
    /// In a draft only. The name is reserved and listed; the store does not have the file yet.
    New(Draft),
    /// In the store, under the file's name.
    Stored,
    /// In the store, and a draft holds the content that is to replace it (spec 4.4).
    Editing(Draft),
    /// Nowhere under a name: removed, or no handoff any more. Open handles still hold the file.
    Gone,
}

/// What has become of the content that the last close left.
#[derive(Debug, Default)]
pub enum Version {
    /// It is in place. Bytes may have been appended.
    #[default]
    Whole,
    /// It is being written anew in place; a copy was kept, unless it was empty.
    Kept(Option<Kept>),
    /// It was emptied by a writer that was killed, or failed, before it wrote anything. The copy comes back.
    CutShort(Kept),
}

/// Why a new handoff was begun, and so whether an unwritten one is worth anything.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Origin {
    /// A name was created.
    #[default]
    Created,
    /// A copy of the handoff that had the alias before. If nothing is written, the alias goes back.
    CopyOf(FileId),
    /// The name of an ordinary file was opened (spec 3.6). An append copies nothing.
    OverOrdinary(DirId, OsString),
    /// `pending.md` was written (spec 4.7).
    PendingMd,
}

/// What is to become of a draft when its last writer has closed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Fate {
    /// Published as pending.
    #[default]
    Publish,
    /// Dropped if it is empty: its session has opened another handoff under the alias while this one was open.
    DropIfEmpty,
    /// Published as consumed: its alias was unlinked first (spec 4.5). Dropped if it is empty.
    Consume,
}

/// Access and modification time, where they are given.
pub type Times = (Option<SystemTime>, Option<SystemTime>);

/// What a regular file is called on disk, and by that what kind of file it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum FileName {
    /// A handoff, in the backing directory once it is published.
    Handoff(StampedName),
    /// An ordinary or a scratch file, in this area.
    Other(Area, OsString),
}

impl FileName {
    pub fn to_os_string(&self) -> OsString {
        match self {
            FileName::Handoff(name) => name.to_os_string(),
            FileName::Other(_, name) => name.clone(),
        }
    }

    /// Is this a pending handoff?
    pub fn is_pending(&self) -> bool {
        matches!(self, FileName::Handoff(name) if name.is_pending())
    }
}

/// What is remembered of a handoff, and of no other file.
#[derive(Default, Debug)]
pub struct HandoffState {
    /// Agents and stream editors that have read it since it was last written (spec 4.4).
    pub read_by: HashSet<Process>,
    /// Some session has, or had, an alias of it: it is kept until the sweep finds none.
    pub aliased: bool,
    pub origin: Origin,
    pub fate: Fate,
    /// When it was written, if the retraction of its alias has set another time.
    pub written: Option<SystemTime>,
    /// The process that made it with O_EXCL: it may open the empty file again by its name (spec 4.1).
    pub maker: Option<Process>,
    /// Its writers have published it, or begun to rewrite it in place, and not closed it yet.
    pub unfinished: bool,
    /// What has become of the content that the last close left (spec 3.9).
    pub version: Version,
    /// How often a version was kept. A copy that was begun before the latest one may hold old and new bytes.
    pub rewrites: u64,
    /// Where the last write to the draft ended, and whether with a newline; `None` if another writer may have written
    /// since. Where this is the file's size, it tells whether the file ends with a newline.
    pub last: Option<(u64, bool)>,
}

/// A regular file that somebody is interested in just now: it has a node, a handle, an alias or a draft.
#[derive(Debug)]
pub struct RegularFile {
    pub dir: DirId,
    pub name: FileName,
    pub content: Content,
    /// The inode number of the stored file, once there is one.
    pub ino: u64,
    /// The inode number shown through an alias, whichever file is below: a new handoff that takes over an alias takes
    /// over its number, as a truncated file keeps its own.
    pub view: u64,
    /// The inode number shown of an ordinary file that was edited: the one that it had before.
    pub seen: Option<u64>,
    /// Open handles that may write, to the draft or in place.
    pub writers: u32,
    /// Times that were set on a draft that turned out to be a mere copy.
    pub times: Option<Times>,
    /// Since when no writer has anything unpublished: a RELEASE is probably on its way (spec 4.2).
    pub flushed: Option<Instant>,
    /// Who opened it first for writing, and when; for `status`.
    pub pid: u32,
    pub since: SystemTime,
    /// Of use for a handoff only.
    pub handoff: HandoffState,
}

impl RegularFile {
    pub fn is_handoff(&self) -> bool {
        matches!(self.name, FileName::Handoff(_))
    }

    /// The name, if this is a handoff.
    pub fn stamped_if_handoff(&self) -> Option<&StampedName> {
        match &self.name {
            FileName::Handoff(name) => Some(name),
            FileName::Other(..) => None,
        }
    }

    /// The name of a handoff.
    ///
    /// # Errors
    ///
    /// EIO, logged, for any other file: its caller takes it for a handoff.
    pub fn stamped(&self) -> Result<&StampedName> {
        self.stamped_if_handoff()
            .ok_or_else(|| broken(&format!("{:?} is taken for a handoff", self.name)))
    }

    /// Is this a scratch file, or an ordinary file where `area` is the backing directory?
    pub fn is_other_in(&self, area: Area) -> bool {
        matches!(&self.name, FileName::Other(of, _) if *of == area)
    }

    /// Is this an ordinary or scratch file that has its name still?
    pub fn other(&self) -> Option<(Area, &OsStr)> {
        match &self.name {
            FileName::Other(area, name) if !self.is_gone() => Some((*area, name)),
            _ => None,
        }
    }

    /// Does a close make what was written durable? Not of scratch files, nor of ordinary files that are written in place.
    pub fn is_published_by_close(&self) -> bool {
        self.is_handoff() || self.draft().is_some()
    }

    pub fn draft(&self) -> Option<&Draft> {
        match &self.content {
            Content::Reserved(draft) | Content::New(draft) | Content::Editing(draft) => Some(draft),
            Content::Stored | Content::Gone => None,
        }
    }

    pub fn draft_mut(&mut self) -> Option<&mut Draft> {
        match &mut self.content {
            Content::Reserved(draft) | Content::New(draft) | Content::Editing(draft) => Some(draft),
            Content::Stored | Content::Gone => None,
        }
    }

    /// The draft, if that is this open file.
    pub fn draft_of(&mut self, open: &Arc<File>) -> Option<&mut Draft> {
        self.draft_mut()
            .filter(|draft| Arc::ptr_eq(&draft.file, open))
    }

    /// Is this open file its draft?
    pub fn is_draft(&self, file: &Arc<File>) -> bool {
        self.draft()
            .is_some_and(|draft| Arc::ptr_eq(&draft.file, file))
    }

    pub fn is_new(&self) -> bool {
        matches!(self.content, Content::Reserved(_) | Content::New(_))
    }

    pub fn is_reserved(&self) -> bool {
        matches!(self.content, Content::Reserved(_))
    }

    /// The open that a reserved draft was made for has come: it is listed from now on.
    pub fn claimed(&mut self) {
        self.content = match std::mem::replace(&mut self.content, Content::Gone) {
            Content::Reserved(draft) => Content::New(draft),
            content => content,
        };
    }

    /// Its session has opened another handoff under its alias while this one was open.
    pub fn superseded(&mut self) {
        if self.handoff.fate == Fate::Publish {
            self.handoff.fate = Fate::DropIfEmpty;
        }
    }

    /// Is a draft that nobody has written to worth nothing?
    pub fn is_nothing_unwritten(&self) -> bool {
        self.is_new()
            && (self.handoff.origin != Origin::Created || self.handoff.fate != Fate::Publish)
    }

    /// Was its draft made for an open, and never written?
    pub fn waits_for_its_open(&self) -> bool {
        match &self.content {
            Content::Reserved(_) => true,
            Content::Editing(draft) => {
                !draft.progress.is_changed()
                    || stat_file(&*draft.file).is_ok_and(|meta| meta.size == 0)
            }
            Content::New(_) | Content::Stored | Content::Gone => false,
        }
    }

    pub fn is_stored(&self) -> bool {
        matches!(self.content, Content::Stored | Content::Editing(_))
    }

    pub fn is_gone(&self) -> bool {
        matches!(self.content, Content::Gone)
    }

    /// May an open handle change the content that readers would get? Handles of an edit may not: they write a draft, and
    /// the old content is whole until the draft takes its place (spec 4.4).
    pub fn is_being_written(&self) -> bool {
        match &self.content {
            Content::Editing(draft) => self.writers > draft.writers,
            _ => self.writers > 0,
        }
    }

    /// The area that holds the draft.
    pub fn draft_area(&self) -> Area {
        match self.content {
            Content::Editing(_) => Area::Edits,
            _ => Area::Drafts,
        }
    }

    /// The inode number behind a view: what the session that edits it sees, or everybody else.
    pub fn ino_seen(&self, own: bool) -> u64 {
        match &self.content {
            Content::Reserved(draft) | Content::New(draft) => draft.ino,
            Content::Editing(draft) if own => draft.ino,
            _ => self.ino,
        }
    }
}

/// A broken invariant: the log says which, and the caller is answered EIO. ENOENT would say that its file is gone.
pub fn broken(what: &str) -> Error {
    log::error!("this is a fault of handoff-fs: {what}");
    Error::Os(libc::EIO)
}
