//! What `twinmesh debug` takes, and its help.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::arguments::Socket;

/// Look at what the daemon says to others
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(in super::super) struct DebugArguments {
    #[command(subcommand)]
    pub(super) command: DebugCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum DebugCommand {
    Ike(IkeArguments),
}

/// Show the IKE messages of sites, decrypted and decoded
///
/// The daemon keeps the last messages of each site, up to 200 entries and 256 KiB: after a failure, look at once, no
/// need to try again. Messages of peers that have not proved who they are come under `-`; once a peer is known, its
/// first messages count as its site's.
///
/// Shown are messages as they were before encryption or after decryption, payload by payload, under the names of the
/// RFCs; what was repeated, what was dropped and why; and how attempts ended. There are no keys in it.
#[derive(Debug, Args)]
#[command(after_long_help = IKE_HELP)]
pub(super) struct IkeArguments {
    /// Go on with the messages to come, until interrupted
    #[arg(long, short)]
    pub(super) follow: bool,
    /// Of this site only
    #[arg(long, value_name = "NAME")]
    pub(super) site: Option<String>,
    /// Print JSON, an entry a line
    #[arg(long)]
    pub(super) json: bool,
    /// Print keys too: who has them reads all traffic. The daemon logs who asked
    #[arg(long)]
    pub(super) keys: bool,
    /// Write keys where Wireshark finds them: DIR/ikev2_decryption_table and DIR/esp_sa (mode 0600). The daemon logs
    /// who asked
    #[arg(long, value_name = "DIR")]
    pub(super) key_log: Option<PathBuf>,
    #[command(flatten)]
    pub(super) socket: Socket,
}

const IKE_HELP: &str = "\
Examples:
  twinmesh debug ike --site branch-7            what was said last, after a failed attempt
  twinmesh debug ike --follow                   watch all sites
  twinmesh debug ike --json | jq -r 'select(.kind==\"failed\") | .text'

A capture that Wireshark decrypts:
  twinmesh debug ike --follow --key-log /root/keys &
  tcpdump -i eth0 -w site.pcap 'udp port 500 or udp port 4500 or esp'
  WIRESHARK_CONFIG_DIR=/root/keys tshark -r site.pcap -o esp.enable_encryption_decode:TRUE

IKE SAs that stand already give their keys at once; ESP SAs only when they are made, so follow before they are, or
wait for the next rekey. ChaCha20-Poly1305 is more than Wireshark decrypts: its keys are comments. Remove the folder
when you are done: traffic that was captured before or after can be read with it.

Text: time of day (UTC), site, direction and peer, exchange, message id, size, SPIs of initiator and responder; below,
a line for each payload.

JSON (--json), an object a line; fields may be added, none is ever renamed:
  time_ms        milliseconds since the Unix epoch
  site           or null while the peer is not known
  ike_sa         number of the IKE SA since the daemon began, or null
  local, remote  addresses and ports of the datagram, or null
  kind           sent | received | retransmitted (no answer so far) | answered-again (the peer repeated its request) |
                 fragment (of a message that is not whole) | dropped | established | rekeyed | deleted | failed | keys |
                 lost (entries that were not read in time)
  text           why it was dropped, how it ended, or null
  message        null, or { exchange, response, message_id, initiator_spi, responder_spi, encrypted, bytes, datagrams,
                 payloads: [{ name, text, details }] }; encrypted and bytes are null where only the header is known
  keys           with --keys: [{ table, line }]: Wireshark's table, and a line for it

Exit status:
  0  done
  1  failed: no daemon, no such site; standard error says which
  2  bad usage";
