//! Who holds a TUN device or a UDP port: for error messages only, best effort.

use std::fs;
use std::path::{Path, PathBuf};

/// The process that has the TUN device of our network namespace open.
pub(crate) fn of_tun(name: &str) -> Option<u32> {
    let line = format!("iff:\t{name}");
    let holds = |process: &Path| {
        entries(&process.join("fdinfo")).any(|info| {
            fs::read_to_string(info).is_ok_and(|text| text.lines().any(|candidate| candidate == line))
        })
    };
    find(holds)
}

/// The process that has the UDP port of our network namespace bound.
pub(crate) fn of_udp_port(port: u16) -> Option<u32> {
    let sockets: Vec<String> = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| socket_on(line, port)).collect::<Vec<_>>())
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let holds = |process: &Path| {
        entries(&process.join("fd")).any(|descriptor| {
            fs::read_link(descriptor)
                .is_ok_and(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
        })
    };
    find(holds)
}

/// The descriptor's link target for a line of `/proc/net/udp` whose local port is `port`.
fn socket_on(line: &str, port: u16) -> Option<String> {
    let mut fields = line.split_whitespace();
    let (_, local_port) = fields.nth(1)?.rsplit_once(':')?;
    if u16::from_str_radix(local_port, 16).ok()? != port {
        return None;
    }
    Some(format!("socket:[{}]", fields.nth(7)?))
}

/// Among the processes that have a thread in our network namespace: names and ports mean nothing elsewhere.
fn find(holds: impl Fn(&Path) -> bool) -> Option<u32> {
    let namespace = fs::read_link("/proc/thread-self/ns/net").ok()?;
    let is_here = |process: &Path| {
        entries(&process.join("task"))
            .any(|thread| fs::read_link(thread.join("ns/net")).is_ok_and(|its| its == namespace))
    };
    entries(Path::new("/proc")).find_map(|process| {
        let pid = process.file_name()?.to_str()?.parse().ok()?;
        (holds(&process) && is_here(&process)).then_some(pid)
    })
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_bound_port_is_traced_to_its_process() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(of_udp_port(port), Some(std::process::id()));
        drop(socket);
        assert_eq!(of_udp_port(port), None);
    }

    #[test]
    fn a_line_of_the_socket_table_gives_the_inode() {
        let line = "  627: 00000000000000000000000000000000:1194 00000000000000000000000000000000:0000 07 \
                    00000000:00000000 00:00000000 00000000     0        0 27018 2 0000000000000000 0";
        assert_eq!(socket_on(line, 0x1194), Some("socket:[27018]".to_owned()));
        assert_eq!(socket_on(line, 0x1195), None);
        assert_eq!(socket_on("  sl  local_address rem_address", 1), None);
    }
}
