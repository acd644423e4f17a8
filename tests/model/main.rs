//! Random operations by several sessions, on a small model of the contract and on the filesystem, compared after every
//! step: listings, contents by every name, what is pending, and that nothing acknowledged is lost.
//!
//! `HANDOFF_MODEL_CASES` asks for more cases than usual.

#![allow(unreachable_pub, reason = "nothing of a test is reachable")]

mod check;
mod domain;
mod found;
mod kernel;
mod model;
mod ops;
mod procs;
mod reading;
mod renames;
mod run;
mod sys;
mod writing;

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, Once};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::domain::Domain;
use crate::kernel::Kernel;
use crate::ops::Op;
use crate::run::Run;
use crate::sys::StoppedClock;

/// One test at a time: a caller that is being started holds copies of every descriptor that is open just then, and with
/// them another test's lock of its backing directory.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|broken| broken.into_inner())
}

thread_local! {
    /// This thread tries a case: what fails is said once, when it is as short as it gets.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
}

/// Runs cases drawn with a fixed seed; panics with the shortest that fails.
fn cases(count: u32, length: usize, case: impl Fn(&[Op])) {
    let count = match std::env::var("HANDOFF_MODEL_CASES") {
        Ok(asked) => asked.parse().expect("HANDOFF_MODEL_CASES: a number"),
        Err(_) => count,
    };
    let config = Config {
        cases: count,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    quieten();
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, seed);
    let result = runner.run(&ops::case(length), |ops| {
        let run = std::panic::AssertUnwindSafe(|| case(&ops));
        QUIET.set(true);
        let done = std::panic::catch_unwind(run);
        QUIET.set(false);
        done.map_err(|panic| {
            let message = panic.downcast_ref::<String>().cloned();
            let message =
                message.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
            TestCaseError::fail(message.unwrap_or_default())
        })
    });
    if let Err(TestError::Fail(why, ops)) = result {
        let ops: Vec<String> = ops.iter().map(|op| format!("{op:?}")).collect();
        panic!("{why}\nafter:\n{}", ops.join("\n"));
    }
}

/// The logic itself.
#[test]
fn domain() {
    let _alone = alone();
    cases(400, 40, |ops| {
        let clock = StoppedClock::new();
        let mut domain = Domain::new(clock.clone());
        Run::new(&mut domain, clock).case(ops);
    });
}

/// The logic itself, on every case that failed once.
#[test]
fn found() {
    let _alone = alone();
    for (name, ops) in found::cases() {
        println!("{name}");
        let clock = StoppedClock::new();
        let mut domain = Domain::new(clock.clone());
        Run::new(&mut domain, clock).case(&ops);
    }
}

fn mounted(ops: &[Op]) {
    let ops: Vec<Op> = ops.iter().cloned().map(Op::on_a_mount).collect();
    let clock = StoppedClock::new();
    let mut kernel = Kernel::new(clock.clone());
    Run::new(&mut kernel, clock).case(&ops);
}

/// Through the kernel.
#[test]
fn kernel() {
    let _alone = alone();
    cases(25, 25, mounted);
}

/// Through the kernel, on every case that failed once.
#[test]
fn found_mounted() {
    let _alone = alone();
    for (name, ops) in found::cases() {
        println!("{name}");
        mounted(&ops);
    }
}
