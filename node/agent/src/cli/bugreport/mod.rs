//! `twinmesh bugreport`: one archive with what somebody needs who is to find out what is wrong. Keys, tokens and
//! passwords are not looked at, so they cannot be in it.

mod archive;
mod host;
mod node;

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use super::arguments::Socket;
use super::{CommandError, print, status};
use archive::Archive;

/// Write all that helps to find out what is wrong into one archive, without secrets
///
/// The daemon may run or not. The archive has the daemon's state and the end of its log, the last network map, and the
/// addresses, routes, rules, sockets and packet filter of this machine. Private keys, tokens and pre-shared keys are
/// not in it. Names and addresses of your network are: look at it before you send it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  twinmesh bugreport
  twinmesh bugreport --output report.tar
  tar -tf report.tar

In the archive:
  about.txt   when, of which version, and what could not be had
  daemon/     the answers of status, explain (of 64 peers), routes, sa, site list and netcheck as JSON; log.txt
  state/      the state folder: its files without content, configuration, network map, names of sites
  host/       kernel, addresses, routes, rules, sockets, packet filter, counters of the kernel")]
pub(super) struct BugreportArguments {
    /// Where to write it; a new file in this folder if not given
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Folder of the daemon's state
    #[arg(long, value_name = "DIR", default_value = "/var/lib/twinmesh")]
    state: PathBuf,
    #[command(flatten)]
    socket: Socket,
}

/// No archive.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", .path.display())]
pub(super) struct BugreportError {
    path: PathBuf,
    source: io::Error,
}

pub(super) fn run(arguments: &BugreportArguments) -> Result<(), CommandError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let name = format!("twinmesh-bugreport-{}-{now}", host_name());
    let path = arguments.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.tar")));
    let failed = |source| BugreportError { path: path.clone(), source };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    let written = write(BufWriter::new(&file), &name, now, arguments);
    if let Err(source) = written {
        // Half an archive says less than none.
        fs::remove_file(&path).ok();
        return Err(failed(source).into());
    }
    let size = file.metadata().map_err(failed)?.len();
    print(&format!(
        "wrote {} ({})\nKeys, tokens and passwords are not in it. Names and addresses of your network are: look at it \
         before you send it.\n",
        path.display(),
        status::bytes(size)
    ))
}

fn write(out: impl io::Write, name: &str, now: u64, arguments: &BugreportArguments) -> io::Result<()> {
    let mut archive = Archive::new(out, name, now);
    node::add(&mut archive, &arguments.socket.socket, &arguments.state)?;
    host::add(&mut archive)?;
    let version = env!("CARGO_PKG_VERSION");
    let about =
        format!("twinmesh {version}, {now} seconds after the Unix epoch\n{}", missing(&archive.missing));
    archive.add("about.txt", about.as_bytes())?;
    archive.finish()?.flush()
}

fn missing(missing: &[String]) -> String {
    if missing.is_empty() {
        return "Nothing is missing.\n".to_owned();
    }
    format!("Missing:\n{}", missing.iter().map(|what| format!("  {what}\n")).collect::<String>())
}

/// Of this machine, as far as it can stand in the name of a file.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let fits = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
    let name: String = name.trim().chars().filter(fits).take(64).collect();
    if name.is_empty() { "host".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;
    use std::path::Path;

    use super::*;
    use crate::state::{Config, StateFolder};
    use crate::testing::{map, peer};

    /// The archive of a node whose daemon is down, file by file.
    fn report_of(folder: &Path) -> BTreeMap<String, String> {
        let socket = Socket { socket: folder.join("no-socket") };
        let arguments = BugreportArguments { output: None, state: folder.to_owned(), socket };
        let mut bytes = Vec::new();
        write(&mut bytes, "report", 1_790_000_000, &arguments).unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mode().unwrap(), 0o600);
            let path = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            files.insert(path.strip_prefix("report/").unwrap().to_owned(), text);
        }
        files
    }

    #[test]
    fn with_the_daemon_down_the_report_has_what_state_folder_and_machine_tell() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        state.store_config(&Config { hostname: Some("alpha".to_owned()), ..Config::default() }).unwrap();
        state.store_map(&map(7, [peer(2)])).unwrap();
        let files = report_of(folder.path());
        for (file, part) in [
            ("about.txt", "the twinmesh daemon is not running"),
            ("about.txt", "state/sites.json: No such file"),
            ("state/config.json", "alpha"),
            ("state/map.json", "node-2"),
            ("state/files.json", "\"mode\": \"600\""),
            ("host/kernel.txt", "Linux"),
            ("host/addresses.txt", "LOOPBACK"),
        ] {
            let text = files.get(file).map_or("", String::as_str);
            assert!(text.contains(part), "no {part:?} in {file}:\n{text}");
        }
    }

    #[test]
    fn where_nothing_can_be_read_the_report_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let files = report_of(&folder.path().join("none"));
        let about = &files["about.txt"];
        assert!(about.contains("state/: ") && about.contains("/none: No such file"), "{about}");
        assert!(!files.contains_key("state/map.json"));
    }

    #[test]
    fn a_file_that_is_there_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("report.tar");
        fs::write(&output, "mine").unwrap();
        let arguments = BugreportArguments {
            output: Some(output.clone()),
            state: folder.path().to_owned(),
            socket: Socket { socket: folder.path().join("none") },
        };
        let error = run(&arguments).unwrap_err().to_string();
        assert!(error.contains("report.tar: File exists"), "{error}");
        assert_eq!(fs::read_to_string(&output).unwrap(), "mine");
    }
}
