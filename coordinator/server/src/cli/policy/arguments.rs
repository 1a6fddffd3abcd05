//! What `policy` takes, and its help.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::super::arguments::Server;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PolicyCommand {
    /// Show the policy
    Get {
        /// Print JSON, as `policy set FILE` takes it
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: Server,
    },
    Set(SetPolicy),
}

/// Change the policy: an entry, or all of it by a file
///
/// What is said of a pair counts before what is said of a tag of either end, and that before the default. Only
/// compliance adds up: whoever asks for it, nobody else lifts it. Nodes hear at once of what concerns them.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("place").required(true).args(["file", "default", "tag", "pair"]),
    group = ArgGroup::new("what").multiple(true).args(["protocol", "throughput", "compliance", "remove"]),
    after_long_help = "\
Examples:
  twinmesh-coordinator policy set --pair alpha,beta --protocol esp
  twinmesh-coordinator policy set --pair alpha,beta --remove
  twinmesh-coordinator policy set --tag pci --compliance yes
  twinmesh-coordinator policy set --default --protocol auto --throughput yes
  twinmesh-coordinator policy get --json > policy.json && vi policy.json
  twinmesh-coordinator policy set policy.json

JSON (FILE, --json):
  { \"version\": 3,
    \"default\": { \"protocol\": \"auto\", \"throughput\": true, \"compliance\": false },
    \"tags\":  [ { \"tag\": \"pci\", \"compliance\": true } ],
    \"pairs\": [ { \"nodes\": [\"alpha\", \"beta\"], \"protocol\": \"esp\" } ] }
  A file with a version is refused if the policy has changed since; without one it replaces whatever there is."
)]
pub(in crate::cli) struct SetPolicy {
    /// The whole policy, in JSON
    #[arg(value_name = "FILE", conflicts_with = "what")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// For the whole network
    #[arg(long, requires = "what")]
    pub(in crate::cli) default: bool,
    /// For every pair of which one end has the tag
    #[arg(long, value_name = "TAG", requires = "what")]
    pub(in crate::cli) tag: Option<String>,
    /// For two nodes, by name or id
    #[arg(long, value_name = "NODE,NODE", requires = "what", value_parser = parse_pair)]
    pub(in crate::cli) pair: Option<[String; 2]>,
    /// Which protocol; `auto` lets the coordinator choose
    #[arg(long, value_name = "PROTOCOL", value_parser = ["auto", "wireguard", "esp"])]
    pub(in crate::cli) protocol: Option<String>,
    /// Whether to take the faster protocol where the choice is free
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no)]
    pub(in crate::cli) throughput: Option<bool>,
    /// Whether to allow only algorithms that FIPS approves: ESP with AES-GCM, or no traffic
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no)]
    pub(in crate::cli) compliance: Option<bool>,
    /// Take the entry out
    #[arg(long, conflicts_with_all = ["protocol", "throughput", "compliance"])]
    pub(in crate::cli) remove: bool,
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) server: Server,
}

fn parse_pair(text: &str) -> Result<[String; 2], String> {
    let names: Vec<String> = text.split(',').map(str::to_owned).collect();
    <[String; 2]>::try_from(names).map_err(|_| format!("`{text}` is no pair: write it as alpha,beta"))
}

fn parse_yes_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("`{text}` is neither yes nor no")),
    }
}
