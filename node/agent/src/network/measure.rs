//! Runs a [`Prober`] on two UDP ports of its own.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use twinmesh_path::{Findings, Local, Prober, Server, Transmit};

use super::DETOUR_MARK;

/// No STUN message that we ask for is longer.
pub(super) const LONGEST: usize = 1500;

/// Measures by one IP version, which all the servers have. None: no server, or no way to them.
///
/// # Errors
/// No socket can be had.
pub async fn measure(
    servers: Vec<Server>,
    own: BTreeSet<IpAddr>,
    random: fastrand::Rng,
) -> io::Result<Option<Findings>> {
    let Some(first) = servers.first() else { return Ok(None) };
    let (main, second) = (bind(first.address)?, bind(first.address)?);
    let (mut main_buffer, mut second_buffer) = ([0; LONGEST], [0; LONGEST]);
    let mut prober = Prober::new(servers, own, random, Instant::now());
    let mut has_way = false;
    loop {
        prober.handle_timeout(Instant::now());
        while let Some(transmit) = prober.poll_transmit() {
            let socket = match transmit.from {
                Local::Main => &main,
                Local::Second => &second,
            };
            has_way |= send(socket, &transmit).await;
        }
        if !has_way {
            return Ok(None);
        }
        let Some(timeout) = prober.poll_timeout() else { return Ok(prober.findings()) };
        // Each branch only receives or sleeps, and so loses nothing when another one wins. An error tells of an ICMP
        // message that came for something sent earlier.
        tokio::select! {
            received = main.recv_from(&mut main_buffer) => if let Ok((length, from)) = received {
                let datagram = main_buffer.get(..length).unwrap_or_default();
                prober.handle_datagram(Local::Main, from, datagram, Instant::now());
            },
            received = second.recv_from(&mut second_buffer) => if let Ok((length, from)) = received {
                let datagram = second_buffer.get(..length).unwrap_or_default();
                prober.handle_datagram(Local::Second, from, datagram, Instant::now());
            },
            () = tokio::time::sleep_until(timeout.into()) => {}
        }
    }
}

/// False: there is no way to the server. Waits for a fresh socket to be ready, which a mere try would take for a full one.
async fn send(socket: &UdpSocket, transmit: &Transmit) -> bool {
    let sent = socket.send_to(&transmit.datagram, transmit.to).await;
    if let Err(error) = &sent {
        tracing::debug!(server = %transmit.to, %error, "a STUN request was not sent");
    }
    sent.is_ok()
}

/// Any free port, past the TUN device.
pub(super) fn bind(towards: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(towards), Type::DGRAM, Some(Protocol::UDP))?;
    let any: IpAddr =
        if towards.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    if towards.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_mark(DETOUR_MARK)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(any, 0).into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_request_of_a_fresh_socket_is_sent() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = server.local_addr().unwrap();
        let fresh = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        assert!(send(&fresh, &Transmit { from: Local::Main, to, datagram: b"first".to_vec() }).await);
        assert!(send(&fresh, &Transmit { from: Local::Main, to, datagram: b"second".to_vec() }).await);
        let mut buffer = [0; 16];
        let (length, _) = server.recv_from(&mut buffer).await.unwrap();
        assert_eq!(buffer.get(..length), Some(&b"first"[..]));
    }
}
