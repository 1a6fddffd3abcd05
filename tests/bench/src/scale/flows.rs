//! TCP streams to many addresses at once: each goes by a tunnel of its own.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use twinmesh_e2e::wait_for;

use crate::arguments::FlowsArguments;
use crate::figure::Figure;
use crate::measure::{Bench, Figures, process};
use crate::pair::{LEFT, RIGHT};

const PORT: u16 = 5300;
const BLOCK: usize = 128 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// What all streams carried, to the last byte that was taken.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    bytes: f64,
    seconds: f64,
}

/// One stream to each of these addresses of right's.
pub(super) fn measure(bench: &Bench<'_>, to: &[IpAddr]) -> Result<Figures> {
    let own = std::env::current_exe()?.display().to_string();
    let _server = Serving::start(bench, &own)?;
    let seconds = bench.seconds.to_string();
    let to: Vec<String> = to.iter().map(ToString::to_string).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let before = process::cpu_seconds(&bench.tunnel.processes)?;
    let outcome =
        bench.mesh.json(LEFT, &[&[own.as_str(), "flows", "--seconds", &seconds], &to[..]].concat())?;
    let used = process::cpu_seconds(&bench.tunnel.processes)? - before;
    let Outcome { bytes, seconds } = serde_json::from_value(outcome)?;
    ensure!(bytes > 0.0, "nothing came through");
    Ok(vec![(Figure::Tcp1, bytes * 8.0 / seconds / 1e9), (Figure::Cpu, used * 1e9 / bytes)])
}

/// The other end, killed when dropped.
struct Serving(Child);

impl Serving {
    fn start(bench: &Bench<'_>, own: &str) -> Result<Self> {
        let filter = format!("sport = :{PORT}");
        let taken = || Some(!bench.mesh.run(RIGHT, &["ss", "-Hltn", &filter]).ok()?.is_empty());
        wait_for("the port to be free", PATIENCE, || (!taken()?).then_some(()))?;
        let serving = Self(bench.mesh.spawn(RIGHT, &[own, "flows", "--serve"])?);
        wait_for("the other end to listen", PATIENCE, || taken()?.then_some(()))?;
        Ok(serving)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// `twinmesh-bench flows`, in a host.
pub(crate) fn run(arguments: &FlowsArguments) -> Result<bool> {
    if arguments.serve {
        return serve();
    }
    let outcome = send(&arguments.to, Duration::from_secs(arguments.seconds.into()))?;
    crate::print(&serde_json::to_string(&outcome)?)?;
    Ok(true)
}

fn serve() -> Result<bool> {
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(move || swallow(stream));
    }
}

/// Closing it at the end tells the sender that all was taken.
fn swallow(mut stream: TcpStream) {
    let mut block = vec![0; BLOCK];
    while stream.read(&mut block).is_ok_and(|length| length > 0) {}
}

fn send(to: &[IpAddr], time: Duration) -> Result<Outcome> {
    let streams = to.iter().map(|&address| {
        let stream = TcpStream::connect_timeout(&SocketAddr::new(address, PORT), PATIENCE);
        stream.with_context(|| format!("{address} cannot be reached"))
    });
    let streams = streams.collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    let threads: Vec<_> =
        streams.into_iter().map(|stream| thread::spawn(move || send_one(stream, start + time))).collect();
    let mut bytes = 0.0;
    for thread in threads {
        let Ok(sent) = thread.join() else { bail!("a stream's thread has panicked") };
        bytes += sent?;
    }
    // Exact up to 2^53.
    Ok(Outcome { bytes, seconds: start.elapsed().as_secs_f64() })
}

/// The bytes that went and were taken.
fn send_one(mut stream: TcpStream, until: Instant) -> Result<f64> {
    let block = vec![7; BLOCK];
    let mut bytes = 0.0;
    while Instant::now() < until {
        bytes += f64::from(u32::try_from(stream.write(&block)?)?);
    }
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    ensure!(stream.read(&mut [0])? == 0, "the other end answers");
    Ok(bytes)
}
