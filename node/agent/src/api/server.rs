//! The daemon's side of the socket.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::{Mode, umask};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Answer, MAX_REQUEST, Request};

/// Most requests fit.
const FIRST_ROOM: usize = 4 * 1024;
/// A client sends its request at once.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// More clients at a time wait.
const MAX_CLIENTS: usize = 64;

/// Lines after an answer that wait for a client to read them; then it loses some.
const WAITING_LINES: usize = 1024;

/// A request and where its answer goes.
pub struct Call {
    pub request: Request,
    pub answer: oneshot::Sender<Answer>,
    /// For what follows the answer; the client waits as long as it is kept.
    pub lines: mpsc::Sender<Lines>,
    pub client: Client,
}

/// Whole lines. They may have keys in them.
pub type Lines = Zeroizing<Vec<u8>>;

/// The process at the other end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client {
    pub pid: Option<i32>,
    pub uid: Option<u32>,
}

/// The socket cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    #[error("another twinmesh agent{} listens at {}", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(), .path.display())]
    Taken { path: PathBuf, pid: Option<i32> },
    #[error("{} exists and is not a socket: give another path by --socket", .0.display())]
    NotASocket(PathBuf),
    #[error("cannot {action} {}: {source}", .path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// Listens until dropped; the socket's file goes with it.
pub struct ApiServer {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl ApiServer {
    /// Listens at `path` (mode 0600), in place of the socket of an agent that crashed.
    pub async fn start(path: &Path, calls: mpsc::Sender<Call>) -> Result<Self, SocketError> {
        let failed = |action, source| SocketError::Io { action, path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| failed("make the folder of", source))?;
        }
        clear(path).await?;
        // Between `bind` and a later `chmod` others could connect.
        let before = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.map_err(|source| failed("listen at", source))?;
        Ok(Self { path: path.to_owned(), task: tokio::spawn(accept(listener, calls)) })
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file stays");
        }
    }
}

/// Removes what a crash left; refuses what is alive.
async fn clear(path: &Path) -> Result<(), SocketError> {
    let failed = |action, source| SocketError::Io { action, path: path.to_owned(), source };
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed("look at", source)),
    };
    if !kind.is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path).await {
        Ok(stream) => {
            let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
            Err(SocketError::Taken { path: path.to_owned(), pid })
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|source| failed("replace", source))
        }
        Err(source) => Err(failed("look at", source)),
    }
}

async fn accept(listener: UnixListener, calls: mpsc::Sender<Call>) {
    let mut clients = JoinSet::new();
    loop {
        if clients.len() >= MAX_CLIENTS {
            clients.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let calls = calls.clone();
                clients.spawn(async move {
                    if let Err(error) = serve(stream, calls).await {
                        tracing::debug!(%error, "a client of the local API went away");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client of the local API");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while clients.try_join_next().is_some() {}
    }
}

async fn serve(stream: UnixStream, calls: mpsc::Sender<Call>) -> io::Result<()> {
    let peer = stream.peer_cred().ok();
    let client = Client { pid: peer.and_then(|peer| peer.pid()), uid: peer.map(|peer| peer.uid()) };
    let (mut reader, mut writer) = stream.into_split();
    let (lines, mut further) = mpsc::channel(WAITING_LINES);
    let line = timeout(REQUEST_TIMEOUT, read_line(&mut reader)).await??;
    let answer = match Request::from_line(&line) {
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            let ends = || Answer::Error("the daemon is shutting down".to_owned());
            match calls.send(Call { request, answer, lines, client }).await {
                Ok(()) => answered.await.unwrap_or_else(|_| ends()),
                Err(_) => ends(),
            }
        }
        Err(error) => Answer::Error(format!("the daemon does not understand this request: {error}")),
    };
    writer.write_all(&answer.into_line()?).await?;
    loop {
        let mut more = [0];
        // A read that is cancelled has read nothing.
        tokio::select! {
            biased;
            lines = further.recv() => match lines {
                Some(lines) => writer.write_all(&lines).await?,
                None => return Ok(()),
            },
            // The client is gone, or says what nobody asked for.
            _ = reader.read(&mut more) => return Ok(()),
        }
    }
}

/// One line, or what there is of it: it may have keys in it, so no copy of it is left behind.
async fn read_line(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(FIRST_ROOM));
    loop {
        let searched = line.len();
        if searched == line.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * searched));
            larger.extend_from_slice(&line);
            line = larger;
        }
        let read = reader.read_buf(&mut *line).await?;
        let end = line.iter().skip(searched).position(|byte| *byte == b'\n');
        if let Some(end) = end {
            line.truncate(searched + end);
        }
        if read == 0 || end.is_some() || line.len() >= MAX_REQUEST {
            return Ok(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_of_any_length_is_read_to_its_end_and_not_beyond() {
        for length in [0, 1, FIRST_ROOM - 1, FIRST_ROOM, 3 * FIRST_ROOM, MAX_REQUEST - 1] {
            let sent = [vec![b'x'; length], b"\nmore".to_vec()].concat();
            assert_eq!(read_line(&mut sent.as_slice()).await.unwrap().len(), length);
            assert_eq!(read_line(&mut &sent[..length]).await.unwrap().len(), length);
        }
        let endless = vec![b'x'; 2 * MAX_REQUEST];
        assert!(read_line(&mut endless.as_slice()).await.unwrap().len() < 2 * MAX_REQUEST);
    }
}
