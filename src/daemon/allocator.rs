//! Settings that make the daemon return unused memory to the system.

use std::process::Command;

/// Variables of the environment that glibc's allocator reads (mallopt(3)): two sizes in bytes, and a number of heaps.
///
/// By default the allocator keeps large blocks that were freed, and gives every thread a heap of its own. This program lists
/// a hundred thousand names once and then runs for weeks, so it returns such blocks to the system. The blocks of a request are
/// below the first limit and cost no system call. Measured after mounting 100,000 handoffs: 18 MiB instead of 43.
const SETTINGS: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "2097152"),
    ("MALLOC_TRIM_THRESHOLD_", "1048576"),
    ("MALLOC_ARENA_MAX", "1"),
];

/// Makes the program, and every program that it starts, return unused memory to the system. Variables that the user has set stay.
pub(super) fn limit_memory(command: &mut Command) -> &mut Command {
    let unset = |name: &&(&str, &str)| std::env::var_os(name.0).is_none();
    command.envs(SETTINGS.iter().filter(unset).copied())
}
