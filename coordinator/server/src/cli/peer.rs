//! `peer add|configuration|remove`

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize as _, Zeroizing};

use super::arguments::PeerCommand;
use super::client::{Client, segment};
use super::{CommandError, node, output};
use crate::http::{AddPeer, NodeView, PeerConfiguration};

/// Stands for a key that only its owner has.
const OWN_KEY: &str = "PUT-THE-PRIVATE-KEY-HERE";
/// Keeps a NAT's mapping alive.
const KEEPALIVE_S: u16 = 25;

pub(super) async fn run(command: PeerCommand) -> Result<(), CommandError> {
    match command {
        PeerCommand::Add { name, public_key, generate: _, endpoint, allowed_ips, tags, with, server } => {
            let client = Client::new(&server)?;
            // Without a key of its own, `--generate` was given.
            let (private_key, wireguard_key) = match public_key {
                Some(key) => (None, key),
                None => generate().map(|(private, public)| (Some(private), public))?,
            };
            // A key that is made here is shown once: nothing may go wrong between making the peer and that.
            for agent in &with {
                client.get::<NodeView>(&node::path(agent)).await?;
            }
            let port =
                endpoint.as_deref().and_then(|endpoint| endpoint.rsplit(':').next()?.parse::<u16>().ok());
            let request = AddPeer { name, wireguard_key, endpoint, allowed_ips, tags };
            let added: NodeView = client.post("/api/v1/peers", &request).await?;
            print(&client, &added.name, &with, private_key.as_ref().map(|key| key.as_str()), port).await
        }
        PeerCommand::Configuration { peer, with, server } => {
            print(&Client::new(&server)?, &peer, &with, None, None).await
        }
        PeerCommand::Remove { peer, server } => {
            Client::new(&server)?.delete(&node::path(&peer)).await?;
            output::text(&format!("{peer} is removed\n"))
        }
    }
}

/// A new private key and its public key, in base64.
fn generate() -> Result<(Zeroizing<String>, String), CommandError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| CommandError::Random)?;
    let secret = StaticSecret::from(bytes);
    bytes.zeroize();
    let private = Zeroizing::new(STANDARD.encode(secret.as_bytes()));
    Ok((private, STANDARD.encode(PublicKey::from(&secret).as_bytes())))
}

async fn print(
    client: &Client,
    peer: &str,
    with: &[String],
    private_key: Option<&str>,
    port: Option<u16>,
) -> Result<(), CommandError> {
    let query = if with.is_empty() { String::new() } else { format!("?with={}", segment(&with.join(","))) };
    let path = format!("/api/v1/peers/{}/configuration{query}", segment(peer));
    let configuration: PeerConfiguration = client.get(&path).await?;
    output::text(&wg_quick(&configuration, private_key.unwrap_or(OWN_KEY), port))
}

/// A file for `wg-quick`, and for every app that reads the same.
fn wg_quick(configuration: &PeerConfiguration, private_key: &str, port: Option<u16>) -> String {
    let joined = |values: Vec<String>| values.join(", ");
    let addresses = joined(configuration.addresses.iter().map(ToString::to_string).collect());
    let mut file =
        format!("# {}\n[Interface]\nPrivateKey = {private_key}\nAddress = {addresses}\n", configuration.name);
    if let Some(port) = port {
        file.push_str(&format!("ListenPort = {port}\n"));
    }
    for peer in &configuration.peers {
        let allowed_ips = joined(peer.allowed_ips.iter().map(ToString::to_string).collect());
        file.push_str(&format!(
            "\n# {}\n[Peer]\nPublicKey = {}\nAllowedIPs = {allowed_ips}\n",
            peer.name, peer.public_key
        ));
        if let Some(endpoint) = peer.endpoint {
            file.push_str(&format!("Endpoint = {endpoint}\nPersistentKeepalive = {KEEPALIVE_S}\n"));
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use twinmesh_control::WireguardKey;

    use super::*;
    use crate::http::RemotePeer;

    #[test]
    fn a_wg_quick_file_has_one_section_for_each_agent() {
        let configuration = PeerConfiguration {
            name: "phone".to_owned(),
            addresses: vec!["100.64.0.9".parse().unwrap(), "fd00::9".parse().unwrap()],
            peers: vec![RemotePeer {
                name: "alpha".to_owned(),
                public_key: WireguardKey([0; 32]),
                allowed_ips: vec!["100.64.0.1/32".parse().unwrap()],
                endpoint: Some("192.0.2.1:4500".parse().unwrap()),
            }],
        };
        let expected = "# phone\n[Interface]\nPrivateKey = KEY\nAddress = 100.64.0.9, fd00::9\n\n# alpha\n[Peer]\n\
            PublicKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nAllowedIPs = 100.64.0.1/32\n\
            Endpoint = 192.0.2.1:4500\nPersistentKeepalive = 25\n";
        assert_eq!(wg_quick(&configuration, "KEY", None), expected);
    }
}
