use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::within;

/// The HTTP API, with or without a bearer token.
#[derive(Clone)]
pub struct Api {
    pub address: SocketAddr,
    pub token: Option<String>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    /// Null if it is no JSON.
    pub body: Value,
}

impl Api {
    pub fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, &body.to_string()).await
    }

    pub async fn send(&self, method: Method, path: &str, body: &str) -> Answer {
        self.send_as("application/json", method, path, body).await
    }

    pub async fn send_as(&self, content_type: &str, method: Method, path: &str, body: &str) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "hub")
            .header(header::CONTENT_TYPE, content_type);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        within("an answer of the API", async {
            let stream = TcpStream::connect(self.address).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            let connection = tokio::spawn(connection);
            let response = sender.send_request(request).await.unwrap();
            let status = response.status().as_u16();
            let content_type = response.headers().get(header::CONTENT_TYPE);
            let content_type = content_type.map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            connection.abort();
            Answer { status, content_type, body: serde_json::from_slice(&body).unwrap_or_default() }
        })
        .await
    }
}

impl Answer {
    /// Asserts that it is a problem document of that status and cause.
    #[track_caller]
    pub fn is_problem(&self, status: u16, cause: &str) -> &str {
        assert_eq!(
            (self.status, self.content_type.as_str()),
            (status, "application/problem+json"),
            "{self:?}"
        );
        assert_eq!(self.body["type"], format!("urn:twinmesh:problem:{cause}"), "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
        assert!(!self.body["title"].as_str().unwrap().is_empty(), "{self:?}");
        self.body["detail"].as_str().unwrap()
    }
}
