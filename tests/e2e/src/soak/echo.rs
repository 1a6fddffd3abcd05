//! Sends everything back: blocks by TCP, whole before the first byte of the answer, and datagrams.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use super::traffic::{TCP_PORT, UDP_PORT};

/// The longest block.
pub(super) const MAX_BLOCK: usize = 1 << 20;

/// Begins to serve, on both IP versions.
pub(super) fn serve() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, TCP_PORT))?;
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, UDP_PORT))?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // It ends with the connection, however that ends: its client counts what broke.
            thread::spawn(move || blocks(connection));
        }
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        loop {
            // An ICMP error of an earlier answer is no end.
            let Ok((length, sender)) = socket.recv_from(&mut buffer) else { continue };
            socket.send_to(buffer.get(..length).unwrap_or_default(), sender).ok();
        }
    });
    Ok(())
}

fn blocks(mut connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut block = Vec::new();
    loop {
        let mut length = [0; 4];
        connection.read_exact(&mut length)?;
        let size = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if size > MAX_BLOCK {
            return Err(io::ErrorKind::InvalidData.into());
        }
        block.resize(4 + size, 0);
        let (head, body) = block.split_at_mut(4);
        head.copy_from_slice(&length);
        connection.read_exact(body)?;
        connection.write_all(&block)?;
    }
}
