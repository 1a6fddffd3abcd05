//! The initiator: our engine on sockets, in a host of the lab.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use twinmesh_ike::auth::{Credentials, LocalCredential, PreSharedKey, RemoteCredential};
use twinmesh_ike::config::{
    ChildConfig, ConnectionConfig, Legacy, Proposal, Protocol, Remote, SelectorPair, TrafficSelector,
};
use twinmesh_ike::{Command, Engine, EngineConfig, Event, Output};

/// Makes this program the initiator.
pub(crate) const MARKER: &str = "initiate";
pub(crate) const PSK: &str = "uT7.kQ_2mVx9eR4pLs0b";
pub(crate) const IKE_PROPOSAL: &str = "aes128gcm16-prfsha256-x25519";
pub(crate) const ESP_PROPOSAL: &str = "aes128gcm16";
pub(crate) const HANDSHAKES: usize = 400;
pub(crate) const AT_A_TIME: usize = 4;
/// Each thread has an address of its own, so that none is taken for a flood.
pub(crate) const FIRST_HOST: usize = 101;
const FIRST_PORT: usize = 10_000;
const NON_ESP_PORT: u16 = 4500;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) established: usize,
    pub(crate) seconds: f64,
}

/// Handshakes with the responder, as many at a time as there are threads.
pub(crate) fn run(responder: Ipv4Addr) -> Result<Outcome> {
    let begin = Instant::now();
    let threads: Vec<_> = (0..AT_A_TIME)
        .map(|thread| std::thread::spawn(move || one_thread(thread, (responder, NON_ESP_PORT).into())))
        .collect();
    let mut established = 0;
    for thread in threads {
        established += thread.join().ok().context("an initiator panicked")??;
    }
    Ok(Outcome { established, seconds: begin.elapsed().as_secs_f64() })
}

fn one_thread(thread: usize, responder: SocketAddr) -> Result<usize> {
    let address = Ipv4Addr::new(192, 0, 2, u8::try_from(FIRST_HOST + thread)?);
    let mut engine = Engine::new(EngineConfig::default());
    let mut established = 0;
    for index in (thread..HANDSHAKES).step_by(AT_A_TIME) {
        let socket = UdpSocket::bind((address, u16::try_from(FIRST_PORT + index)?))?;
        let connection = connection(index, socket.local_addr()?, responder)?;
        established += usize::from(handshake(&mut engine, &socket, connection)?);
    }
    Ok(established)
}

/// Whether it came to its end.
fn handshake(engine: &mut Engine, socket: &UdpSocket, connection: ConnectionConfig) -> Result<bool> {
    let local = socket.local_addr()?;
    let name = connection.name.clone();
    engine.add_connection(connection);
    engine.handle_command(Instant::now(), Command::Initiate { connection: name.clone() }, &mut random);
    let mut buffer = [0; 2048];
    loop {
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Transmit(it) if it.local == local => {
                    socket.send_to(&it.datagram, it.remote)?;
                }
                Output::Event(Event::ChildSaEstablished(_)) => {
                    engine.remove_connection(&name);
                    return Ok(true);
                }
                Output::Event(Event::Failed(failed)) => anyhow::bail!("{}", failed.error),
                Output::Transmit(_) | Output::Event(_) | Output::Trace(_) => {}
            }
        }
        let wait = engine.poll_timeout().map(|at| at.saturating_duration_since(Instant::now()));
        socket.set_read_timeout(wait.filter(|wait| !wait.is_zero()).or(Some(Duration::from_millis(1))))?;
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                engine.handle_input(Instant::now(), local, from, &buffer[..length], &mut random);
            }
            Err(_) => engine.handle_timeout(Instant::now(), &mut random),
        }
    }
}

fn connection(index: usize, local: SocketAddr, responder: SocketAddr) -> Result<ConnectionConfig> {
    let key = PreSharedKey::parse(PSK).map_err(|error| anyhow::anyhow!("{error}"))?;
    let proposals =
        |protocol, text| -> Result<_> { Ok(vec![Proposal::parse(protocol, text, Legacy::Refused)?]) };
    let own = u32::from(Ipv4Addr::new(10, 64, 0, 0)) + u32::try_from(index)?;
    let own = IpAddr::from(Ipv4Addr::from(own));
    let theirs = (Ipv4Addr::new(10, 2, 0, 0).into(), Ipv4Addr::new(10, 2, 255, 255).into());
    let selector = |first, last| TrafficSelector::new(first, last).context("a range");
    let selectors =
        SelectorPair { local: vec![selector(own, own)?], remote: vec![selector(theirs.0, theirs.1)?] };
    let child = ChildConfig {
        proposals: proposals(Protocol::Esp, ESP_PROPOSAL)?,
        ..ChildConfig::new("net", selectors)
    };
    Ok(ConnectionConfig {
        proposals: proposals(Protocol::Ike, IKE_PROPOSAL)?,
        children: vec![child],
        ..ConnectionConfig::new(
            &format!("n{index}"),
            local,
            Remote::At(responder),
            format!("n{index}.example").parse()?,
            "hub.example".parse()?,
            Credentials {
                local: LocalCredential::PreSharedKey(key.clone()),
                remote: RemoteCredential::PreSharedKey(key),
            },
        )
    })
}

fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system has random numbers");
}
