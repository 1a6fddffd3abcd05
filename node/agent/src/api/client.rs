//! The client's side of the socket.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{MAX_REQUEST, Reply, Request};

/// Longer than most lines of a stream.
const LINE: usize = 64 * 1024;

/// The daemon gave no good answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    #[error(
        "the twinmesh daemon is not running (nobody listens at {}): start it with `twinmesh agent` or \
         `systemctl start twinmesh`",
        .0.display()
    )]
    NotRunning(PathBuf),
    #[error("no permission to use {}: run this command as root", .0.display())]
    Permission(PathBuf),
    #[error("the daemon does not answer: {0}")]
    Io(#[source] io::Error),
    #[error("the daemon answers in a form that this program does not know (is it of another version?): {0}")]
    Form(#[source] serde_json::Error),
    #[error("the request is longer than {0} bytes: of a file of SAs, give half at a time")]
    TooLong(usize),
    /// What the daemon said.
    #[error("{0}")]
    Refused(String),
}

/// Asks the daemon and waits for its answer, at most that long.
pub fn request<T: DeserializeOwned>(
    socket: &Path,
    request: &Request,
    patience: Duration,
) -> Result<T, ClientError> {
    let mut reader = connect(socket, request, patience)?;
    answer(&mut reader)
}

/// Asks the daemon for lines, and hands on each as it comes, until the daemon has no more or `each` has enough.
pub fn stream<T: DeserializeOwned, E: From<ClientError>>(
    socket: &Path,
    request: &Request,
    patience: Duration,
    mut each: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = connect(socket, request, patience)?;
    let _none: serde_json::Value = answer(&mut reader)?;
    reader.get_ref().set_read_timeout(None).map_err(ClientError::Io)?;
    // It may have keys in it.
    let mut line = Zeroizing::new(Vec::with_capacity(LINE));
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(ClientError::Io)? == 0 {
            return Ok(());
        }
        each(serde_json::from_slice(&line).map_err(ClientError::Form)?)?;
    }
}

/// The request sent, the answer not read.
fn connect(
    socket: &Path,
    request: &Request,
    patience: Duration,
) -> Result<BufReader<UnixStream>, ClientError> {
    let line = request.to_line().map_err(ClientError::Form)?;
    if line.len() > MAX_REQUEST {
        return Err(ClientError::TooLong(MAX_REQUEST));
    }
    let stream = UnixStream::connect(socket).map_err(|error| {
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            ClientError::NotRunning(socket.to_owned())
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            ClientError::Permission(socket.to_owned())
        } else {
            ClientError::Io(error)
        }
    })?;
    send(&stream, &line, patience).map_err(ClientError::Io)?;
    Ok(BufReader::new(stream))
}

fn answer<T: DeserializeOwned>(reader: &mut BufReader<UnixStream>) -> Result<T, ClientError> {
    let mut answer = String::new();
    reader.read_line(&mut answer).map_err(ClientError::Io)?;
    if answer.is_empty() {
        let closed = io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection");
        return Err(ClientError::Io(closed));
    }
    match serde_json::from_str(&answer).map_err(ClientError::Form)? {
        Reply::Ok(value) => Ok(value),
        Reply::Error(message) => Err(ClientError::Refused(message)),
    }
}

fn send(mut stream: &UnixStream, line: &[u8], patience: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(line)
}
