//! What the machine says of itself, by its own programs: people who read reports know their output.

use std::io::{self, Read as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::archive::Archive;

/// Of what a program prints.
const MOST_OUTPUT: u64 = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// Each file, and the commands whose output it has.
const FILES: [(&str, &[&[&str]]); 8] = [
    ("host/kernel.txt", &[&["uname", "-a"], &["cat", "/etc/os-release"], &["uptime"]]),
    ("host/addresses.txt", &[&["ip", "-s", "address", "show"]]),
    (
        "host/routes.txt",
        &[&["ip", "-4", "route", "show", "table", "all"], &["ip", "-6", "route", "show", "table", "all"]],
    ),
    ("host/rules.txt", &[&["ip", "-4", "rule", "show"], &["ip", "-6", "rule", "show"]]),
    ("host/sockets.txt", &[&["ss", "-lntup"]]),
    ("host/packet-filter.txt", &[&["nft", "list", "ruleset"]]),
    (
        "host/settings.txt",
        &[&[
            "sysctl",
            "-ar",
            r"^net\.ipv[46]\.(conf\..*\.(rp_filter|forwarding)|ip_forward)|^net\.core\.[rw]mem_max",
        ]],
    ),
    ("host/counters.txt", &[&["cat", "/proc/net/snmp", "/proc/net/snmp6", "/proc/net/netstat"]]),
];

pub(super) fn add<W: io::Write>(archive: &mut Archive<W>) -> io::Result<()> {
    for (file, commands) in FILES {
        let mut text = Vec::new();
        for command in commands {
            text.extend_from_slice(format!("$ {}\n", command.join(" ")).as_bytes());
            match output(command) {
                Ok(printed) => text.extend_from_slice(&printed),
                Err(error) => {
                    text.extend_from_slice(format!("{error}\n").as_bytes());
                    archive.miss(file, &format!("{}: {error}", command.join(" ")));
                }
            }
            text.push(b'\n');
        }
        archive.add(file, &text)?;
    }
    Ok(())
}

/// What a command prints, errors too; bounded in length and time.
fn output(command: &[&str]) -> io::Result<Vec<u8>> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let (reader, writer) = io::pipe()?;
    // In a statement of its own, so that this process keeps no writing end, which would never let the reader finish.
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    let (done, read) = mpsc::channel();
    thread::spawn(move || {
        let mut printed = Vec::new();
        let result = reader.take(MOST_OUTPUT).read_to_end(&mut printed).map(|_| printed);
        // Nobody may wait any more.
        done.send(result).ok();
    });
    let printed = read.recv_timeout(PATIENCE);
    // Whoever prints more, or nothing, does not end by himself.
    child.kill().ok();
    child.wait()?;
    printed.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer within 5 s"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_a_command_has_its_errors_and_an_end() {
        assert_eq!(output(&["sh", "-c", "echo out; echo err >&2"]).unwrap(), b"out\nerr\n");
        assert_eq!(output(&["yes"]).unwrap().len() as u64, MOST_OUTPUT);
        assert_eq!(output(&["no-such-program"]).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
