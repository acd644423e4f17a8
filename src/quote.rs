//! Quotes paths and texts, so that they are safe to show on a terminal.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The path as one word of a shell, on one line: unquoted if a shell reads all of it as plain text, else in `'…'`; with
/// control characters, or bytes that are not UTF-8, in `$'…'`.
pub(crate) fn quoted(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let Some(text) = path.to_str().filter(|text| !text.contains(is_hidden)) else {
        return format!("$'{}'", bytes.escape_ascii());
    };
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The text on one line, with control characters escaped: the text may hold names that any program has chosen.
pub(crate) fn one_line(text: &str) -> String {
    let shown = |c: char| match is_hidden(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Is this a control character for a terminal, a line separator, or a mark that reverses the order of the text after it?
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_text_is_one_line() {
        let name = "a\n[2026-01-02T03:04:05Z ERROR handoff_fs] forged\x1b[2J\u{9b}\u{202e}é";
        assert_eq!(
            one_line(name),
            r"a\n[2026-01-02T03:04:05Z ERROR handoff_fs] forged\u{1b}[2J\u{9b}\u{202e}é"
        );
    }

    #[test]
    fn a_shell_reads_it_back() {
        let names: [&[u8]; 8] = [
            b"/home/u/.claude/handoffs",
            b"my notes",
            b"it's",
            b"$(id) `id` ~ *",
            b"a\nb\\'\x1b[2J",
            b"\xff7\x01",
            "h\u{202e}x caf\u{e9}".as_bytes(),
            b"",
        ];
        for name in names {
            let word = quoted(Path::new(OsStr::from_bytes(name)));
            assert!(!word.contains(is_hidden), "{word:?}");
            let script = format!("printf %s {word}");
            let output = Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(output.stdout, name, "{word}");
        }
        assert_eq!(quoted(Path::new("/a-b/é.d")), "/a-b/é.d");
    }
}
