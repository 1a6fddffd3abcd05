//! Waiting for a condition instead of sleeping.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Pause between two looks; a look is itself a process or two.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` gives a value.
///
/// # Errors
/// `what` did not come within `deadline`.
pub fn wait_for<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = look() {
            return Ok(value);
        }
        if start.elapsed() > deadline {
            bail!("waited {deadline:?} for {what}");
        }
        std::thread::sleep(PAUSE);
    }
}
