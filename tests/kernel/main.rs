//! Tests through the real kernel. Every test mounts for itself and cites the numbers of the contract it checks.

mod harness;

mod basics;
