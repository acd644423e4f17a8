//! Random operations by several sessions, on the filesystem and on what the contract expects of it, compared after each step.
//!
//! Of the program only the interface is used that mounts and calls it. Where the contract allows several outcomes each is
//! accepted, and the case goes on from the one that is there. `HANDOFF_MODEL_CASES` asks for more cases than usual, and
//! `HANDOFF_TORTURE_SEED` for others.

#![allow(unreachable_pub, reason = "nothing of a test is reachable")]

mod check;
mod client;
mod expected;
mod found;
#[allow(dead_code, reason = "made for another suite")]
#[path = "../kernel/harness.rs"]
mod harness;
mod logic;
mod names;
mod ops;
mod renaming;
mod run;
#[path = "../common/torture.rs"]
mod torture;
mod writing;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::client::{Kernel, System};
use crate::logic::Logic;
use crate::run::Run;

thread_local! {
    /// A failure is told once, when its case is as short as it gets.
    static IS_SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Runs cases drawn at random; panics with the shortest that fails.
fn random_cases<S: System>(count: u32, length: usize) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_SILENT.get() {
                hook(panic);
            }
        }));
    });
    let asked = std::env::var("HANDOFF_MODEL_CASES");
    let config = Config {
        cases: asked.map_or(count, |n| n.parse().expect("HANDOFF_MODEL_CASES: a number")),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let mut seed = [0; 32];
    torture::random().fill(&mut seed);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    // After a case that failed, the next one starts with another system.
    let system = RefCell::<S>::default();
    let result = TestRunner::new_with_rng(config, rng).run(&ops::case(length), |ops| {
        IS_SILENT.set(true);
        let run = || *system.borrow_mut() = Run::new(system.take()).case(&ops);
        let result = catch_unwind(AssertUnwindSafe(run));
        IS_SILENT.set(false);
        result.map_err(|panic| {
            let message = panic.downcast_ref::<String>().cloned();
            TestCaseError::fail(message.unwrap_or_default())
        })
    });
    if let Err(TestError::Fail(why, ops)) = result {
        let ops: Vec<String> = ops.iter().map(|op| format!("{op:?}")).collect();
        panic!("{why}\nafter:\n{}", ops.join("\n"));
    }
}

fn found_cases<S: System>() {
    let mut system = S::default();
    for (name, ops) in found::cases() {
        println!("{name}");
        system = Run::new(system).case(&ops);
    }
}

/// The logic itself.
#[test]
fn domain() {
    random_cases::<Logic>(400, 40);
}

/// The logic itself, on every case that failed once.
#[test]
fn found_direct() {
    found_cases::<Logic>();
}

/// Through the kernel.
#[test]
fn kernel() {
    random_cases::<Kernel>(25, 25);
}

/// Through the kernel, on every case that failed once.
#[test]
fn found_mounted() {
    found_cases::<Kernel>();
}
