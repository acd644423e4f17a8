use std::os::unix::ffi::OsStringExt;

use clap::Parser;
use proptest::prelude::*;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    mount: MountArgs,
}

fn arguments(line: &[&str]) -> MountArgs {
    Line::try_parse_from([&["handoff-fs"], line].concat())
        .unwrap()
        .mount
}

fn resolved(line: &[&str]) -> Config {
    resolve(&arguments(line)).unwrap()
}

fn refused(line: &[&str]) -> String {
    let message = resolve(&arguments(line)).unwrap_err().to_string();
    assert!(
        !message.contains('\n') && message.contains(';') || message.contains(": not possible: "),
        "one line with a cure: {message}"
    );
    message
}

#[test]
fn relative_paths_become_absolute() {
    let here = std::env::current_dir().unwrap();
    assert_eq!(
        resolved(&["some/where"]).mountpoint,
        here.join("some/where")
    );
    assert_eq!(
        resolved(&["/m", "--backing", "b"]).backing,
        Some(here.join("b"))
    );
    assert!(mountpoint(Some(Path::new(""))).is_err());
}

/// spec 7.1a
#[test]
fn retention_is_a_week_or_what_humantime_understands() {
    assert_eq!(
        resolved(&["/m"]).options.retention,
        Duration::from_secs(604_800)
    );
    for (text, seconds) in [
        ("7d", 604_800),
        ("1day 12h", 129_600),
        (" 90m ", 5_400),
        ("1s", 1),
    ] {
        assert_eq!(
            resolved(&["/m", "--retention", text])
                .options
                .retention
                .as_secs(),
            seconds
        );
    }
    for nonsense in [
        "0",
        "0s",
        "7",
        "-1d",
        "soon",
        "",
        "10ms",
        "200years",
        "99999999999999999999d",
    ] {
        assert!(refused(&["/m", &format!("--retention={nonsense}")]).contains("--retention"));
    }
}

#[test]
fn sizes_have_units() {
    for (text, bytes) in [
        ("1", 1),
        ("4096b", 4096),
        ("2k", 2048),
        ("3MiB", 3 << 20),
        ("1G", 1 << 30),
    ] {
        assert_eq!(
            resolved(&["/m", "--max-size", text]).options.max_size,
            Some(bytes)
        );
    }
    for nonsense in [
        "0",
        "K",
        "",
        "1.5M",
        "1T",
        "ten",
        "9999999999G",
        "1 K K",
        "½",
        "-1",
        "1e3",
        "1 000",
    ] {
        assert!(refused(&["/m", &format!("--max-size={nonsense}")]).contains("--max-size"));
    }
    for huge in [
        "9223372036854775808",
        "18446744073709551616",
        "18446744073709551615K",
        "184467440737095516155",
    ] {
        assert!(refused(&["/m", "--max-size", huge]).contains("larger than any file"));
    }
}

/// spec 8.1a, 8.2a
#[test]
fn fstab_options_are_the_same_options() {
    let config = resolved(&[
        "none",
        "/m",
        "-o",
        "rw,noauto,user,_netdev,x-systemd.automount,retention=3d,utc,no_sync,hide-pending",
        "-o",
        r"adopt,backing=/a\,b\\c,max-size=1M,agent=foo,log_file=/l",
    ]);
    assert_eq!(config.options.retention, Duration::from_secs(3 * 86_400));
    assert!(config.options.utc && !config.options.sync && config.options.hide_pending);
    assert_eq!(config.backing, Some(PathBuf::from(r"/a,b\c")));
    assert_eq!(config.found_files, FoundFiles::Adopt);
    assert_eq!(config.options.max_size, Some(1 << 20));
    assert_eq!(config.log_file, Some(PathBuf::from("/l")));
    assert_eq!(config.amendments, [("agent", "foo".to_owned())]);
    for (list, word) in [
        ("allow_other", "owner"),
        ("rw,allow_root", "owner"),
        ("auto_unmount", "dead mount"),
        ("ro", "rename"),
        ("retention", "value"),
        ("retention=", "value"),
        ("utc=1", "no value"),
        ("umask=0", "unknown"),
    ] {
        let message = refused(&["/m", "-o", list]);
        assert!(message.contains(word), "{message}");
    }
}

/// spec 8.1a, 8.1c
#[test]
fn an_fstab_source_is_a_label_unless_it_is_a_path() {
    assert_eq!(resolved(&["handoff-fs", "/m", "-o", "rw"]).backing, None);
    let source = resolved(&["/b", "/m", "-o", "rw"]);
    assert_eq!(source.backing, Some(PathBuf::from("/b")));
    assert!(refused(&["/b", "/m"]).contains("--backing"));
    let both = resolved(&["/b", "/m", "--backing", "/c", "-o", "rw"]);
    assert_eq!(both.backing, Some(PathBuf::from("/c")));
    assert_eq!(both.mountpoint, Path::new("/m"));
}

#[test]
fn what_stays_in_the_background_has_the_same_settings() {
    let mut config = resolved(&[
        "/m n",
        "--backing",
        "/b",
        "--retention",
        "1h 30m",
        "--utc",
        "--no-sync",
        "--max-size",
        "7K",
        "--adopt",
        "--hide-pending",
        "--agent",
        "foo",
        "--searcher",
        "!grep",
        "--editor",
        "vi2",
        "-vv",
    ]);
    config.past = Past {
        restarts: 3,
        last_death: Some("pid 7, signal: 9 (SIGKILL)".to_owned()),
    };
    for (part, reports) in [
        (Part::Supervisor(None), true),
        (Part::Supervisor(Some(7)), false),
        (Part::Daemon(8), true),
    ] {
        let line = config.arguments_as(part);
        let mut words = vec![OsString::from("handoff-fs")];
        words.extend(line.into_iter().skip(1));
        let again = resolve(&Line::try_parse_from(words).unwrap().mount).unwrap();
        config.report_ready = reports;
        config.part = part;
        assert_eq!(format!("{again:?}"), format!("{config:?}"));
    }
}

/// Words that options are made of, and what nobody would put there.
fn hostile() -> impl Strategy<Value = OsString> {
    let words = [
        "retention",
        "max-size",
        "backing",
        "log-file",
        "utc",
        "agent",
        "=",
        "=",
        ",",
        "\\",
        "7d",
        "1s",
        "0",
        "-1",
        "100years",
        "99999999999999999999",
        "512K",
        "1.5M",
        "E",
        "G",
        "½",
        " ",
        "\n",
        "\u{1b}[2J",
        "\u{9b}",
        "..",
        "/",
        "-",
        "--",
        "x-",
        "!",
        "ro",
    ];
    let piece = prop_oneof![
        6 => prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(1..=255u8, 0..6),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| OsString::from_vec(pieces.concat()))
}

proptest! {
    /// spec 8.1e: any words in any place are either understood or refused in one line without anything that a terminal obeys;
    /// none of them stops the program.
    #[test]
    fn any_words_are_answered(
        option in prop::sample::select(vec!["--retention", "--max-size", "-o", "--backing", "--log-file", "--agent", "--searcher"]),
        value in hostile(),
        mountpoint in hostile(),
    ) {
        let words = [OsString::from("handoff-fs"), option.into(), value, "--".into(), mountpoint];
        let Ok(line) = Line::try_parse_from(words) else {
            return Ok(());
        };
        match resolve(&line.mount) {
            Ok(config) => {
                prop_assert!(config.mountpoint.is_absolute());
                prop_assert!(config.options.retention >= Duration::from_secs(1) && config.options.retention <= LONGEST_RETENTION);
                prop_assert!(config.options.max_size != Some(0));
            }
            Err(error) => {
                let error = error.to_string();
                prop_assert!(!error.contains(char::is_control), "{error:?}");
            }
        }
    }
}
