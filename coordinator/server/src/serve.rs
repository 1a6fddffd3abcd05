//! `serve`: puts the parts together and takes them apart again in order.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;
use tokio::sync::watch;
use twinmesh_control::DEFAULT_CONTROL_PORT;
use zeroize::Zeroizing;

use crate::clock::now;
use crate::control::{ControlError, ControlServer, Greetings, OtherRelay, RelayGrants};
use crate::data::{DataError, DataFolder, random_secret};
use crate::http::{App, HttpServer};
use crate::mesh::Mesh;
use crate::network::random_ula;
use crate::password::hash_password;
use crate::relay::{RelayAt, RelayError, RelaySecret, RelayServer};
use crate::store::{Store, StoreError};
use crate::stun::{StunServer, StunSettings};

/// Carrier-grade NAT's shared space (RFC 6598): no host's own network has it.
const OVERLAY_IPV4: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(100, 64, 0, 0), 10);
/// At the end, requests under way are answered within this time or cut off.
const HTTP_PATIENCE: Duration = Duration::from_secs(3);
/// The first account.
const OWNER: &str = "admin";

/// How to serve; from the command line.
#[derive(Clone, Debug)]
pub struct Settings {
    pub data: PathBuf,
    /// UDP, for nodes.
    pub listen: SocketAddr,
    /// TCP, for administrators.
    pub http: SocketAddr,
    /// Lets the API, which has no TLS, listen on more than loopback.
    pub http_insecure: bool,
    /// UDP, where nodes ask for their outer address.
    pub stun: StunSettings,
    /// A relay in this process.
    pub relay: Option<RelayAt>,
    /// Relays elsewhere that have this coordinator's secret.
    pub other_relays: Vec<OtherRelay>,
    /// Name of the network; only the first start takes it.
    pub network_name: String,
    /// What nodes are told to connect to, HOST or HOST:PORT; this machine's host name if not given.
    pub advertise: Option<String>,
}

/// The coordinator cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("cannot listen for the API on TCP {address}: {source} (--http)")]
    Http { address: SocketAddr, source: std::io::Error },
    #[error(
        "cannot listen for STUN on UDP {address}: {source} (--stun, --stun-other-port, --stun-other-address)"
    )]
    Stun { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Relay(#[from] RelayError),
    #[error(
        "the API has no TLS, and passwords would cross the network of {0} in the open: listen on 127.0.0.1 and put a \
         reverse proxy with TLS before it, or add --http-insecure"
    )]
    HttpInsecure(IpAddr),
    #[error("cannot hash the first password: {0}")]
    Password(argon2::password_hash::Error),
}

/// The owner's password, made at the first start; shown once, stored hashed.
pub struct FirstPassword(pub Zeroizing<String>);

/// A coordinator whose ports are open.
pub struct Coordinator {
    control: ControlServer,
    http: HttpServer,
    stun: StunServer,
    relay: Option<RelayServer>,
    mesh: Mesh,
    store: Store,
    /// Held until all else has ended.
    _folder: DataFolder,
    /// Set at the very first start.
    pub first_password: Option<FirstPassword>,
}

impl Coordinator {
    /// Opens the data folder and all ports.
    ///
    /// # Errors
    /// [`ServeError`]; what a first start has made by then is used by the next one.
    pub async fn start(settings: &Settings) -> Result<Self, ServeError> {
        if !settings.http.ip().is_loopback() && !settings.http_insecure {
            return Err(ServeError::HttpInsecure(settings.http.ip()));
        }
        let folder = DataFolder::open(&settings.data)?;
        let identity = folder.identity()?;
        let api_token = folder.api_token()?;
        let store = Store::open(&folder.database()?).await?;
        let mut random = [0; 5];
        getrandom::fill(&mut random).map_err(|_| DataError::Random)?;
        let network = store.network(&settings.network_name, OVERLAY_IPV4, random_ula(random), now()).await?;
        let mesh = Mesh::load(store.clone(), network).await?;

        let stun = StunServer::bind(&settings.stun)
            .map_err(|(address, source)| ServeError::Stun { address, source })?;
        let secret = folder.relay_secret()?;
        let relay = settings.relay.as_ref().map(|at| start_relay(at, &mesh, &secret)).transpose()?;
        let grants =
            RelayGrants::new(secret, relay.as_ref(), &settings.other_relays).map_err(RelayError::from)?;
        mesh.announce_relays(grants.addresses());
        let greetings = Greetings {
            mesh: mesh.clone(),
            stun_port: stun.local_addr().port(),
            stun_other_port: stun.other_port(),
            relays: grants,
        };
        let control = ControlServer::bind(settings.listen, &identity, greetings)?;
        let fingerprint = identity.public().fingerprint();
        let port = control.local_addr().map_or(settings.listen.port(), |address| address.port());
        let app =
            App::new(mesh.clone(), fingerprint, advertised(settings.advertise.as_deref(), port), &api_token);
        let http_error = |source| ServeError::Http { address: settings.http, source };
        let http = HttpServer::bind(settings.http, app).await.map_err(http_error)?;
        folder.note_http_address(http.local_addr().map_err(http_error)?)?;
        // Last: a password that is shown belongs to a coordinator that runs.
        let first_password = first_password(&store).await?;
        let shown = |address: std::io::Result<SocketAddr>| {
            address.map_or_else(|error| error.to_string(), |address| address.to_string())
        };
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            data = %settings.data.display(),
            control = shown(control.local_addr()),
            http = shown(http.local_addr()),
            stun = %stun.local_addr(),
            %fingerprint,
            "the coordinator serves"
        );
        Ok(Self { control, http, stun, relay, mesh, store, _folder: folder, first_password })
    }

    /// Where nodes connect to.
    pub fn control_address(&self) -> std::io::Result<SocketAddr> {
        self.control.local_addr()
    }

    /// Where administrators connect to.
    pub fn http_address(&self) -> std::io::Result<SocketAddr> {
        self.http.local_addr()
    }

    /// Where nodes ask for their outer address.
    pub fn stun_address(&self) -> SocketAddr {
        self.stun.local_addr()
    }

    /// Where nodes ask for a relayed port, if a relay runs in this process.
    pub fn relay_address(&self) -> Option<SocketAddr> {
        self.relay.as_ref().map(RelayServer::local_addr)
    }

    /// Serves until `stop` is ready. Requests under way are answered, nodes are told, the store is closed.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) {
        let stopping = watch::Sender::new(false);
        let stopped = || {
            let mut stopping = stopping.subscribe();
            // The sender lives longer than its receivers.
            async move { drop(stopping.wait_for(|stop| *stop).await) }
        };
        let (stun_stop, relay_stop, control_stop, http_stop, http_patience) =
            (stopped(), stopped(), stopped(), stopped(), stopped());
        let failures_stop = stopped();
        let failures = async {
            tokio::select! {
                () = self.mesh.end_failures() => {}
                () = failures_stop => {}
            }
        };
        let stun = async {
            tokio::select! {
                () = self.stun.serve() => {}
                () = stun_stop => {}
            }
        };
        let relay = async {
            if let Some(relay) = &self.relay {
                relay.serve_until(relay_stop).await;
            }
        };
        let patience = async {
            http_patience.await;
            tokio::time::sleep(HTTP_PATIENCE).await;
        };
        let http = async {
            tokio::select! {
                served = self.http.serve(http_stop) => {
                    if let Err(error) = served {
                        tracing::error!(%error, "the API has ended");
                    }
                }
                // A request that is half sent must not keep the coordinator from its end.
                () = patience => tracing::warn!("requests under way were cut off"),
            }
        };
        let ending = async {
            stop.await;
            tracing::info!("the coordinator ends");
            stopping.send_replace(true);
        };
        tokio::join!(self.control.serve(control_stop), http, stun, relay, failures, ending);
        self.store.close().await;
    }
}

/// Opens the relay in this process.
fn start_relay(at: &RelayAt, mesh: &Mesh, secret: &RelaySecret) -> Result<RelayServer, ServeError> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random).map_err(|_| DataError::Random)?;
    Ok(RelayServer::bind(at, secret.clone(), random, Some(Box::new(mesh.clone())))?)
}

/// Makes the owner's account if there is none at all.
async fn first_password(store: &Store) -> Result<Option<FirstPassword>, ServeError> {
    if store.has_accounts().await? {
        return Ok(None);
    }
    let password = random_secret()?;
    let hash = hash_password(&password).map_err(ServeError::Password)?;
    store.create_owner(OWNER, &hash, now()).await?;
    Ok(Some(FirstPassword(password)))
}

/// What a new node is told to connect to. The port is left out where nodes know it, and added where they
/// would take the usual one.
fn advertised(host: Option<&str>, port: u16) -> String {
    let own_name = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let host = host.map(str::to_owned).or_else(own_name).unwrap_or_else(|| "HOST".to_owned());
    let is_bare_ipv6 = host.parse::<Ipv6Addr>().is_ok();
    let has_port = !is_bare_ipv6 && !host.ends_with(']') && host.contains(':');
    match (port == DEFAULT_CONTROL_PORT || has_port, is_bare_ipv6) {
        (true, _) => host,
        (false, true) => format!("[{host}]:{port}"),
        (false, false) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_told_the_port_unless_it_is_the_usual_one_or_given() {
        let told = |host, port| advertised(Some(host), port);
        for host in ["hub.example.net", "192.0.2.1", "[2001:db8::1]", "2001:db8::1", "hub:9000"] {
            assert_eq!(told(host, DEFAULT_CONTROL_PORT), host);
        }
        assert_eq!(told("hub", 9), "hub:9");
        assert_eq!(told("hub:8", 9), "hub:8");
        assert_eq!(told("2001:db8::1", 9), "[2001:db8::1]:9");
        assert_eq!(told("[2001:db8::1]", 9), "[2001:db8::1]:9");
        assert_eq!(told("[2001:db8::1]:8", 9), "[2001:db8::1]:8");
        assert!(advertised(None, 9).ends_with(":9"));
    }
}
