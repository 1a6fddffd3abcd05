//! A transfer by TCP through the tunnel.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::Node;

const SIZE: usize = 8 << 20;

/// Bytes that repeat in no packet.
pub fn data() -> Vec<u8> {
    (0..u32::try_from(SIZE / 4).unwrap())
        .flat_map(|word| word.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect()
}

/// Sends the data by TCP, and takes it back as it arrived.
pub fn through(from: &Node, to: &Node, address: &str, data: &[u8]) -> Vec<u8> {
    let listener = to.namespace.run(|| TcpListener::bind(address).unwrap());
    let mut sender = from.namespace.run(|| TcpStream::connect(address).unwrap());
    thread::scope(|scope| {
        scope.spawn(move || sender.write_all(data).unwrap());
        let mut received = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
        received
    })
}

/// A transfer each way in each family arrives as it was sent.
pub fn transfers_arrive(a: &Node, b: &Node, what: &str) {
    let data = data();
    for (from, to, address) in [
        (a, b, "100.64.0.2:7000"),
        (b, a, "100.64.0.1:7000"),
        (a, b, "[fd00:64::2]:7000"),
        (b, a, "[fd00:64::1]:7000"),
    ] {
        let received = through(from, to, address, &data);
        assert!(received == data, "{what}: {} bytes to {address}, of {}", received.len(), data.len());
    }
}
