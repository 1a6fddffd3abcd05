//! The local API: one JSON line each way over the daemon's Unix socket (mode 0600).
//!
//! ```text
//!   client ── {"request":"status"} ⏎ ──────────────►  daemon
//!          ◄─ {"ok":{…}} ⏎  |  {"error":"…"} ⏎ ─────
//! ```
//!
//! The connection carries one request and its answer; after the answer to `debug-ike`, lines follow until one side has
//! enough. Unknown fields are ignored on both sides.

mod client;
mod debug;
mod explain;
mod netcheck;
mod path;
mod sa;
mod secret;
mod server;
mod site;
mod status;
mod trace;

pub use client::{ClientError, request, stream};
pub use debug::{DebugIke, IkeKeyLine, IkeMessage, IkePayload, IkeTrace, IkeTraceKind};
pub use explain::{Candidate, Explanation, Happening};
pub use netcheck::{LifetimeStatus, NatStatus, NetcheckStatus, PortMappingStatus, ServerStatus};
pub use path::{CheckState, CheckStatus, PathStatus, RelayReason};
pub use sa::{
    SaAdd, SaDirection, SaEncapsulation, SaIke, SaLimits, SaMode, SaOrigin, SaPair, SaState, SaSuiteClass,
};
pub use secret::SecretText;
pub use server::{ApiServer, Call, Client, Lines, SocketError};
pub use site::{IkeSaStatus, SiteAdd, SiteChildState, SiteChildStatus, SiteStart, SiteState, SiteStatus};
pub use status::{
    CoordinatorStatus, NetworkStatus, PartialChecksums, PeerActivity, PeerStatus, RelayHome, RelayStatus,
    RouteStatus, State, Status, TunStatus,
};
pub use trace::{Trace, TraceEnd, TraceFinding, TracePacket, TraceProtocol, TraceStage, TraceVerdict};

use serde::{Deserialize, Serialize};
use twinmesh_control::{NodeId, Preference};
use zeroize::Zeroizing;

/// No request is longer, tokens and files included.
const MAX_REQUEST: usize = 256 * 1024;
/// For all of a request but a file of SAs or of a site.
const ROOM: usize = 8 * 1024;

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    Status,
    Routes,
    /// Answered by [`Explanation`].
    Explain {
        /// Host name of the mesh, or overlay address.
        peer: String,
    },
    /// Answered by [`Trace`] when the far end has answered, or will not.
    Trace {
        /// As in [`Self::Explain`].
        peer: String,
        packet: TracePacket,
    },
    Up(Up),
    Down,
    Logout,
    /// Answered by [`NetcheckStatus`] when all is measured.
    Netcheck {
        /// To ask instead of the coordinator, `HOST:PORT`.
        #[serde(default)]
        server: Option<String>,
    },
    /// Answered by [`RecentLines`].
    Log,
    /// Answered by [`SaPair`]s.
    Sa,
    SaAdd(SaAdd),
    SaRemove {
        name: String,
    },
    /// Answered by [`SiteStatus`]es.
    Sites,
    SiteAdd(SiteAdd),
    SiteRemove {
        name: String,
    },
    /// Answered by `{}`, and [`IkeTrace`]s in lines of their own.
    DebugIke(DebugIke),
    SiteUp {
        name: String,
    },
    SiteDown {
        name: String,
    },
}

impl Request {
    /// Reads the line that a client sent.
    pub fn from_line(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// The line to send.
    pub fn to_line(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let secret = match self {
            Self::SaAdd(SaAdd { text, .. }) | Self::SiteAdd(SiteAdd { text, .. }) => text.expose().len(),
            Self::Status
            | Self::Routes
            | Self::Explain { .. }
            | Self::Trace { .. }
            | Self::Up(_)
            | Self::Down
            | Self::Logout
            | Self::Netcheck { .. }
            | Self::Log
            | Self::Sa
            | Self::SaRemove { .. }
            | Self::Sites
            | Self::SiteRemove { .. }
            | Self::SiteUp { .. }
            | Self::SiteDown { .. }
            | Self::DebugIke(_) => 0,
        };
        // Growth would leave copies of keys behind.
        let mut line = Zeroizing::new(Vec::with_capacity(2 * secret + ROOM));
        serde_json::to_writer(&mut *line, self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// Brings the node up; the first time with a coordinator and a token.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Up {
    /// `HOST[:PORT]`.
    #[serde(default)]
    pub coordinator: Option<String>,
    #[serde(default)]
    pub token: Option<String>,
    #[serde(default)]
    pub hostname: Option<String>,
    /// What to wish for the tunnels to other agents; without it the last wish stands.
    #[serde(default)]
    pub prefer: Option<Preference>,
    pub timeout_seconds: u64,
}

impl std::fmt::Debug for Up {
    /// The token is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Up")
            .field("coordinator", &self.coordinator)
            .field("hostname", &self.hostname)
            .field("prefer", &self.prefer)
            .field("timeout_seconds", &self.timeout_seconds)
            .finish_non_exhaustive()
    }
}

/// Answer to [`Request::Up`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpDone {
    pub how: UpHow,
    pub network: String,
    pub name: String,
    pub id: NodeId,
    pub addresses: Vec<std::net::IpAddr>,
    pub peers: usize,
    /// What the user should know although it worked.
    #[serde(default)]
    pub warning: Option<String>,
}

/// What `up` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpHow {
    Joined,
    Started,
    AlreadyUp,
}

/// Answer to [`Request::Down`], [`Request::Logout`], and all requests that change SAs or sites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub message: String,
}

/// Answer to [`Request::Log`]: what the daemon logged last, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentLines {
    pub lines: Vec<String>,
}

/// One line from the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply<T> {
    Ok(T),
    /// In words for the user, who can do something about it.
    Error(String),
}

/// A [`Reply`] on its way out. What is said of ten thousand peers is long: it is kept as the line that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Ok(Vec<u8>),
    Error(String),
}

impl Answer {
    pub fn ok<T: Serialize>(value: &T) -> Self {
        match line_of(&Reply::Ok(value)) {
            Ok(line) => Self::Ok(line),
            Err(error) => Self::Error(error.to_string()),
        }
    }

    fn into_line(self) -> Result<Vec<u8>, serde_json::Error> {
        match self {
            Self::Ok(line) => Ok(line),
            Self::Error(message) => line_of(&Reply::<()>::Error(message)),
        }
    }
}

fn line_of(reply: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words() -> impl Strategy<Value = Option<String>> {
        proptest::option::of(".{0,40}")
    }

    fn requests() -> impl Strategy<Value = Request> {
        let up = (words(), words(), words(), words(), any::<u64>()).prop_map(
            |(coordinator, token, hostname, prefer, timeout_seconds)| {
                let prefer = prefer.map(Preference::from);
                Request::Up(Up { coordinator, token, hostname, prefer, timeout_seconds })
            },
        );
        prop_oneof![
            Just(Request::Status),
            Just(Request::Routes),
            ".{0,40}".prop_map(|peer| Request::Explain { peer }),
            (".{0,40}", any::<Option<u16>>()).prop_map(|(peer, port)| {
                let protocol = if port.is_some() { TraceProtocol::Tcp } else { TraceProtocol::Icmp };
                Request::Trace { peer, packet: TracePacket { protocol, port } }
            }),
            Just(Request::Down),
            Just(Request::Logout),
            words().prop_map(|server| Request::Netcheck { server }),
            Just(Request::Log),
            Just(Request::Sa),
            ".{0,40}".prop_map(|name| Request::SaRemove { name }),
            (".{0,20}", "\\PC{0,200}").prop_map(|(file, text)| {
                Request::SaAdd(SaAdd { file, text: SecretText::new(Zeroizing::new(text)) })
            }),
            Just(Request::Sites),
            ".{0,40}".prop_map(|name| Request::SiteRemove { name }),
            (words(), any::<bool>(), any::<bool>())
                .prop_map(|(site, follow, keys)| Request::DebugIke(DebugIke { site, follow, keys })),
            ".{0,40}".prop_map(|name| Request::SiteUp { name }),
            ".{0,40}".prop_map(|name| Request::SiteDown { name }),
            (".{0,20}", "\\PC{0,200}").prop_map(|(file, text)| {
                Request::SiteAdd(SiteAdd {
                    file,
                    folder: "/etc".into(),
                    text: SecretText::new(Zeroizing::new(text)),
                })
            }),
            up
        ]
    }

    #[test]
    fn a_token_is_never_shown_by_debug_output() {
        let up = Up { token: Some("tmjoin-secret".to_owned()), ..Up::default() };
        assert!(!format!("{:?}", Request::Up(up)).contains("secret"));
    }

    #[test]
    fn an_answer_is_one_line_that_says_how_it_went() {
        let line = |answer: Answer| String::from_utf8(answer.into_line().unwrap()).unwrap();
        let done = Done { message: "two\nlines".to_owned() };
        let ok = line(Answer::ok(&done));
        assert_eq!(ok, "{\"ok\":{\"message\":\"two\\nlines\"}}\n");
        assert_eq!(serde_json::from_str::<Reply<Done>>(&ok).unwrap(), Reply::Ok(done));
        let error = line(Answer::Error("no".to_owned()));
        assert_eq!(error, "{\"error\":\"no\"}\n");
        assert_eq!(serde_json::from_str::<Reply<Done>>(&error).unwrap(), Reply::Error("no".to_owned()));
    }

    #[test]
    fn fields_of_a_newer_client_are_ignored() {
        let line = br#"{"request":"up","timeout_seconds":5,"colour":"red"}"#;
        assert_eq!(
            Request::from_line(line).unwrap(),
            Request::Up(Up { timeout_seconds: 5, ..Up::default() })
        );
    }

    proptest! {
        #[test]
        fn a_request_is_one_line_that_reads_back(request in requests()) {
            let line = request.to_line().unwrap();
            prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
            prop_assert_eq!(Request::from_line(&line).unwrap(), request);
        }

        #[test]
        fn a_request_that_was_cut_short_is_refused(request in requests(), place in any::<prop::sample::Index>()) {
            let line = serde_json::to_vec(&request).unwrap();
            prop_assert!(Request::from_line(&line[..place.index(line.len())]).is_err());
        }

        #[test]
        fn garbage_is_refused_and_answered(garbage in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Request::from_line(&garbage).is_err());
        }
    }
}
