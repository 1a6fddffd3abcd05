//! Ctrl-C: the lab with all that runs in it is gone before this program is.

use std::process;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::tell;

/// What a shell reports for a program that SIGINT has ended.
const INTERRUPTED: i32 = 130;

struct Standing {
    interrupted: bool,
    /// Name of the last lab.
    lab: Option<String>,
}

static STANDING: Mutex<Standing> = Mutex::new(Standing { interrupted: false, lab: None });

fn standing() -> std::sync::MutexGuard<'static, Standing> {
    STANDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on SIGINT, SIGTERM and SIGHUP take the lab down and end this program.
pub(crate) fn watch() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build().context("waiting for signals")?;
    // Handlers, not a mask: the programs that are started would inherit a mask.
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    drop(entered);
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
        });
        let lab = {
            let mut standing = standing();
            standing.interrupted = true;
            standing.lab.take()
        };
        if let Some(lab) = lab {
            tell("interrupted: taking the lab down");
            if let Err(error) = twinmesh_lab::down(&twinmesh_lab::folder::root(), &lab) {
                tell(&format!("error: {error}"));
            }
        }
        process::exit(INTERRUPTED);
    });
    Ok(())
}

/// To be said before a lab is brought up.
///
/// # Errors
/// This program is to end.
pub(crate) fn lab_begins(name: &str) -> Result<()> {
    let mut standing = standing();
    if standing.interrupted {
        bail!("interrupted");
    }
    standing.lab = Some(name.to_owned());
    Ok(())
}

/// What fails while the lab goes down is no failure to be told. Does not return then: [`watch`] ends the program.
pub(crate) fn leave_if_interrupted() {
    while standing().interrupted {
        thread::park();
    }
}
