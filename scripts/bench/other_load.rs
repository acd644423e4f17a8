//! Whether other programs use the machine. On a busy machine a client and a daemon may share one core, and then talk to each other
//! more than twice as fast as over two cores, so that even ratios are wrong.

use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::Result;

/// How long one look at the load takes.
const LOOK: Duration = Duration::from_millis(50);

/// The share of all processors that other programs may use.
const TOLERATED: f64 = 0.1;

/// How many measurements there were, how many of them began on a busy machine, and how many looks the whole run may still spend on
/// waiting.
struct Looks {
    all: u32,
    busy: u32,
    left: u32,
}

static LOOKS: Mutex<Looks> = Mutex::new(Looks {
    all: 0,
    busy: 0,
    left: 2400,
});

/// Waits until other programs do not use the machine: at most five seconds, and at most two minutes in a whole run.
///
/// # Errors
///
/// `/proc/stat` cannot be read.
pub fn wait() -> Result<()> {
    let mut looked = LOOKS.lock().map_err(|_| "poisoned")?;
    looked.all += 1;
    for _ in 0..100 {
        if used()? <= TOLERATED {
            return Ok(());
        }
        if looked.left == 0 {
            break;
        }
        looked.left -= 1;
    }
    looked.busy += 1;
    Ok(())
}

/// What a reader of the figures should know, if any measurement began on a busy machine.
pub fn remark() -> Option<String> {
    let looked = LOOKS.lock().ok()?;
    let Looks { all, busy, .. } = *looked;
    (busy > 0).then(|| format!("others used the machine when {busy} of {all} measurements began"))
}

/// The share of all processors that is used just now.
fn used() -> Result<f64> {
    let [busy, all] = ticks()?;
    thread::sleep(LOOK);
    let [busy_then, all_then] = ticks()?;
    let all = all_then.saturating_sub(all).max(1);
    #[allow(clippy::cast_precision_loss)]
    Ok(busy_then.saturating_sub(busy) as f64 / all as f64)
}

/// The time of all processors since the machine was started, in ticks: at work, and in all.
fn ticks() -> Result<[u64; 2]> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user, nice, system, idle, waiting for a disk, interrupts …; guests are in user already.
    let all = fields.iter().take(8).sum();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    Ok([all - idle, all])
}
