//! The commands' way to the HTTP API.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::arguments::Server;
use crate::data::{DataError, read_api_token, read_http_address};
use crate::http::ProblemBody;

const PATIENCE: Duration = Duration::from_secs(30);
/// No answer is larger.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// A request got no good answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum ClientError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(
        "no coordinator has ever run on {}: start it with `twinmesh-coordinator serve`, name its folder by --data, or \
         give --server and --api-token", .0.display()
    )]
    NoServer(PathBuf),
    #[error("there is no API token in {}: give --api-token FILE", .0.display())]
    NoToken(PathBuf),
    #[error("cannot read the API token {}: {source}", .path.display())]
    TokenFile { path: PathBuf, source: io::Error },
    #[error(
        "`{0}` is no address of an API: write http://HOST:PORT (TLS ends at a proxy before the coordinator)"
    )]
    Address(String),
    #[error("cannot reach the coordinator at {address}: {source}; is `twinmesh-coordinator serve` running?")]
    Connect { address: String, source: io::Error },
    #[error("the coordinator at {0} does not answer")]
    Silent(String),
    #[error("{}", .0.detail)]
    Problem(ProblemBody),
    #[error("the coordinator's answer is not understood ({status}): {reason}")]
    Answer { status: StatusCode, reason: String },
}

/// A coordinator's API.
pub(super) struct Client {
    /// HOST:PORT
    address: String,
    token: Zeroizing<String>,
}

impl Client {
    pub(super) fn new(server: &Server) -> Result<Self, ClientError> {
        let folder = &server.data.data;
        let address = match &server.url {
            Some(url) => authority(url).ok_or_else(|| ClientError::Address(url.clone()))?,
            None => {
                read_http_address(folder)?.ok_or_else(|| ClientError::NoServer(folder.clone()))?.to_string()
            }
        };
        let token = match &server.api_token {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ClientError::TokenFile { path: path.clone(), source })?;
                Zeroizing::new(text.trim().to_owned())
            }
            None => read_api_token(folder)?.ok_or_else(|| ClientError::NoToken(folder.clone()))?,
        };
        Ok(Self { address, token })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.read(Method::GET, path, Bytes::new()).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).unwrap_or_default();
        self.read(Method::POST, path, body.into()).await
    }

    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).unwrap_or_default();
        self.read(Method::PUT, path, body.into()).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, path, Bytes::new()).await.map(drop)
    }

    async fn read<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let (status, answer) = self.send(method, path, body).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| ClientError::Answer { status, reason: error.to_string() })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let silent = || ClientError::Silent(self.address.clone());
        let (status, answer) =
            timeout(PATIENCE, self.exchange(method, path, body)).await.map_err(|_| silent())??;
        if status.is_success() {
            return Ok((status, answer));
        }
        Err(match serde_json::from_slice(&answer) {
            Ok(problem) => ClientError::Problem(problem),
            Err(error) => ClientError::Answer { status, reason: error.to_string() },
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let connect = |source| ClientError::Connect { address: self.address.clone(), source };
        let stream = TcpStream::connect(&self.address).await.map_err(connect)?;
        let failed = |error: hyper::Error| connect(io::Error::other(error));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.as_str()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| connect(io::Error::other(error)))?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        connection.abort();
        let answer = answer.map_err(|error| ClientError::Answer { status, reason: error.to_string() })?;
        Ok((status, answer.to_bytes()))
    }
}

/// HOST:PORT of an `http://` address.
fn authority(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/");
    let authority = uri.authority().filter(|_| plain)?;
    Some(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)))
}

/// A path segment, percent-encoded (RFC 3986 §2.1).
pub(super) fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~,".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_apis_are_plain_http() {
        assert_eq!(authority("http://127.0.0.1:7480").as_deref(), Some("127.0.0.1:7480"));
        assert_eq!(authority("http://[::1]:7480/").as_deref(), Some("[::1]:7480"));
        assert_eq!(authority("http://hub").as_deref(), Some("hub:80"));
        for bad in ["https://hub", "hub:7480", "http://hub/api", ""] {
            assert_eq!(authority(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_path_segment() {
        assert_eq!(segment("a/../b c?"), "a%2F..%2Fb%20c%3F");
    }
}
