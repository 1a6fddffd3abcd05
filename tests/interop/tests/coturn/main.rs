//! coturn's client against our relay, and our credentials against coturn, in the lab.

use std::net::{IpAddr, SocketAddr};
use std::process::Output;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::{Mesh, on_scenario, wait_for};
use twinmesh_lab::IpVersion;

const SECRET: &str = "a secret that only relays have";
const DEADLINE: Duration = Duration::from_secs(15);

/// Who relays.
#[derive(Clone, Copy)]
enum Server {
    Ours,
    Coturn,
}

struct Relay<'a> {
    mesh: &'a Mesh,
    program: std::process::Child,
    at: SocketAddr,
}

impl<'a> Relay<'a> {
    fn start(mesh: &'a Mesh, server: Server, version: IpVersion, flags: &[&str]) -> Result<Self> {
        let address = mesh.outer_address("hub", version)?;
        let at = SocketAddr::new(address, 3478);
        let secret = mesh.write("hub", "relay-secret", &format!("{SECRET}\n"))?;
        let (listen, ip) = (at.to_string(), address.to_string());
        let command: Vec<&str> = match server {
            Server::Ours => {
                vec!["twinmesh-coordinator", "relay", "--listen", &listen, "--secret-file", &secret]
            }
            Server::Coturn => {
                let options =
                    ["-n", "--no-tls", "--no-dtls", "--no-cli", "--use-auth-secret", "--realm=twinmesh"];
                let own = ["--static-auth-secret", SECRET, "--listening-ip", &ip, "--relay-ip", &ip];
                [&["turnserver"], &options[..], &own[..]].concat()
            }
        };
        let program = mesh.spawn("hub", &[&command, flags].concat())?;
        let relay = Self { mesh, program, at };
        // A port that is bound.
        wait_for("the relay to listen", DEADLINE, || {
            let listening = mesh.run("hub", &["ss", "-Hulnp", "sport = :3478"]).ok()?;
            (!listening.trim().is_empty()).then_some(())
        })?;
        Ok(relay)
    }

    /// `turnutils_uclient`: some clients that each send some packets to each other through the relay, or to a peer.
    fn client(&self, host: &str, user: &str, secret: &str, flags: &[&str]) -> Result<Output> {
        let ip = self.at.ip().to_string();
        let command =
            ["timeout", "60", "turnutils_uclient", "-c", "-n", "50", "-l", "1200", "-u", user, "-W", secret];
        self.mesh.output(host, &[&command, flags, &[&*ip]].concat())
    }

    /// The same, and nothing may be lost.
    fn passes(&self, host: &str, user: &str, flags: &[&str]) -> Result<()> {
        let output = self.client(host, user, SECRET, flags)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{}: {text}", output.status);
        let line = text.lines().rfind(|line| line.contains("Total lost packets"));
        let line = line.with_context(|| format!("no summary: {text}"))?;
        ensure!(line.contains("Total lost packets 0 "), "{text}");
        Ok(())
    }

    /// The same, and it must get no data through.
    fn refuses(&self, host: &str, user: &str, secret: &str, flags: &[&str], code: &str) -> Result<()> {
        let output = self.client(host, user, secret, flags)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(text.contains(code), "no {code}: {text}");
        Ok(())
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        // One that has ended already is gone.
        self.program.kill().ok();
        self.program.wait().ok();
    }
}

fn address(mesh: &Mesh, host: &str) -> Result<IpAddr> {
    mesh.outer_address(host, IpVersion::V4)
}

fn clients_reach_each_other(mesh: &Mesh, server: Server) -> Result<()> {
    let relay = Relay::start(mesh, server, IpVersion::V4, &[])?;
    // Nodes whose credential opens the relay, and one more address. The client leaves its allocations behind.
    let user = |node| format!("{node}:{},[2001:db8:1::9]:51820", relay.at.ip());
    relay.passes("alpha", &user(7), &["-y", "-m", "2"])?;
    relay.passes("alpha", &user(8), &["-y", "-m", "2", "-s"])?;
    relay.refuses(
        "alpha",
        &user(9),
        "a guess at the secret",
        &["-y", "-m", "2"],
        "Cannot complete Allocation",
    )
}

#[test]
fn coturns_client_gets_all_packets_through_our_relay_by_channels_and_by_indications() {
    on_scenario("relay.toml", "relay-ours", |mesh| clients_reach_each_other(mesh, Server::Ours));
}

#[test]
fn coturn_takes_our_credentials_in_our_relays_place() {
    on_scenario("relay.toml", "relay-coturn", |mesh| clients_reach_each_other(mesh, Server::Coturn));
}

#[test]
fn coturns_client_gets_through_our_relay_by_ipv6() {
    on_scenario("relay.toml", "relay-ipv6", |mesh| {
        let relay = Relay::start(mesh, Server::Ours, IpVersion::V6, &[])?;
        relay.passes("open", &format!("7:{}", relay.at.ip()), &["-y", "-m", "2", "-x"])
    });
}

#[test]
fn a_peer_is_reached_if_the_credential_opens_it_and_not_otherwise() {
    on_scenario("relay.toml", "relay-peer", |mesh| {
        let relay = Relay::start(mesh, Server::Ours, IpVersion::V4, &[])?;
        let peer = address(mesh, "open")?.to_string();
        let mut echo = mesh.spawn("open", &["turnutils_peer", "-L", &peer, "-p", "5000"])?;
        let to_peer = ["-m", "1", "-e", &peer, "-r", "5000"];
        let passed = relay.passes("alpha", &format!("7:{peer}"), &to_peer);
        let foreign = relay.refuses("alpha", &format!("8:{}", relay.at.ip()), SECRET, &to_peer, "403");
        echo.kill()?;
        echo.wait()?;
        passed.and(foreign)
    });
}

#[test]
fn what_is_too_large_for_a_link_goes_in_fragments() {
    on_scenario("relay.toml", "relay-narrow", |mesh| {
        mesh.run("hub", &["sh", "-c", "ip route replace $(ip route show default) mtu 1280"])?;
        let relay = Relay::start(mesh, Server::Ours, IpVersion::V4, &[])?;
        relay.passes("alpha", &format!("7:{}", relay.at.ip()), &["-y", "-m", "2", "-l", "1400"])
    });
}

#[test]
fn what_is_too_large_for_a_link_that_nobody_tells_the_relay_of_arrives_in_fragments() {
    on_scenario("relay-black-hole.toml", "relay-black-hole", |mesh| {
        let relay = Relay::start(mesh, Server::Ours, IpVersion::V4, &[])?;
        relay.passes("alpha", &format!("7:{}", relay.at.ip()), &["-y", "-m", "2", "-l", "1400"])
    });
}

#[test]
fn credentials_end() {
    on_scenario("relay.toml", "relay-expired", |mesh| {
        let relay = Relay::start(mesh, Server::Ours, IpVersion::V4, &[])?;
        // The client puts today's time before the user's name only if that has none.
        let yesterday = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() - 86_400;
        let username = format!("{yesterday}:7:{}", relay.at.ip());
        let sign = format!("printf %s '{username}' | openssl dgst -sha1 -hmac '{SECRET}' -binary | base64");
        let password = mesh.run("alpha", &["sh", "-c", &sign])?;
        let ip = relay.at.ip().to_string();
        let client =
            ["timeout", "60", "turnutils_uclient", "-c", "-y", "-m", "2", "-n", "5", "-u", &username];
        let output = mesh.output("alpha", &[&client[..], &["-w", password.trim(), &ip]].concat())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(text.contains("Cannot complete Allocation"), "{text}");
        Ok(())
    });
}
