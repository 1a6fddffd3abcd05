//! `exec`: a program in a host, as if it ran here.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ExitCode, ExitStatus};

use anyhow::anyhow;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use twinmesh_lab::Lab;

use super::arguments::Exec;

/// `si_code` of a signal that the kernel sends, such as the terminal's for Ctrl-C.
const FROM_KERNEL: i32 = 0x80;

pub(super) fn exec(root: &Path, arguments: &Exec) -> anyhow::Result<ExitCode> {
    let lab = Lab::select(root, arguments.which.lab.as_deref())?;
    let host = lab.find_host(&arguments.host)?;
    let mut command = host.enter()?;
    command.args(&arguments.command);
    let mut child =
        command.spawn().map_err(|error| anyhow!("cannot start a program in {}: {error}", host.name()))?;
    let status = wait(&mut child)?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Waits for the program and passes signals on. One from the terminal reaches the program by itself, so
/// that it is not sent twice.
fn wait(child: &mut Child) -> anyhow::Result<ExitStatus> {
    let passed = [
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGCHLD,
    ];
    let mut signals = SigSet::empty();
    for signal in passed {
        signals.add(signal);
    }
    // After the program's start, which would inherit the mask.
    signals.thread_block()?;
    let source = SignalFd::new(&signals)?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    loop {
        // Before each wait: the first SIGCHLD may have come before the mask.
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let Some(received) = source.read_signal()? else { continue };
        let signal = Signal::try_from(i32::try_from(received.ssi_signo)?)?;
        if signal != Signal::SIGCHLD && received.ssi_code != FROM_KERNEL {
            // The program may have ended meanwhile.
            let _ = kill(pid, signal);
        }
    }
}
