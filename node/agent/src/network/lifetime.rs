//! Runs a [`LifetimeProber`] on UDP ports of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use twinmesh_path::{LIFETIMES, LifetimePort, LifetimeProber, MappingLifetime};

use super::measure::{LONGEST, bind};

/// Datagrams that may wait; more are lost, as in the network.
const BACKLOG: usize = 64;

/// Measures for some three minutes how long what stands before this machine keeps a mapping. Dropping the future ends it.
///
/// # Errors
/// No socket can be had.
pub async fn measure_lifetime(server: SocketAddr, random: fastrand::Rng) -> io::Result<MappingLifetime> {
    let (into, mut received) = mpsc::channel(BACKLOG);
    let mut readers = JoinSet::new();
    let mut open = |port| {
        let socket = Arc::new(bind(server)?);
        readers.spawn(read(port, Arc::clone(&socket), into.clone()));
        io::Result::Ok(socket)
    };
    let asking = open(LifetimePort::Asking)?;
    let silent = (0..LIFETIMES.len())
        .map(|place| open(LifetimePort::Silent(place)))
        .collect::<io::Result<Vec<Arc<UdpSocket>>>>()?;
    let mut prober = LifetimeProber::new(server, random, Instant::now());
    loop {
        while let Some(transmit) = prober.poll_transmit() {
            let socket = match transmit.from {
                LifetimePort::Asking => Some(&asking),
                LifetimePort::Silent(place) => silent.get(place),
            };
            let Some(socket) = socket else { continue };
            // What is lost is asked again.
            if let Err(error) = socket.send_to(&transmit.datagram, transmit.to).await {
                tracing::debug!(server = %transmit.to, %error, "a STUN request was not sent");
            }
        }
        let Some(timeout) = prober.poll_timeout() else {
            return Ok(prober.lifetime().unwrap_or_default());
        };
        // Each branch only receives or sleeps, and so loses nothing when another one wins.
        tokio::select! {
            Some((port, from, datagram)) = received.recv() => {
                let datagram: Vec<u8> = datagram;
                prober.handle_datagram(port, from, &datagram, Instant::now());
            }
            () = tokio::time::sleep_until(timeout.into()) => prober.handle_timeout(Instant::now()),
        }
    }
}

async fn read(
    port: LifetimePort,
    socket: Arc<UdpSocket>,
    into: mpsc::Sender<(LifetimePort, SocketAddr, Vec<u8>)>,
) {
    let mut buffer = [0; LONGEST];
    loop {
        // An error tells of an ICMP message that came for something sent earlier.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let datagram = buffer.get(..length).unwrap_or_default().to_vec();
        if into.send((port, from, datagram)).await.is_err() {
            return;
        }
    }
}
