//! Whether anybody else is using the machine: a client and a daemon that share one core because the other one is taken talk to each
//! other more than twice as fast as over two, so a busy machine falsifies ratios, too.

use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::Result;

/// How long is looked.
const LOOK: Duration = Duration::from_millis(50);

/// The share of the machine that others may use.
const TOLERATED: f64 = 0.1;

/// What is known: how many measurements there were, how many began while the machine was busy, and how many looks may still be spent
/// on waiting in the whole run.
struct Known {
    all: u32,
    busy: u32,
    looks: u32,
}

static KNOWN: Mutex<Known> = Mutex::new(Known {
    all: 0,
    busy: 0,
    looks: 2400,
});

/// Waits until nobody uses the machine, at most five seconds, and at most two minutes of a run.
///
/// # Errors
///
/// The kernel does not tell.
pub fn wait() -> Result<()> {
    let mut known = KNOWN.lock().map_err(|_| "poisoned")?;
    known.all += 1;
    for _ in 0..100 {
        if used()? <= TOLERATED {
            return Ok(());
        }
        if known.looks == 0 {
            break;
        }
        known.looks -= 1;
    }
    known.busy += 1;
    Ok(())
}

/// What a reader of the figures should know of it.
pub fn remark() -> Option<String> {
    let known = KNOWN.lock().ok()?;
    let Known { all, busy, .. } = *known;
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

/// What all processors did since they were started: work, and anything.
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
