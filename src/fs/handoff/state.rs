//! The state of a regular file that has a node, a handle, an alias or a draft.

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
    /// The draft is as it was begun: empty, or a copy.
    Untouched,
    /// Every write so far has failed, and the draft holds no byte of them.
    Refused,
    /// The draft was written or truncated: it is worth publishing.
    Written,
    /// The draft was written, but a write failed or a writer was killed: it is published as partial only (spec 4.9).
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

    /// Was the draft written or truncated?
    pub fn is_changed(self) -> bool {
        matches!(self, Progress::Written | Progress::Damaged)
    }

    /// Did a write fail, or was a writer killed?
    pub fn is_damaged(self) -> bool {
        matches!(self, Progress::Refused | Progress::Damaged)
    }
}

/// New content that is not published yet, in a file of the private directory.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Open for reading and writing.
    pub file: Arc<File>,
    /// The inode number of that file.
    pub ino: u64,
    pub progress: Progress,
    /// How many open handles may write to the draft.
    pub writers: u32,
    /// The edited handoff was consumed when the edit began: the new content is consumed, too.
    pub of_consumed: bool,
}

impl Draft {
    /// A draft that nobody has open yet.
    pub fn new(file: Arc<File>, ino: u64, progress: Progress) -> Draft {
        Draft {
            file,
            ino,
            progress,
            writers: 0,
            of_consumed: false,
        }
    }

    /// Is the draft empty?
    pub fn is_empty(&self) -> bool {
        stat_file(&*self.file).is_ok_and(|meta| meta.size == 0)
    }
}

/// Where a file's bytes are.
#[derive(Debug)]
pub enum Content {
    /// In a new draft, made for an open that has not come yet. The name is reserved, and not listed.
    Reserved(Draft),
    /// In a new draft. The name is reserved and listed; the store does not have the file yet.
    New(Draft),
    /// In the store, under the file's name.
    Stored,
    /// In the store; a draft holds the content that is to replace the stored one (spec 4.4).
    Editing(Draft),
    /// Under no name: the file was removed or replaced, or is no handoff any more. Open handles still hold it.
    Gone,
}

/// What has become of the content that the last close left (spec 3.9).
#[derive(Debug, Default)]
pub enum Version {
    /// The content is in place. Bytes may have been appended.
    #[default]
    Whole,
    /// A writer rewrites the content in place. A copy was kept, unless the content was empty.
    Kept(Option<Kept>),
    /// A writer emptied the file and then failed or was killed before it wrote anything. The copy comes back.
    CutShort(Kept),
}

impl Version {
    /// The writer has emptied the file, and will not write it anew.
    pub fn cut_short(&mut self) {
        *self = match std::mem::take(self) {
            Version::Kept(Some(kept)) => Version::CutShort(kept),
            version => version,
        };
    }
}

/// Why a new handoff was begun. That decides whether an unwritten draft is published.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Origin {
    /// A process created a name.
    #[default]
    Created,
    /// The draft is a copy of this handoff, which had the alias before. If nothing is written, the alias goes back.
    CopyOf(FileId),
    /// A process opened the name of this ordinary file for writing (spec 3.6).
    OverOrdinary(DirId, OsString),
    /// A process wrote `pending.md` (spec 4.7).
    PendingMd,
}

/// What becomes of a new draft when its last writer closes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Fate {
    /// Published as pending.
    #[default]
    Publish,
    /// Dropped if nobody wrote to it: its session opened another handoff under the alias meanwhile.
    DropIfEmpty,
    /// Published as consumed, because its alias was unlinked (spec 4.5). Dropped if nobody wrote to it.
    Consume,
}

/// Access and modification time, where a caller has set them.
pub type Times = (Option<SystemTime>, Option<SystemTime>);

/// A regular file's name on disk, which tells what kind of file it is.
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

/// What is remembered of a handoff, and of no other kind of file.
#[derive(Default, Debug)]
pub struct HandoffState {
    /// Agents and stream editors that have read the handoff since it was last written (spec 4.4).
    pub read_by: HashSet<Process>,
    /// Some session has, or had, an alias of the handoff: its state is kept until the sweep finds no alias.
    pub aliased: bool,
    pub origin: Origin,
    pub fate: Fate,
    /// The mtime of a handoff before its alias was unlinked, which consumed the handoff and set another mtime (spec 4.5).
    pub written: Option<SystemTime>,
    /// The process that made the handoff with O_EXCL may open the empty file again by its name (spec 4.1).
    pub maker: Option<Process>,
    /// The handoff was published, or is being rewritten in place, by writers that have not closed it yet.
    pub unfinished: bool,
    pub version: Version,
    /// How often a version was kept. A copy that was begun before the latest one may hold old and new bytes.
    pub rewrites: u64,
    /// The offset where the last write to the draft ended, and whether the last byte was a newline; `None` if another writer
    /// may have written since. If the offset is the file's size, that byte is the file's last one.
    pub last: Option<(u64, bool)>,
}

/// A regular file that has a node, a handle, an alias or a draft.
#[derive(Debug)]
pub struct RegularFile {
    pub dir: DirId,
    pub name: FileName,
    pub content: Content,
    /// The inode number of the stored file; of the draft while there is no stored file.
    pub ino: u64,
    /// The inode number that an alias shows, without its high bits. A new handoff that takes over an alias takes over this
    /// number, too: to its session the file was truncated, and keeps its inode number.
    pub view: u64,
    /// The inode number that an ordinary file had before its first edit: it is shown from then on.
    pub seen: Option<u64>,
    /// How many open handles may write, to the draft or in place.
    pub writers: u32,
    /// Times that were set on a draft before anything was written to it. If nothing is written, the stored file
    /// gets them.
    pub times: Option<Times>,
    /// When the last writer closed a descriptor: its RELEASE is probably on its way (spec 4.2).
    pub flushed: Option<Instant>,
    /// The thread that first opened the file for writing, and when; for `status`.
    pub pid: u32,
    pub since: SystemTime,
    /// Unused for a file that is no handoff.
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
    /// EIO, logged, for any other file: the caller takes the file for a handoff.
    pub fn stamped(&self) -> Result<&StampedName> {
        self.stamped_if_handoff()
            .ok_or_else(|| broken(&format!("{:?} is taken for a handoff", self.name)))
    }

    /// Is this an ordinary or scratch file of this area?
    pub fn is_other_in(&self, area: Area) -> bool {
        matches!(&self.name, FileName::Other(of, _) if *of == area)
    }

    /// Area and name of an ordinary or scratch file, unless the file is gone.
    pub fn other(&self) -> Option<(Area, &OsStr)> {
        match &self.name {
            FileName::Other(area, name) if !self.is_gone() => Some((*area, name)),
            _ => None,
        }
    }

    /// Does a close make the written bytes durable? Not those of scratch files, nor of ordinary files that are written in place.
    pub fn is_published_by_close(&self) -> bool {
        self.is_handoff() || self.draft().is_some()
    }

    /// The draft, if there is one.
    pub fn draft(&self) -> Option<&Draft> {
        match &self.content {
            Content::Reserved(draft) | Content::New(draft) | Content::Editing(draft) => Some(draft),
            Content::Stored | Content::Gone => None,
        }
    }

    /// As [`RegularFile::draft`], to change the draft.
    pub fn draft_mut(&mut self) -> Option<&mut Draft> {
        match &mut self.content {
            Content::Reserved(draft) | Content::New(draft) | Content::Editing(draft) => Some(draft),
            Content::Stored | Content::Gone => None,
        }
    }

    /// The draft, if the draft is this open file.
    pub fn draft_of(&mut self, open: &Arc<File>) -> Option<&mut Draft> {
        self.draft_mut()
            .filter(|draft| Arc::ptr_eq(&draft.file, open))
    }

    /// Is the draft this open file?
    pub fn is_draft(&self, file: &Arc<File>) -> bool {
        self.draft()
            .is_some_and(|draft| Arc::ptr_eq(&draft.file, file))
    }

    /// Is this a new handoff, which the store does not have yet?
    pub fn is_new(&self) -> bool {
        matches!(self.content, Content::Reserved(_) | Content::New(_))
    }

    pub fn is_reserved(&self) -> bool {
        matches!(self.content, Content::Reserved(_))
    }

    /// The open that a reserved draft was made for has come: the draft is listed from now on.
    pub fn claimed(&mut self) {
        self.content = match std::mem::replace(&mut self.content, Content::Gone) {
            Content::Reserved(draft) => Content::New(draft),
            content => content,
        };
    }

    /// The session has opened another handoff under the alias of this one.
    pub fn superseded(&mut self) {
        if self.handoff.fate == Fate::Publish {
            self.handoff.fate = Fate::DropIfEmpty;
        }
    }

    /// Is the draft of a new handoff dropped, rather than published, if nobody has written to it?
    pub fn is_nothing_unwritten(&self) -> bool {
        self.is_new()
            && (self.handoff.origin != Origin::Created || self.handoff.fate != Fate::Publish)
    }

    /// Is the draft empty because a write failed, or because `pending.md` was only truncated? Such a draft is not published.
    pub fn comes_to_nothing(&self) -> bool {
        let of_pending_md = self.is_new() && self.handoff.origin == Origin::PendingMd;
        self.draft()
            .is_some_and(|draft| (draft.progress.is_damaged() || of_pending_md) && draft.is_empty())
    }

    /// Was the draft made for an open that has not come, or has written nothing?
    pub fn waits_for_its_open(&self) -> bool {
        match &self.content {
            Content::Reserved(_) => true,
            Content::Editing(draft) => !draft.progress.is_changed() || draft.is_empty(),
            Content::New(_) | Content::Stored | Content::Gone => false,
        }
    }

    /// Does the store have the file?
    pub fn is_stored(&self) -> bool {
        matches!(self.content, Content::Stored | Content::Editing(_))
    }

    /// Has the file no name any more?
    pub fn is_gone(&self) -> bool {
        matches!(self.content, Content::Gone)
    }

    /// May an open handle change the content that readers get? Handles of an edit write the draft; the stored content is
    /// whole until the draft replaces it (spec 4.4).
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

    /// The inode number of the file that is seen: by its own session (`own`) the draft, by everybody else the stored file.
    pub fn ino_seen(&self, own: bool) -> u64 {
        match &self.content {
            Content::Reserved(draft) | Content::New(draft) => draft.ino,
            Content::Editing(draft) if own => draft.ino,
            _ => self.ino,
        }
    }
}

/// Logs a broken invariant; returns EIO. ENOENT would tell the caller that its file is gone.
pub fn broken(fault: &str) -> Error {
    log::error!("this is a fault of handoff-fs: {fault}");
    Error::Os(libc::EIO)
}
