//! The commands `mount`, `unmount` and `status`, and the processes behind a mount: daemon and supervisor.

use crate::config::{Config, Part};
use crate::failure::Failure;

mod background;
mod backoff;
mod child;
mod ending;
mod logging;
mod mounted;
mod mounts;
mod predecessor;
mod preflight;
mod process;
mod rights;
mod serve;
mod start;
mod status;
mod supervise;
mod supervised;
mod surroundings;
mod unmount;

pub use backoff::supervision;
pub use mounted::only_mount;
pub use preflight::resolve;
pub use status::status;
pub use unmount::unmount;

/// Mounts. In the background this returns when the mount is usable; in the foreground when it has ended.
///
/// # Errors
/// The directory cannot be mounted; nothing is left mounted then.
pub fn mount(config: &Config) -> Result<(), Failure> {
    let done = match config.part {
        Part::Launcher => background::launch(config),
        Part::Foreground | Part::Daemon(_) => serve::serve(config),
        Part::Supervisor(daemon) => supervise::supervise(config, daemon),
    };
    done.inspect_err(|failure| {
        if config.report_ready {
            // If no process reads this line, the failure is still in the log.
            let _ = start::report(&format!("error {failure}"));
        }
    })
}
