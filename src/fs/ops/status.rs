//! `.status.json`: the file from which `handoff-fs status` reads the daemon's state, without a socket.

use std::ffi::OsStr;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::state::{Fs, State, Supervision};
use crate::names::is_hidden;
use crate::names::{self, StampedName};
use crate::store::Kind;

/// The content of `.status.json`. Names that are not UTF-8 are shown lossily.
///
/// The commands `status` and `unmount` read it back. A field that a later version adds needs `#[serde(default)]`, because the
/// daemon may be an older one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) pid: u32,
    pub(crate) supervisor: Option<Supervision>,
    version: String,
    pub(crate) backing: String,
    mountpoint: String,
    pub(crate) uptime_seconds: u64,
    pub(crate) pending: u64,
    pub(crate) consumed: u64,
    pub(crate) found: Found,
    pub(crate) oldest_pending: Option<Aged>,
    pub(crate) drafts: Vec<Draft>,
    pub(crate) turns: Vec<Turn>,
    /// The trouble with the backing directory, if there is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
}

/// The files that the first mount found (spec 3.6).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    /// This mount is the first one.
    pub(crate) first_mount: bool,
    /// How many files became handoffs then.
    pub(crate) adopted: u64,
    /// How many files of queues are ordinary now: shown and never merged.
    pub(crate) ordinary: u64,
    /// How many consumed handoffs had expired by then: hidden, and never deleted.
    pub(crate) hidden: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Aged {
    pub(crate) name: String,
    pub(crate) age_seconds: u64,
}

/// A handoff that a process has open for writing.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) age_seconds: u64,
}

/// A reader that has not read to the end yet, so that other readers wait (spec 6.4, 6.8).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// The `pending.md` that the reader has open.
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) age_seconds: u64,
    /// Time since its last read.
    pub(crate) idle_seconds: u64,
}

impl Fs {
    pub(in crate::fs) fn status(&self, state: &mut State) -> Result<Vec<u8>> {
        let now = self.ctx.clock.now();
        let age = |since: SystemTime| now.duration_since(since).unwrap_or_default().as_secs();
        let (mut pending, mut consumed, mut ordinary) = (0, 0, 0);
        let mut oldest: Option<(SystemTime, String)> = None;
        // If the backing directory cannot be read, the status says that instead of counts.
        let queues = state.queues.queues_below(DirId::ROOT);
        let unreadable = queues.as_ref().err().map(|error| {
            let name = self.ctx.options.backing_name.display();
            format!("{name}: the backing directory cannot be read ({error}); see the log")
        });
        for dir in queues.unwrap_or_default() {
            let path = state.queues.path(dir)?;
            self.ctx.noticed(state.queues.load(dir))?;
            let files = state.queues.names(dir);
            for (name, known) in files.filter(|(_, known)| known.kind == Kind::File) {
                match StampedName::parse(name) {
                    Some(stamped) if stamped.is_pending() => {
                        pending += 1;
                        let is_older = |(mtime, _): &(SystemTime, _)| known.mtime < *mtime;
                        if oldest.as_ref().is_none_or(is_older) {
                            oldest = Some((known.mtime, shown(&path.join(name))));
                        }
                    }
                    Some(_) if self.ctx.retention.expired(known.mtime, now) => {}
                    Some(_) => consumed += 1,
                    None if is_hidden(name) || name == names::PENDING => {}
                    None => ordinary += u64::from(!state.queues.is_stray(dir, name)),
                }
            }
        }
        let in_queue = |dir, name: &OsStr| {
            let path = state.queues.path(dir).unwrap_or_default();
            shown(&path.join(name))
        };
        let files = state.files.iter().map(|(_, file)| file);
        let mut drafts: Vec<Draft> = files
            .filter(|file| file.is_handoff() && !file.is_reserved() && !file.is_gone())
            .filter(|file| file.writers > 0 || file.draft().is_some())
            .map(|file| Draft {
                name: in_queue(file.dir, &file.name.to_os_string()),
                pid: file.pid,
                age_seconds: age(file.since),
            })
            .collect();
        drafts.sort_by(|a, b| a.name.cmp(&b.name));
        let monotonic = self.ctx.clock.monotonic();
        let seconds = |since| monotonic.duration_since(since).as_secs();
        let held = state.readers.held();
        let turns = held.map(|(queue, pid, since, last_read)| Turn {
            name: in_queue(queue, names::PENDING.as_ref()),
            pid,
            age_seconds: seconds(since),
            idle_seconds: seconds(last_read),
        });
        let (first_mount, adopted, hidden) = self.ctx.local.first_mount();
        let status = Status {
            pid: std::process::id(),
            supervisor: self.supervision.lock().clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            backing: shown(&self.ctx.options.backing_name),
            mountpoint: shown(&self.ctx.options.mountpoint),
            uptime_seconds: age(self.started),
            pending,
            consumed,
            found: Found {
                first_mount,
                adopted,
                ordinary,
                hidden,
            },
            oldest_pending: oldest.map(|(mtime, name)| Aged {
                name,
                age_seconds: age(mtime),
            }),
            drafts,
            turns: turns.collect(),
            trouble: self.ctx.trouble().or(unreadable),
        };
        let json = serde_json::to_string_pretty(&status).map_err(|_| Error::Os(libc::EIO))?;
        // JSON leaves DEL and the C1 control characters as they are, and some terminals obey them. Only names hold any.
        let escaped = json.chars().map(|c| match c {
            '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(c)),
            _ => c.to_string(),
        });
        let mut printable: String = escaped.collect();
        printable.push('\n');
        Ok(printable.into_bytes())
    }

    /// Notes the supervisor of this daemon, for `status` and `unmount`.
    pub fn set_supervision(&self, supervision: Option<Supervision>) {
        let pid = supervision.as_ref().map(|supervision| supervision.pid);
        if let Err(error) = self.ctx.local.note_supervisor(pid) {
            log::warn!(
                ".handoff-fs/lock: the supervisor's pid cannot be written ({error}); `handoff-fs unmount` may not find the \
                 supervisor"
            );
        }
        *self.supervision.lock() = supervision;
    }

    /// statvfs(3) of the backing filesystem.
    pub fn statfs(&self) -> Result<rustix::fs::StatVfs> {
        self.ctx.local.statvfs()
    }

    /// How many nodes the kernel knows; for tests of leaks.
    pub fn nodes(&self) -> usize {
        self.lock().nodes.len()
    }

    /// How much is remembered of each kind; for tests of leaks.
    pub fn remembered(&self) -> [(&'static str, usize); 8] {
        let state = self.lock();
        [
            ("nodes", state.nodes.len()),
            ("handles", state.handles.iter().count()),
            ("files", state.files.len()),
            ("aliases", state.aliases.len()),
            ("readers", state.readers.len()),
            ("estale_replays", state.replays.len()),
            ("names", state.queues.len()),
            ("queues", state.queues.dirs.len()),
        ]
    }

    /// How many files and directories are open; for tests of leaks.
    pub fn handles(&self) -> usize {
        self.lock().handles.iter().count()
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
