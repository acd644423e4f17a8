//! Random operations by several sessions, on a model of the contract and on the filesystem, compared after every step.
//!
//! The model is an oracle: it speaks the contract's words, and of the program it uses only what mounts it. Where the
//! contract allows several outcomes it accepts each, and goes on from the one it sees. `HANDOFF_MODEL_CASES` asks for
//! more cases than usual.

#![allow(unreachable_pub, reason = "nothing of a test is reachable")]

mod domain;
mod found;
#[allow(dead_code, reason = "made for another suite")]
#[path = "../kernel/harness.rs"]
mod harness;
mod judge;
mod kernel;
mod names;
mod ops;
mod renaming;
mod run;
mod world;
mod writing;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::domain::Domain;
use crate::kernel::{Kernel, Sys};
use crate::ops::Op;
use crate::run::Run;

thread_local! {
    /// This thread tries a case: a failure is told once, when the case is as short as it gets.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs a case; after one that failed, the next starts with another `sys`.
fn play<S: Sys + Default>(sys: &RefCell<S>, ops: &[Op]) {
    *sys.borrow_mut() = Run::new(sys.take()).case(ops);
}

/// Runs cases drawn with a fixed seed; panics with the shortest that fails.
fn cases<S: Sys + Default>(count: u32, length: usize) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
    let asked = std::env::var("HANDOFF_MODEL_CASES");
    let config = Config {
        cases: asked.map_or(count, |it| {
            it.parse().expect("HANDOFF_MODEL_CASES: a number")
        }),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let sys = RefCell::<S>::default();
    let result = TestRunner::new_with_rng(config, seed).run(&ops::case(length), |ops| {
        QUIET.set(true);
        let done = catch_unwind(AssertUnwindSafe(|| play(&sys, &ops)));
        QUIET.set(false);
        done.map_err(|panic| {
            let owned = panic.downcast_ref::<String>().cloned();
            let fixed = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
            TestCaseError::fail(owned.or(fixed).unwrap_or_default())
        })
    });
    if let Err(TestError::Fail(why, ops)) = result {
        let ops: Vec<String> = ops.iter().map(|op| format!("{op:?}")).collect();
        panic!("{why}\nafter:\n{}", ops.join("\n"));
    }
}

fn found<S: Sys + Default>() {
    let sys = RefCell::<S>::default();
    for (name, ops) in found::cases() {
        println!("{name}");
        play(&sys, &ops);
    }
}

/// The logic itself.
#[test]
fn domain() {
    cases::<Domain>(400, 40);
}

/// The logic itself, on every case that failed once.
#[test]
fn found_direct() {
    found::<Domain>();
}

/// Through the kernel.
#[test]
fn kernel() {
    cases::<Kernel>(25, 25);
}

/// Through the kernel, on every case that failed once.
#[test]
fn found_mounted() {
    found::<Kernel>();
}
