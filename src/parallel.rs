//! Work on many files, shared by two threads.
//!
//! This file serves the rows of the benchmark with a thousand files and more: "`cat pending.md`, 1,000 × 2 KiB", "mounting
//! over 100,000" and "`ls -l` of 10,000". Without it one thread does the work: [`in_two`] is `items.iter().map(ask)`, and
//! [`do_in_two`] is `for item in items { take_in(item, run(item)) }`.
//!
//! A system call on a file costs some microseconds. A reader waits for a thousand of them.

use std::sync::mpsc;
use std::thread;

use parking_lot::Mutex;

/// A second thread is worth its start from this many files on: the start costs as much as ten or twenty files.
const MANY: usize = 256;

/// Calls `ask` for each item. The answers are in the order of the items.
pub(crate) fn in_two<I: Sync, T: Send>(items: &[I], ask: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let all = |items: &[I]| items.iter().map(&ask).collect::<Vec<T>>();
    if items.len() < MANY {
        return all(items);
    }
    let (mine, others) = items.split_at(items.len() / 2);
    thread::scope(|scope| {
        let helper = thread::Builder::new().spawn_scoped(scope, || all(others));
        let mut found = all(mine);
        let rest = helper.ok().and_then(|helper| helper.join().ok());
        found.extend(rest.unwrap_or_else(|| all(others)));
        found
    })
}

/// Calls `run` once for each item. This thread takes in the results, in any order, while the other thread goes on.
pub(crate) fn do_in_two<I: Sync, T: Send>(
    items: &[I],
    run: impl Fn(&I) -> T + Sync,
    mut take_in: impl FnMut(&I, T),
) {
    let left = Mutex::new(items.iter());
    let first = || left.lock().next();
    let last = || left.lock().next_back();
    thread::scope(|scope| {
        let (send, done) = mpsc::channel();
        if items.len() >= MANY {
            let (last, run) = (&last, &run);
            // If no thread can be started, this thread does everything.
            let _ = thread::Builder::new().spawn_scoped(scope, move || {
                while let Some(item) = last() {
                    if send.send((item, run(item))).is_err() {
                        return;
                    }
                }
            });
        } else {
            drop(send);
        }
        while let Some(item) = first() {
            take_in(item, run(item));
            done.try_iter().for_each(|(item, out)| take_in(item, out));
        }
        done.iter().for_each(|(item, out)| take_in(item, out));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once_and_the_answers_in_order() {
        for count in [0, 1, MANY - 1, MANY, 10 * MANY + 1] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(
                in_two(&items, |item| item + 1),
                (1..=count).collect::<Vec<_>>()
            );
            let mut taken = Vec::new();
            do_in_two(
                &items,
                |item| item + 1,
                |item, out| taken.push((*item, out)),
            );
            taken.sort_unstable();
            assert_eq!(taken, (0..count).map(|i| (i, i + 1)).collect::<Vec<_>>());
        }
    }
}
