//! `link`, `nat-forget`: changes while the lab is up.

use std::path::Path;

use twinmesh_lab::{Lab, LabError};

use super::arguments::Link;
use super::output::UsageError;

pub(super) fn link(root: &Path, arguments: &Link) -> anyhow::Result<()> {
    let mut lab = Lab::select(root, arguments.which.lab.as_deref())?;
    let (node, interface) = match arguments.end.split_once(':') {
        Some((node, interface)) => (node, interface.to_owned()),
        None => (arguments.end.as_str(), only_interface(&lab, &arguments.end)?),
    };
    Ok(lab.link(node, &interface, &arguments.changes)?)
}

fn only_interface(lab: &Lab, node: &str) -> anyhow::Result<String> {
    let interfaces = &lab.state().node(node)?.interfaces;
    match interfaces.as_slice() {
        [only] => Ok(only.name.clone()),
        several => {
            let names: Vec<String> = several.iter().map(|it| format!("{node}:{}", it.name)).collect();
            Err(UsageError(format!("`{node}` has several links: write {}", names.join(" or "))).into())
        }
    }
}

pub(super) fn nat_forget(root: &Path, lab: Option<&str>, router: &str) -> anyhow::Result<()> {
    let forgotten: Result<(), LabError> = Lab::select(root, lab)?.nat_forget(router);
    Ok(forgotten?)
}
