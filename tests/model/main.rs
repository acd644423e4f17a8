//! Random operations by several sessions, on the filesystem and on what the contract expects of it, compared after each step.
//!
//! Of the program only the interface is used that mounts and calls it. Where the contract allows several outcomes each is
//! accepted, and the case goes on from the one that is there. `HANDOFF_MODEL_CASES` asks for more cases than usual, and
//! `HANDOFF_TORTURE_SEED` for others.

#![allow(unreachable_pub, reason = "nothing of a test is reachable")]

mod check;
mod client;
mod expected;
#[allow(dead_code, reason = "made for another suite")]
#[path = "../kernel/harness.rs"]
mod harness;
mod names;
mod ops;
mod renaming;
mod run;
#[path = "../common/torture.rs"]
mod torture;
mod writing;

use std::cell::RefCell;
use std::panic::{set_hook, take_hook};

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::client::Clients;
use crate::run::Run;

/// How many cases are drawn, and of how many operations at most.
const CASES: u32 = 100;
const LENGTH: usize = 40;

/// Runs cases drawn at random; panics with the shortest that fails.
#[test]
fn kernel() {
    let asked = std::env::var("HANDOFF_MODEL_CASES");
    let config = Config {
        cases: asked.map_or(CASES, |n| n.parse().expect("HANDOFF_MODEL_CASES: a number")),
        failure_persistence: None,
        max_shrink_time: 20_000,
        ..Config::default()
    };
    let mut seed = [0; 32];
    torture::random().fill(&mut seed);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    // After a case that failed, the next case starts with other clients.
    let clients = RefCell::<Clients>::default();
    // Only the shortest case that fails is reported.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let result = TestRunner::new_with_rng(config, rng).run(&ops::case(LENGTH), |ops| {
        *clients.borrow_mut() = Run::new(clients.take()).case(&ops);
        Ok(())
    });
    set_hook(hook);
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, ops)) => {
            let ops: Vec<String> = ops.iter().map(|op| format!("{op:?}")).collect();
            panic!("{why}\nafter:\n{}", ops.join("\n"));
        }
        Err(error) => panic!("{error}"),
    }
}
