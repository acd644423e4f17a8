//! The comma list of `-o`, as mount(8) and fstab pass it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::cli::args::MountArgs;
use crate::failure::Failure;

/// Options that mount(8), systemd and the mount.fuse helper pass, and that change nothing here. The mount is always nosuid and
/// nodev, and times of access are never kept.
const IGNORED: &str = "rw defaults auto noauto user users nouser owner group nofail _netdev suid nosuid dev nodev \
     exec noexec atime noatime diratime nodiratime relatime norelatime strictatime nostrictatime lazytime nolazytime \
     async sync dirsync silent loud fsname subtype comment";

/// The argument that an option sets.
enum Setting<'a> {
    Flag(&'a mut bool),
    Path(&'a mut Option<PathBuf>),
    Text(&'a mut Option<String>),
    List(&'a mut Vec<String>),
}

/// The arguments with every `-o` option moved to the argument of the same name.
pub(super) fn apply(arguments: &MountArgs) -> Result<MountArgs, Failure> {
    let mut arguments = arguments.clone();
    for list in std::mem::take(&mut arguments.options) {
        for option in split(list.as_bytes()) {
            apply_one(&mut arguments, &option)?;
        }
    }
    Ok(arguments)
}

/// Splits at commas; a backslash keeps the next byte, as in libfuse.
fn split(list: &[u8]) -> Vec<Vec<u8>> {
    let mut options = vec![Vec::new()];
    let mut bytes = list.iter();
    while let Some(&byte) = bytes.next() {
        let last = options.len() - 1;
        match byte {
            b',' => options.push(Vec::new()),
            b'\\' => options[last].extend(bytes.next()),
            _ => options[last].push(byte),
        }
    }
    options.retain(|option| !option.is_empty());
    options
}

fn apply_one(arguments: &mut MountArgs, option: &[u8]) -> Result<(), Failure> {
    let shown = String::from_utf8_lossy(option);
    let refused = |cause: &str| Err(Failure::usage(format!("-o {shown}: {cause}")));
    let mut parts = option.splitn(2, |&byte| byte == b'=');
    let key = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let value = parts.next();
    if key.starts_with("x-") || key.starts_with("X-") || IGNORED.split(' ').any(|word| word == key)
    {
        return Ok(());
    }
    if let Some(reason) = impossible(&key) {
        return refused(&format!("not possible: {reason}"));
    }
    // libfuse writes its options with underscores, so both forms are accepted.
    let key = key.replace('_', "-");
    let setting = match key.as_str() {
        "utc" => Setting::Flag(&mut arguments.utc),
        "no-sync" => Setting::Flag(&mut arguments.no_sync),
        "adopt" => Setting::Flag(&mut arguments.adopt),
        "keep" => Setting::Flag(&mut arguments.keep),
        "hide-pending" => Setting::Flag(&mut arguments.hide_pending),
        "foreground" => Setting::Flag(&mut arguments.foreground),
        "backing" => Setting::Path(&mut arguments.backing),
        "log-file" => Setting::Path(&mut arguments.log_file),
        "retention" => Setting::Text(&mut arguments.retention),
        "max-size" => Setting::Text(&mut arguments.max_size),
        "archive" => Setting::List(&mut arguments.archive),
        "editor" => Setting::List(&mut arguments.editor),
        "agent" => Setting::List(&mut arguments.agent),
        "stream-editor" => Setting::List(&mut arguments.stream_editor),
        "searcher" => Setting::List(&mut arguments.searcher),
        "part-reader" => Setting::List(&mut arguments.part_reader),
        "page-reader" => Setting::List(&mut arguments.page_reader),
        _ => {
            return refused(
                "unknown option; write an option of `handoff-fs mount --help` without its dashes",
            );
        }
    };
    if let Setting::Flag(flag) = setting {
        if value.is_some() {
            return refused(&format!("takes no value; write {key}"));
        }
        *flag = true;
        return Ok(());
    }
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return refused(&format!("needs a value; write {key}=…"));
    };
    let text = std::str::from_utf8(value).map(str::to_owned);
    match (setting, text) {
        (Setting::Path(path), _) => *path = Some(OsStr::from_bytes(value).into()),
        (Setting::Text(place), Ok(text)) => *place = Some(text),
        (Setting::List(list), Ok(text)) => list.push(text),
        (_, _) => return refused("is not UTF-8; write it in plain letters"),
    }
    Ok(())
}

/// Why an option of FUSE or mount(8) is not possible, and what to do instead.
fn impossible(option: &str) -> Option<&'static str> {
    let reason = match option {
        "allow_other" | "allow_root" => {
            "handoffs are their owner's alone; leave it out, and let each user mount a directory"
        }
        "auto_unmount" => {
            "it needs allow_other; leave it out: a dead mount is cleared at the next mount"
        }
        "ro" => {
            "reading pending.md renames what was read; leave it out, or unmount to read the plain files"
        }
        "remount" => "the settings of a mount cannot be changed; unmount and mount again",
        _ => return None,
    };
    Some(reason)
}
