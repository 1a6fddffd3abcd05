//! `twinmesh site check`: reads a file, and says what it means.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use twinmesh_dataplane::esp::TrafficSelector as EspSelector;
use twinmesh_ike::config::{Remote, TrafficSelector};

use super::super::{CommandError, ask, print, secret_file};
use super::folder_of;
use crate::api::{Request, SiteStatus};
use crate::network::source_address;
use crate::site::{Explanation, OtherTraffic, Site, to_ike};

pub(super) fn run(file: &Path, socket: &Path) -> Result<(), CommandError> {
    let (name, text) = secret_file::read(file)?;
    let folder = folder_of(file).map_err(|source| CommandError::Read { file: name.clone(), source })?;
    let site = Site::read(&text, &name, &folder)?;
    // Without a daemon there is nothing to overlap with.
    let sites: Vec<SiteStatus> = ask(socket, &Request::Sites).unwrap_or_default();
    let others = sites.iter().filter(|other| other.name != site.name).flat_map(others);
    let explanation = site.explain(local_end(&site), &others.collect::<Vec<_>>());
    print(&page(&explanation))
}

fn local_end(site: &Site) -> SocketAddr {
    let (peer, port) = match site.remote {
        Remote::At(remote) | Remote::Roaming(remote) => (source_address(remote.ip()).ok(), remote.port()),
        Remote::Anywhere => (None, 0),
    };
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    SocketAddr::new(site.local.or(peer).unwrap_or(unknown), port)
}

fn others(site: &SiteStatus) -> impl Iterator<Item = OtherTraffic> {
    site.children.iter().map(|child| OtherTraffic {
        name: format!("the child `{}` of the site `{}`", child.name, site.name),
        local: selectors(&child.local_ts),
        remote: selectors(&child.remote_ts),
    })
}

fn selectors(texts: &[String]) -> Vec<TrafficSelector> {
    texts.iter().filter_map(|text| to_ike(&text.parse::<EspSelector>().ok()?)).collect()
}

fn page(Explanation { meaning, warnings }: &Explanation) -> String {
    let mut page: String = meaning.iter().map(|line| format!("{line}\n")).collect();
    page.extend(warnings.iter().map(|warning| format!("warning: {warning}\n")));
    if warnings.is_empty() {
        page.push_str("nothing to warn of\n");
    }
    page
}
