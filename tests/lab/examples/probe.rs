//! A helper of the tests, no example: a UDP socket and a TCP listener inside a host.
//!
//! `probe ADDRESS:PORT` writes `bound`, then answers each line of its input with one line. It ends with its
//! input. tests/namespaces/probe.rs is the other end.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step fails the test that started it; the output is its answers"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

fn main() {
    let bind = std::env::args().nth(1).expect("usage: probe ADDRESS:PORT");
    let bind: SocketAddr = bind.parse().unwrap();
    let socket = UdpSocket::bind(bind).unwrap();
    let received = receiver(socket.try_clone().unwrap());
    serve(TcpListener::bind(bind).unwrap());
    println!("bound");
    for line in std::io::stdin().lines() {
        println!("{}", obey(&line.unwrap(), &socket, &received));
    }
}

fn obey(line: &str, socket: &UdpSocket, received: &Receiver<(SocketAddr, String)>) -> String {
    let (command, rest) = line.split_once(' ').unwrap();
    let mut words = rest.split(' ');
    let mut next = || words.next().unwrap();
    match command {
        "send" => {
            let (to, text) = rest.split_once(' ').unwrap();
            // An ICMP error about an earlier datagram may be reported here; this one still has to go out.
            (0..3).find(|_| socket.send_to(text.as_bytes(), to).is_ok()).map_or("refused", |_| "sent").into()
        }
        "burst" => {
            burst(socket, next(), next().parse().unwrap(), next().parse().unwrap());
            "sent".into()
        }
        "receive" => {
            let received = received.recv_timeout(Duration::from_millis(next().parse().unwrap()));
            received.map_or_else(|_| "nothing".into(), |(from, text)| format!("{from} {text}"))
        }
        "connect" => {
            let (to, patience) = (next().parse().unwrap(), Duration::from_millis(next().parse().unwrap()));
            connect(to, patience).unwrap_or_else(|error| error.to_string())
        }
        "transfer" => transfer(next().parse().unwrap(), next().parse().unwrap()).as_micros().to_string(),
        other => format!("unknown command {other}"),
    }
}

/// Takes datagrams from the socket at once, so that its buffer never overflows.
fn receiver(socket: UdpSocket) -> Receiver<(SocketAddr, String)> {
    let (sender, received) = channel();
    // Only root may have this much; others get by with less.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &(4 << 20));
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        loop {
            // An error is an ICMP message about an earlier datagram.
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
            let text = String::from_utf8_lossy(&buffer[..length]).trim_end_matches('.').to_owned();
            if sender.send((from, text)).is_err() {
                return;
            }
        }
    });
    received
}

fn burst(socket: &UdpSocket, to: &str, count: u32, size: usize) {
    for number in 0..count {
        let text = format!("{number}{}", ".".repeat(size.saturating_sub(number.to_string().len())));
        let _ = socket.send_to(text.as_bytes(), to);
        // Slow enough for the receiver, also on a busy machine: what it loses is taken for the link's.
        std::thread::sleep(Duration::from_micros(150));
    }
}

/// Tells each TCP client its address, reads to the end, and confirms it.
fn serve(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let client = stream.peer_addr().unwrap();
                writeln!(stream, "{client}").unwrap();
                let mut all = Vec::new();
                stream.read_to_end(&mut all).unwrap();
                let _ = writeln!(stream, "{}", all.len());
            });
        }
    });
}

fn connect(to: SocketAddr, patience: Duration) -> std::io::Result<String> {
    let stream = TcpStream::connect_timeout(&to, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn transfer(to: SocketAddr, bytes: usize) -> Duration {
    let start = Instant::now();
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(&vec![0; bytes]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.lines().nth(1), Some(bytes.to_string().as_str()));
    start.elapsed()
}
