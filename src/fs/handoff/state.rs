//! What is known of a handoff, and of any other file, while somebody is interested in it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::fs::ids::{DirId, DocId};
use crate::names::StampedName;
use crate::session::Process;
use crate::store::dirfd::stat_file;
use crate::store::local::{Area, Kept};

/// How far the writing of a draft has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::fs) enum Progress {
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
    pub(in crate::fs) fn change(&mut self) {
        *self = match self {
            Progress::Untouched | Progress::Written => Progress::Written,
            Progress::Refused | Progress::Damaged => Progress::Damaged,
        };
    }

    /// A write failed, or a writer was killed.
    pub(in crate::fs) fn damage(&mut self) {
        *self = match self {
            Progress::Untouched | Progress::Refused => Progress::Refused,
            Progress::Written | Progress::Damaged => Progress::Damaged,
        };
    }

    /// The draft was emptied: the bytes that a failed write has left are gone.
    pub(in crate::fs) fn heal(&mut self) {
        *self = match self {
            Progress::Untouched | Progress::Refused => Progress::Untouched,
            Progress::Written | Progress::Damaged => Progress::Written,
        };
    }

    pub(in crate::fs) fn is_changed(self) -> bool {
        matches!(self, Progress::Written | Progress::Damaged)
    }

    pub(in crate::fs) fn is_damaged(self) -> bool {
        matches!(self, Progress::Refused | Progress::Damaged)
    }
}

/// New content that is not published yet, in a file of the private directory.
#[derive(Debug)]
pub(in crate::fs) struct Draft {
    /// Open for reading and writing.
    pub(in crate::fs) file: Arc<File>,
    /// Its inode number.
    pub(in crate::fs) ino: u64,
    pub(in crate::fs) progress: Progress,
    /// Open handles that may write to it.
    pub(in crate::fs) writers: u32,
    /// An edit of what was consumed already: it stays consumed.
    pub(in crate::fs) of_consumed: bool,
}

/// Where a doc's bytes are.
#[derive(Debug)]
pub(in crate::fs) enum Content {
    /// In a draft that waits for the open that it was made for. The name is reserved, and not listed yet.
    Reserved(Draft),
    /// In a draft only. The name is reserved and listed; the store does not have the file yet.
    New(Draft),
    /// In the store, under the doc's name.
    Stored,
    /// In the store; and a draft holds what shall replace it (spec 4.4).
    Editing(Draft),
    /// Nowhere under a name: removed, or no handoff any more. Open handles still hold the file.
    Gone,
}

/// What has become of the content that the last close left.
#[derive(Debug, Default)]
pub(in crate::fs) enum Version {
    /// It is in place, but for what was appended.
    #[default]
    Whole,
    /// It is being written anew in place; a copy was kept, unless it was empty.
    Kept(Option<Kept>),
    /// The same, by a writer that was killed, or failed, before it wrote anything.
    CutShort(Kept),
}

/// Why a new handoff was begun, and so whether an unwritten one is worth anything.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(in crate::fs) enum Origin {
    /// A name was created.
    #[default]
    Created,
    /// A copy of the handoff that had the alias before. If nothing is written, the alias goes back.
    CopyOf(DocId),
    /// The name of an ordinary file was opened (spec 3.6). An append copies nothing.
    OverOrdinary(DirId, OsString),
    /// `pending.md` was written (spec 4.7).
    PendingMd,
}

/// What is to become of a draft when its last writer has closed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::fs) enum Fate {
    /// Published as pending.
    #[default]
    Publish,
    /// Dropped if it is empty: its session has opened another handoff under the alias while this one was open.
    DropIfEmpty,
    /// Published as consumed: its alias was unlinked first (spec 4.5). Dropped if it is empty.
    Consume,
}

/// Access and modification time, where they are given.
pub(in crate::fs) type Times = (Option<SystemTime>, Option<SystemTime>);

/// See the [module](self).
#[derive(Debug)]
pub(in crate::fs) struct Doc {
    pub(in crate::fs) dir: DirId,
    pub(in crate::fs) name: StampedName,
    pub(in crate::fs) content: Content,
    /// The inode number of the stored file, once there is one.
    pub(in crate::fs) ino: u64,
    /// What is seen of it through an alias has this inode number, whatever the file below: a new handoff that begins in
    /// the place of an old one, as a truncated file does, takes over the old one's.
    pub(in crate::fs) view: u64,
    /// Open handles that may write, to the draft or in place.
    pub(in crate::fs) writers: u32,
    /// Agents and stream editors that have read it since it was last written (spec 4.4).
    pub(in crate::fs) read_by: HashSet<Process>,
    /// Some session has, or had, an alias of it: it is kept until the sweep finds none.
    pub(in crate::fs) aliased: bool,
    pub(in crate::fs) origin: Origin,
    pub(in crate::fs) fate: Fate,
    /// When it was written, if the retraction of its alias has set another time.
    pub(in crate::fs) written: Option<SystemTime>,
    /// The process that made it with O_EXCL: it may open the empty file again by its name (spec 4.1).
    pub(in crate::fs) maker: Option<Process>,
    /// Published, or begun to be rewritten in place, by writers who still have it open: not finished before they close it.
    pub(in crate::fs) unfinished: bool,
    /// What has become of the content that the last close left (spec 3.9).
    pub(in crate::fs) version: Version,
    /// How often a version was kept. A copy that was begun before the last time may be of a mixture.
    pub(in crate::fs) rewrites: u64,
    /// Where the last change of the draft has ended, and whether with a newline, if it was a write and nobody else could
    /// write meanwhile. If that is its size, so does the file.
    pub(in crate::fs) last: Option<(u64, bool)>,
    /// Times that were set on a draft that turned out to be a mere copy.
    pub(in crate::fs) times: Option<Times>,
    /// Since when no writer has anything unpublished: a RELEASE is probably on its way (spec 4.2).
    pub(in crate::fs) flushed: Option<Instant>,
    /// Who made the draft, and when; for `status`.
    pub(in crate::fs) pid: u32,
    pub(in crate::fs) since: SystemTime,
}

impl Doc {
    pub(in crate::fs) fn draft(&self) -> Option<&Draft> {
        match &self.content {
            Content::Reserved(draft) | Content::New(draft) | Content::Editing(draft) => Some(draft),
            Content::Stored | Content::Gone => None,
        }
    }

    pub(in crate::fs) fn draft_mut(&mut self) -> Option<&mut Draft> {
        match &mut self.content {
            Content::Reserved(draft) | Content::New(draft) | Content::Editing(draft) => Some(draft),
            Content::Stored | Content::Gone => None,
        }
    }

    /// Is this open file its draft?
    pub(in crate::fs) fn is_draft(&self, file: &Arc<File>) -> bool {
        self.draft()
            .is_some_and(|draft| Arc::ptr_eq(&draft.file, file))
    }

    pub(in crate::fs) fn is_new(&self) -> bool {
        matches!(self.content, Content::Reserved(_) | Content::New(_))
    }

    pub(in crate::fs) fn is_reserved(&self) -> bool {
        matches!(self.content, Content::Reserved(_))
    }

    /// The open that a reserved draft was made for has come: it is listed from now on.
    pub(in crate::fs) fn claimed(&mut self) {
        self.content = match std::mem::replace(&mut self.content, Content::Gone) {
            Content::Reserved(draft) => Content::New(draft),
            content => content,
        };
    }

    /// Its session has opened another handoff under its alias while this one was open.
    pub(in crate::fs) fn superseded(&mut self) {
        if self.fate == Fate::Publish {
            self.fate = Fate::DropIfEmpty;
        }
    }

    /// Is a draft that nobody has written to worth nothing?
    pub(in crate::fs) fn is_nothing_unwritten(&self) -> bool {
        self.is_new() && (self.origin != Origin::Created || self.fate != Fate::Publish)
    }

    /// Was its draft made for an open, and never written?
    pub(in crate::fs) fn waits_for_its_open(&self) -> bool {
        match &self.content {
            Content::Reserved(_) => true,
            Content::Editing(draft) => {
                !draft.progress.is_changed()
                    || stat_file(&*draft.file).is_ok_and(|meta| meta.size == 0)
            }
            Content::New(_) | Content::Stored | Content::Gone => false,
        }
    }

    pub(in crate::fs) fn is_stored(&self) -> bool {
        matches!(self.content, Content::Stored | Content::Editing(_))
    }

    pub(in crate::fs) fn is_gone(&self) -> bool {
        matches!(self.content, Content::Gone)
    }

    /// May what readers would get of it be changed by a handle that is open just now? An edit is not: it has a draft,
    /// and the old content is whole until the new one takes its place (spec 4.4).
    pub(in crate::fs) fn is_being_written(&self) -> bool {
        match &self.content {
            Content::Editing(draft) => self.writers > draft.writers,
            _ => self.writers > 0,
        }
    }

    /// The area that holds the draft.
    pub(in crate::fs) fn draft_area(&self) -> Area {
        match self.content {
            Content::Editing(_) => Area::Edits,
            _ => Area::Drafts,
        }
    }

    /// The inode number behind a view: what the session that edits it sees, or everybody else.
    pub(in crate::fs) fn ino_seen(&self, own: bool) -> u64 {
        match &self.content {
            Content::Reserved(draft) | Content::New(draft) => draft.ino,
            Content::Editing(draft) if own => draft.ino,
            _ => self.ino,
        }
    }
}

/// A regular file that is no handoff.
#[derive(Debug)]
pub(in crate::fs) struct Plain {
    pub(in crate::fs) area: Area,
    pub(in crate::fs) dir: DirId,
    pub(in crate::fs) name: OsString,
    pub(in crate::fs) ino: u64,
    /// The inode number that is shown, where that is another: an edit shows that of the file which it edits.
    pub(in crate::fs) seen: Option<u64>,
    /// New content of an ordinary file, until it takes its place (spec 3.6).
    pub(in crate::fs) edit: Option<PlainEdit>,
    pub(in crate::fs) gone: bool,
}

/// See [`Plain::edit`].
#[derive(Debug)]
pub(in crate::fs) struct PlainEdit {
    /// Open for reading and writing.
    pub(in crate::fs) file: Arc<File>,
    /// Written or truncated since it was begun.
    pub(in crate::fs) modified: bool,
    /// Its writer was killed.
    pub(in crate::fs) damaged: bool,
    /// Open handles that may write to it.
    pub(in crate::fs) writers: u32,
}
