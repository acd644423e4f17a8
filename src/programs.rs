//! Programs that the contract treats in a special way, known by their names.
//!
//! A filesystem sees system calls, not intentions: `vim` and `cp` replace a file with the same calls, and `cat` and `grep`
//! read a file with the same calls. Where the contract depends on the intention (an edit, spec 4.4; a reader that shows a part,
//! 6.3; a search, 6.5; an agent, 5), only the caller's name shows the intention. So the lists are long, and users can
//! change them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How many bytes of a program's name the kernel keeps (`TASK_COMM_LEN` less the final NUL).
const COMM_LEN: usize = 15;

/// A kind of program that the contract treats in a special way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Replaces a file because a person edits it (spec 4.4).
    Editor,
    /// A coding agent: a session of its own (spec 5), and an editor of handoffs that it has read (spec 4.4).
    Agent,
    /// Reads a file and writes it anew (spec 4.4).
    StreamEditor,
    /// Reads files to search, index or save them, and does not show them to an agent (spec 6.5).
    Searcher,
    /// Shows a part of the file that it reads (spec 6.3).
    PartReader,
    /// Reads the whole file to show one page, and reads the file again for the next page (spec 6.7).
    PageReader,
    /// Does nothing but start another program in a sandbox (spec 5).
    SandboxHelper,
}

/// The names that each [`Role`] has by default, in the form that [`Programs::amend`] takes.
const BUILTIN: [(Role, &str); 7] = [
    (
        Role::Editor,
        "vi vim vim.basic vim.tiny vim.nox vim.gtk vim.gtk3 vim.athena vim.motif vimx vimdiff gvim gvimdiff rvim rgvim \
         evim eview view rview nvi nvim nvim-qt neovide elvis vile vis kak hx helix nano rnano pico micro emacs* zile mg \
         jed joe jmacs jpico jstar rjoe ne dte tilde mcedit code code-insiders code-oss code-server codium vscodium \
         cursor windsurf zed zeditor zed-editor subl sublime_text lapce lite-xl kate kwrite gedit gnome-text-editor xed \
         pluma mousepad featherpad leafpad l3afpad geany idea pycharm webstorm goland clion rustrover rubymine phpstorm",
    ),
    (
        Role::Agent,
        "claude codex opencode gemini aider cursor-agent pi goose amp crush qwen copilot cline kilo kilocode kiro-cli \
         qchat droid auggie openhands plandex kimi vibe gptme codebuff iflow trae-cli",
    ),
    (Role::StreamEditor, "sed gsed ssed sd perl ed red ex"),
    // `fff-*` are threads of opencode that index the files of a project.
    (
        Role::Searcher,
        "grep egrep fgrep rgrep ggrep pcregrep pcre2grep rg rga ugrep ug ag ack ack-grep git file find gfind bfs fd \
         fdfind updatedb* locate plocate mlocate slocate recollindex baloo* tracker* localsearch* rsync rclone tar gtar \
         bsdtar borg restic duplicity duplicati* kopia bup rdiff-backup syncthing unison fff-*",
    ),
    (
        Role::PartReader,
        "head ghead tail gtail wc gwc less more most",
    ),
    // A stream editor of this list reads pages only with `-n`.
    (
        Role::PageReader,
        "sed gsed ssed nl gnl awk gawk mawk nawk original-awk goawk",
    ),
    (
        Role::SandboxHelper,
        "bwrap codex-linux-sandbox sandbox-exec firejail",
    ),
];

/// The names of the programs that play each [`Role`]: the built-in rules, then the user's.
///
/// INVARIANT: no later rule makes an earlier rule pointless, so every rule in `--help` has an effect.
#[derive(Clone, Debug)]
pub struct Programs(BTreeMap<Role, Vec<Rule>>);

impl Default for Programs {
    fn default() -> Programs {
        Programs::builtin()
    }
}

impl Programs {
    /// The lists of spec 4.4, 5, 6.3, 6.5 and 6.7, with programs of the same kinds.
    pub fn builtin() -> Programs {
        let rules = |names: &str| names.split_whitespace().filter_map(Rule::parse).collect();
        Programs(BUILTIN.map(|(role, names)| (role, rules(names))).into())
    }

    /// Changes the list of one role: `NAME` adds a program, `!NAME` removes a program, `NAME*` stands for every name with
    /// that beginning, and `!*` empties the list. The last rule for a name decides: `!balooctl` after `baloo*` makes an
    /// exception.
    ///
    /// # Errors
    ///
    /// A message with the cause and the cure, when `spec` cannot be a program's name, such as a path or a `*` in the middle.
    /// A bare `*` is refused, too: it would make every program an agent or an editor.
    pub fn amend(&mut self, role: Role, spec: &str) -> Result<(), String> {
        let rule = Rule::parse(spec).ok_or_else(|| {
            format!(
                "{spec:?} names no program: give NAME, NAME* for all that start so, or !NAME to remove one (a name, not a path)"
            )
        })?;
        let rules = self.0.entry(role).or_default();
        rules.retain(|earlier| !rule.covers(earlier));
        // A removal stays only as an exception to a wider rule.
        if rule.adds || rules.iter().any(|wider| wider.covers(&rule)) {
            rules.push(rule);
        }
        Ok(())
    }

    /// Does a program called `name` play `role`? Only the first 15 bytes count, because the kernel keeps no more.
    pub fn is(&self, role: Role, name: &[u8]) -> bool {
        let name = as_comm(name);
        // The last rule that matches decides.
        let last = self.rules(role).rev().find(|rule| rule.matches(name));
        last.is_some_and(|rule| rule.adds)
    }

    /// The rules of one role in the form that [`Programs::amend`] takes, sorted; for `--help`.
    pub fn names(&self, role: Role) -> Vec<String> {
        let names: BTreeSet<String> = self.rules(role).map(Rule::to_string).collect();
        names.into_iter().collect()
    }

    fn rules(&self, role: Role) -> impl DoubleEndedIterator<Item = &Rule> {
        self.0.get(&role).into_iter().flatten()
    }
}

/// `NAME`, `NAME*`, `!NAME` or `!NAME*`.
#[derive(Clone, Debug)]
struct Rule {
    /// False for a rule with `!`.
    adds: bool,
    name: String,
    /// The rule is for every name that begins with `name`.
    prefix: bool,
}

impl Rule {
    fn parse(spec: &str) -> Option<Rule> {
        let spec = spec.trim();
        let removed = spec.strip_prefix('!');
        let (adds, spec) = (removed.is_none(), removed.unwrap_or(spec));
        let begins = spec.strip_suffix('*');
        let (prefix, name) = (begins.is_some(), begins.unwrap_or(spec));
        let empties = !adds && prefix;
        let valid = |c: char| !matches!(c, '*' | '/' | '!') && !c.is_control();
        ((empties || !name.is_empty()) && name.chars().all(valid)).then(|| Rule {
            adds,
            name: name.to_owned(),
            prefix,
        })
    }

    fn key(&self) -> &[u8] {
        as_comm(self.name.as_bytes())
    }

    fn matches(&self, name: &[u8]) -> bool {
        match self.prefix {
            true => name.starts_with(self.key()),
            false => name == self.key(),
        }
    }

    fn covers(&self, other: &Rule) -> bool {
        (self.prefix || !other.prefix) && self.matches(other.key())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.adds { "" } else { "!" };
        let star = if self.prefix { "*" } else { "" };
        write!(f, "{not}{}{star}", self.name)
    }
}

/// The part of a name that the kernel keeps.
fn as_comm(name: &[u8]) -> &[u8] {
    &name[..name.len().min(COMM_LEN)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec 4.4a, 4.4b, 5.3, 6.3c, 6.5a, 6.7a: every program that the contract names.
    #[test]
    fn the_lists_hold_what_the_contract_names() {
        let expected = [
            (
                Role::Editor,
                "vi vim nvim nano emacs emacs-nox emacsclient micro hx code vim.basic",
            ),
            (
                Role::Agent,
                "claude codex opencode gemini aider cursor-agent",
            ),
            (Role::StreamEditor, "sed perl ed"),
            (Role::PartReader, "head tail wc less more"),
            (Role::PageReader, "sed nl awk gawk mawk"),
            (
                Role::SandboxHelper,
                "bwrap codex-linux-sandbox codex-linux-san sandbox-exec firejail",
            ),
            (
                Role::Searcher,
                "grep egrep fgrep rg ugrep ag ack git file find updatedb updatedb.plocat locate baloo_file \
                 tracker-miner-f localsearch-3 fff-scan rsync tar bsdtar borg restic duplicity",
            ),
        ];
        let programs = Programs::builtin();
        for (role, names) in expected {
            for name in names.split_whitespace() {
                assert!(programs.is(role, name.as_bytes()), "{name} is no {role:?}");
            }
            for other in ["cat", "bash", "cp", "python3", ""] {
                assert!(!programs.is(role, other.as_bytes()), "{other} is {role:?}");
            }
        }
        for (role, names) in BUILTIN {
            assert_eq!(
                programs.names(role).len(),
                names.split_whitespace().count(),
                "a rule of {role:?} does not parse"
            );
        }
    }

    /// spec 4.4c, 6.5a: the lists can be extended, and the last word on a name holds.
    #[test]
    fn the_last_word_on_a_name_holds() -> Result<(), String> {
        let mut programs = Programs::builtin();
        programs.amend(Role::Agent, "a-very-long-agent-name")?;
        assert!(
            programs.is(Role::Agent, b"a-very-long-age"),
            "as the kernel cuts it"
        );
        programs.amend(Role::Agent, "!claude")?;
        assert!(!programs.is(Role::Agent, b"claude"));
        assert!(
            !programs
                .names(Role::Agent)
                .iter()
                .any(|name| name.contains("claude"))
        );

        programs.amend(Role::Searcher, "!balooctl")?;
        assert!(!programs.is(Role::Searcher, b"balooctl"));
        assert!(programs.is(Role::Searcher, b"baloo_file"));
        assert!(
            programs
                .names(Role::Searcher)
                .contains(&"!balooctl".to_owned())
        );
        programs.amend(Role::Searcher, "baloo*")?;
        assert!(programs.is(Role::Searcher, b"balooctl"));

        programs.amend(Role::Editor, "!*")?;
        programs.amend(Role::Editor, "mine*")?;
        assert_eq!(programs.names(Role::Editor), ["mine*"]);
        Ok(())
    }

    /// spec 8.1e: the error for a wrong name says what is right.
    #[test]
    fn what_names_no_program_is_refused() {
        let mut programs = Programs::builtin();
        for spec in ["", "!", "*", "a*b", "/usr/bin/vim", "!!vim", "a\nb", "**"] {
            let refused = programs.amend(Role::Editor, spec).unwrap_err();
            assert!(refused.starts_with(&format!("{spec:?} names no program")));
        }
    }
}
