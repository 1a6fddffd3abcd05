//! From which of this machine's addresses packets go.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::DETOUR_MARK;

/// Any port does: nothing is sent.
const DISCARD: u16 = 9;

/// As the kernel routes what the data plane sends.
pub fn source_address(to: IpAddr) -> io::Result<IpAddr> {
    source(to, Some(DETOUR_MARK))
}

/// As the kernel routes what programs send.
pub fn program_source(to: IpAddr) -> io::Result<IpAddr> {
    source(to, None)
}

fn source(to: IpAddr, mark: Option<u32>) -> io::Result<IpAddr> {
    let (domain, any) = match to {
        IpAddr::V4(_) => (Domain::IPV4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        IpAddr::V6(_) => (Domain::IPV6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(mark) = mark {
        socket.set_mark(mark)?;
    }
    socket.bind(&SocketAddr::new(any, 0).into())?;
    socket.connect(&SocketAddr::new(to, DISCARD).into())?;
    let local = socket.local_addr()?.as_socket();
    local.map(|local| local.ip()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_this_machine_itself_they_go_from_that_address() {
        let home = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(program_source(home).unwrap(), home);
        // Marks take CAP_NET_ADMIN.
        match source_address(home) {
            Ok(source) => assert_eq!(source, home),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
    }
}
