//! The comma list of `-o`, as mount(8) and fstab hand it on.

use super::{MountArgs, OsStrExt, OsString, OsStringExt, PathBuf, ProgramList, Usage};

/// What mount(8), systemd and the mount.fuse helper put into a list and what means nothing here. The mount is
/// always nosuid and nodev; times of access are never kept.
const IGNORED: &[&str] = &[
    "rw",
    "defaults",
    "auto",
    "noauto",
    "user",
    "users",
    "nouser",
    "owner",
    "group",
    "nofail",
    "_netdev",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "async",
    "sync",
    "dirsync",
    "silent",
    "loud",
    "fsname",
    "subtype",
    "comment",
];

/// What cannot be had, and why.
const REFUSED: &[(&str, &str)] = &[
    (
        "allow_other",
        "handoffs are their owner's alone; leave it out, and let each user mount a directory",
    ),
    (
        "allow_root",
        "handoffs are their owner's alone; leave it out",
    ),
    (
        "auto_unmount",
        "it needs allow_other; leave it out: a dead mount is cleared at the next mount",
    ),
    (
        "ro",
        "reading pending.md renames what was read; leave it out, or unmount to read the plain files",
    ),
    (
        "remount",
        "the settings of a mount cannot be changed; unmount and mount again",
    ),
];

/// Moves every `-o` option to the argument of the same name.
pub(super) fn apply(arguments: &mut MountArgs) -> Result<(), Usage> {
    for list in std::mem::take(&mut arguments.options) {
        for option in split(list.as_bytes()) {
            apply_one(arguments, &option)?;
        }
    }
    Ok(())
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

fn apply_one(arguments: &mut MountArgs, option: &[u8]) -> Result<(), Usage> {
    let shown = String::from_utf8_lossy(option).into_owned();
    let (key, value) = match option.iter().position(|&byte| byte == b'=') {
        Some(at) => (&option[..at], Some(option[at + 1..].to_vec())),
        None => (option, None),
    };
    let key = String::from_utf8_lossy(key);
    if key.starts_with("x-") || key.starts_with("X-") || IGNORED.contains(&key.as_ref()) {
        return Ok(());
    }
    if let Some((_, reason)) = REFUSED.iter().find(|refused| refused.0 == key) {
        return Err(Usage::new(format!("-o {shown}: not possible: {reason}")));
    }
    // libfuse's own options are spelled with underscores; take both.
    let key = key.replace('_', "-");
    let flag = match key.as_str() {
        "utc" => Some(&mut arguments.utc),
        "no-sync" => Some(&mut arguments.no_sync),
        "adopt" => Some(&mut arguments.adopt),
        "keep" => Some(&mut arguments.keep),
        "hide-pending" => Some(&mut arguments.hide_pending),
        "foreground" => Some(&mut arguments.foreground),
        _ => None,
    };
    if let Some(flag) = flag {
        if value.is_some() {
            return Err(Usage::new(format!(
                "-o {shown}: takes no value; write {key}"
            )));
        }
        *flag = true;
        return Ok(());
    }
    let list = ProgramList::ALL
        .into_iter()
        .find(|list| list.option() == key);
    if list.is_none()
        && !["archive", "backing", "log-file", "retention", "max-size"].contains(&key.as_str())
    {
        return Err(Usage::new(format!(
            "-o {shown}: unknown option; the options of handoff-fs mount --help go here without their dashes"
        )));
    }
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Err(Usage::new(format!(
            "-o {shown}: needs a value; write {key}=…"
        )));
    };
    let value = OsString::from_vec(value);
    match key.as_str() {
        "backing" => arguments.backing = Some(PathBuf::from(value)),
        "log-file" => arguments.log_file = Some(PathBuf::from(value)),
        _ => {
            let text = value.into_string().map_err(|_| {
                Usage::new(format!(
                    "-o {shown}: is not UTF-8; write it in plain letters"
                ))
            })?;
            match (key.as_str(), list) {
                ("retention", _) => arguments.retention = Some(text),
                ("archive", _) => arguments.archive.push(text),
                (_, Some(list)) => list.words(arguments).push(text),
                _ => arguments.max_size = Some(text),
            }
        }
    }
    Ok(())
}
