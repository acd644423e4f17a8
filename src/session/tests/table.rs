//! A made-up process table.

use super::*;

/// A process table that behaves like the kernel's and counts how often it is read.
#[derive(Clone, Default)]
pub(super) struct Table(pub(super) Arc<Mutex<Tasks>>);

#[derive(Default)]
pub(super) struct Tasks {
    pub(super) tasks: HashMap<u32, Task>,
    pub(super) hidden: HashSet<(u32, &'static str)>,
    /// No descriptor is left to read with.
    exhausted: bool,
    pub(super) clock: u64,
    pub(super) reads: usize,
}

#[derive(Clone)]
pub(super) struct Task {
    pub(super) group: u32,
    pub(super) parent: u32,
    pub(super) session: u32,
    pub(super) tty: i32,
    pub(super) start: u64,
    pub(super) comm: Vec<u8>,
    pub(super) argv: Vec<String>,
    pub(super) environ: String,
    pub(super) state: char,
    pub(super) flags: u64,
    pub(super) exit_code: u64,
}

impl Table {
    /// `init`, and a shell (pid 10) that leads the session of terminal 1025.
    pub(super) fn new() -> Table {
        let table = Table::default();
        table.insert(
            1,
            Task {
                group: 1,
                parent: 0,
                session: 1,
                tty: 0,
                start: 0,
                comm: b"init".to_vec(),
                argv: vec!["/sbin/init".to_owned()],
                environ: "HOME=/\0".to_owned(),
                state: 'S',
                flags: 0x40_0000,
                exit_code: 0,
            },
        );
        table.terminal_shell(10, 1025);
        table
    }

    pub(super) fn insert(&self, pid: u32, mut task: Task) {
        let mut tasks = self.0.lock();
        tasks.clock += 100;
        task.start = tasks.clock;
        tasks.tasks.insert(pid, task);
    }

    pub(super) fn edit(&self, pid: u32, edit: impl FnOnce(&mut Task)) {
        edit(self.0.lock().tasks.get_mut(&pid).expect("no such task"));
    }

    pub(super) fn terminal_shell(&self, pid: u32, tty: i32) {
        self.spawn(1, pid, &["-bash"]);
        self.setsid(pid);
        self.edit(pid, |task| {
            task.comm = b"bash".to_vec();
            task.tty = tty;
        });
    }

    /// fork and execve.
    pub(super) fn spawn(&self, parent: u32, pid: u32, argv: &[&str]) {
        let mut task = self.0.lock().tasks[&parent].clone();
        (task.group, task.parent) = (pid, task.group);
        self.insert(pid, task);
        self.exec(pid, argv);
    }

    pub(super) fn exec(&self, pid: u32, argv: &[&str]) {
        let name = argv[0].rsplit('/').next().unwrap_or_default();
        self.edit(pid, |task| {
            task.comm = name.bytes().take(15).collect();
            task.argv = argv.iter().map(|&arg| arg.to_owned()).collect();
        });
    }

    pub(super) fn setsid(&self, pid: u32) {
        self.edit(pid, |task| (task.session, task.tty) = (pid, 0));
    }

    pub(super) fn thread(&self, pid: u32, tid: u32, name: &str) {
        let mut task = self.0.lock().tasks[&pid].clone();
        task.comm = name.into();
        self.insert(tid, task);
    }

    /// exit, and the children go to init.
    pub(super) fn exit(&self, pid: u32) {
        let tasks = &mut self.0.lock().tasks;
        tasks.retain(|_, task| task.group != pid);
        for task in tasks.values_mut().filter(|task| task.parent == pid) {
            task.parent = 1;
        }
    }

    pub(super) fn hide(&self, pid: u32, file: &'static str) {
        self.0.lock().hidden.insert((pid, file));
    }

    pub(super) fn exhaust(&self, exhausted: bool) {
        self.0.lock().exhausted = exhausted;
    }

    pub(super) fn process(&self, pid: u32) -> Process {
        Process {
            pid,
            start: self.0.lock().tasks[&pid].start,
        }
    }

    pub(super) fn agent(&self, pid: u32) -> Session {
        Session::Agent(self.process(pid))
    }

    /// The session of the terminal that [`Table::new`] makes.
    pub(super) fn terminal(&self) -> Session {
        let (tty, leader) = (1025, self.process(10));
        Session::Terminal { tty, leader }
    }

    /// How often `call` reads.
    pub(super) fn reads<T>(&self, call: impl FnOnce() -> T) -> usize {
        let before = self.0.lock().reads;
        call();
        self.0.lock().reads - before
    }

    pub(super) fn resolver(&self) -> Resolver {
        Resolver {
            // However busy the machine is.
            within: Duration::from_secs(60),
            ..Resolver::new(Box::new(self.clone()), Arc::default())
        }
    }
}

impl Proc for Table {
    fn read(&self, pid: u32, file: &'static str) -> io::Result<Vec<u8>> {
        let mut tasks = self.0.lock();
        tasks.reads += 1;
        if tasks.exhausted && file != "stat" {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        if tasks.hidden.contains(&(pid, file)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let task = tasks.tasks.get(&pid).ok_or(io::ErrorKind::NotFound)?;
        Ok(match file {
            "stat" => task.stat(pid),
            "status" => format!("Name:\tTgid: 7\nNgid:\t0\nTgid:\t{}\n", task.group).into_bytes(),
            "statm" => match task.flags & 4 {
                0 => b"634 341 303 4 0 89 0\n".to_vec(),
                _ => b"0 0 0 0 0 0 0\n".to_vec(),
            },
            "environ" => task.environ.clone().into_bytes(),
            "cmdline" => (task.argv.iter().flat_map(|arg| [arg, "\0"]))
                .collect::<String>()
                .into_bytes(),
            other => panic!("/proc/PID/{other} is not made up"),
        })
    }
}

impl Task {
    fn stat(&self, pid: u32) -> Vec<u8> {
        let Task {
            state,
            parent,
            session,
            tty,
            flags,
            start,
            exit_code,
            ..
        } = self;
        let fields = format!(
            ") {state} {parent} 1 {session} {tty} -1 {flags} 0 0 0 0 1 2 3 4 20 0 1 0 {start} 5 6 \
             18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 1 2 3 4 5 6 7 {exit_code}\n"
        );
        [format!("{pid} (").as_bytes(), &self.comm, fields.as_bytes()].concat()
    }
}
