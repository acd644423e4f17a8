//! The files of `/proc` that identify callers and their programs.

use std::io;

use super::types::Process;

/// The files of `/proc/PID`; `pid` may also be the id of a thread. Tests implement a `/proc` of their own.
///
/// A read may fail at any time, because the process ends, or because `hidepid` or `ptrace` rules hide the file.
pub trait Proc: Send + Sync {
    /// The content of `/proc/PID/FILE`.
    fn read(&self, pid: u32, file: &'static str) -> io::Result<Vec<u8>>;

    /// As [`Proc::read`], for a thread that calls, and that will probably call again soon.
    fn read_of_caller(&self, tid: u32, file: &'static str) -> io::Result<Vec<u8>> {
        self.read(tid, file)
    }
}

/// The fields of `/proc/PID/stat` that are used here; proc_pid_stat(5) numbers them.
#[derive(Clone, Debug)]
pub(super) struct Stat {
    /// The name of the thread; the leading thread's name is the process's.
    pub(super) comm: Box<[u8]>,
    state: u8,
    pub(super) parent: u32,
    /// The kernel's session id, 0 if its leader is outside the daemon's PID namespace.
    pub(super) session: u32,
    /// Device number of the controlling terminal, 0 for none.
    pub(super) tty: u32,
    flags: u64,
    threads: u64,
    /// Clock ticks since boot.
    pub(super) start: u64,
    exit_code: u64,
}

impl Stat {
    /// Parsed here, because `comm` may be any bytes, and the crate procfs replaces bytes that are not UTF-8.
    pub(super) fn parse(content: &[u8]) -> Option<Stat> {
        // A program may choose any name, also `) R 1 (`. No field after the name has a parenthesis.
        let open = content.iter().position(|&byte| byte == b'(')?;
        let close = content.iter().rposition(|&byte| byte == b')')?;
        let comm = content.get(open + 1..close)?;
        // INVARIANT: `fields[n]` is the manual's field n + 3.
        let fields = std::str::from_utf8(&content[close + 1..]).ok()?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let number = |manual: usize| fields.get(manual - 3)?.parse::<u64>().ok();
        let id = |manual: usize| u32::try_from(number(manual)?).ok();
        Some(Stat {
            comm: comm.into(),
            state: *fields.first()?.as_bytes().first()?,
            parent: id(4)?,
            session: id(6)?,
            // Printed as a signed number.
            tty: fields.get(7 - 3)?.parse::<i32>().ok()?.cast_unsigned(),
            flags: number(9)?,
            threads: number(20)?,
            start: number(22)?,
            // The kernel writes 0 for a reader that may not trace the process. The field is missing before Linux 3.5.
            exit_code: number(52).unwrap_or(0),
        })
    }

    /// The process whose pid and `stat` these are.
    pub(super) fn process(&self, pid: u32) -> Process {
        let start = self.start;
        Process { pid, start }
    }

    /// Have all threads of the process ended? (A process is also a zombie if only its leading thread has.)
    pub(super) fn is_dead(&self) -> bool {
        matches!(self.state, b'X' | b'x') || (self.state == b'Z' && self.threads <= 1)
    }

    /// Is the thread exiting just now, because of a signal (spec 4.9)?
    pub(super) fn is_dying_by_signal(&self) -> bool {
        const PF_EXITING: u64 = 4;
        const SIGNAL: u64 = 0x7f;
        self.flags & PF_EXITING != 0 && self.exit_code & SIGNAL != 0
    }
}

/// The process that a thread belongs to, from its `/proc/TID/status`.
pub(super) fn thread_group(status: &[u8]) -> Option<u32> {
    // The process's name stands before `Tgid`; the kernel escapes a newline in the name.
    let mut lines = status.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(b"Tgid:"))?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// Does the `/proc/TID/statm` of a thread show no memory? Then the thread is exiting, and the kernel closes its files.
/// (do_exit releases the memory first, and the files afterwards.)
pub(super) fn has_no_memory(statm: &[u8]) -> bool {
    let digits = || statm.iter().filter(|byte| !byte.is_ascii_whitespace());
    digits().next().is_some() && digits().all(|byte| *byte == b'0')
}

/// The value of an environment variable, as getenv(3) finds it; `None` if it is empty.
pub(super) fn variable<'a>(environ: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut variables = environ.split(|&byte| byte == 0);
    let value = variables.find_map(|one| one.strip_prefix(name)?.strip_prefix(b"="))?;
    (!value.is_empty()).then_some(value)
}
