//! twinmesh at one of the sites.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use twinmesh_e2e::{Mesh, wait_for};
use twinmesh_interop::Site;
use twinmesh_interop::strongswan::{Authentication, Charon, Child, Connection};

const PATIENCE: Duration = Duration::from_secs(10);

/// An agent without a coordinator.
pub(crate) struct Ours<'a> {
    mesh: &'a Mesh,
    site: Site,
}

/// Who sends the first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Initiate,
    Answer,
}

impl<'a> Ours<'a> {
    pub(crate) fn start(mesh: &'a Mesh, site: Site) -> Result<Self> {
        let host = mesh.lab().find_host(site.host)?;
        let state = host.folder().join("state").display().to_string();
        let log = [("RUST_LOG", "info,twinmesh_agent=debug,twinmesh_ike=debug")];
        host.spawn("agent", &["twinmesh", "agent", "--state", &state], &log)?;
        let ours = Self { mesh, site };
        wait_for("the agent to answer", PATIENCE, || ours.sites().ok()).with_context(|| ours.log())?;
        Ok(ours)
    }

    /// Adds the connection as a site.
    pub(crate) fn add(&self, connection: &Connection, start: Start) -> Result<()> {
        for (name, content) in files(connection) {
            self.mesh.write(self.site.host, &name, content)?;
        }
        let text = site_file(connection, start);
        let file = self.mesh.write(self.site.host, "site.toml", &text)?;
        self.mesh.run(self.site.host, &["twinmesh", "up", "--site", &file]).context(text)?;
        Ok(())
    }

    /// Adds the connection, lets who is to begin do so, and waits for the IKE SA and its only child, `net`.
    pub(crate) fn connects(
        &self,
        connection: &Connection,
        start: Start,
        charon: &Charon<'_>,
    ) -> Result<Value> {
        self.add(connection, start)?;
        if start == Start::Answer {
            charon.initiate("net").with_context(|| self.log())?;
        }
        self.settles_with(1).with_context(|| charon.log())
    }

    /// Tells the peer and forgets the site.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        self.mesh.run(self.site.host, &["twinmesh", "site", "remove", name]).map(drop)
    }

    fn sites(&self) -> Result<Vec<Value>> {
        let list = self.mesh.json(self.site.host, &["twinmesh", "site", "list", "--json"])?;
        list.as_array().cloned().context("no list")
    }

    /// What `site list --json` says of the only site.
    pub(crate) fn state(&self) -> Result<Value> {
        self.sites()?.first().cloned().context("no site")
    }

    /// Waits until the IKE SA and so many children are there.
    pub(crate) fn settles_with(&self, children: usize) -> Result<Value> {
        self.is_within(PATIENCE, &format!("an IKE SA with {children} children"), |state| {
            let list = state["children"].as_array();
            let installed =
                list.map(|list| list.iter().filter(|child| child["state"] == "installed").count());
            state["state"] == "established" && installed == Some(children)
        })
    }

    /// Waits until the site is as `holds` wants it.
    pub(crate) fn is_within(
        &self,
        deadline: Duration,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        wait_for(what, deadline, || self.state().ok().filter(&holds))
            .with_context(|| format!("{:?}\n{}", self.state(), self.log()))
    }

    /// Waits for a failure whose text has all these words; the text.
    pub(crate) fn fails_with(&self, words: &[&str]) -> Result<String> {
        let text = |state: &Value| state["last_error"].as_str().unwrap_or_default().to_owned();
        let found = self.is_within(PATIENCE, &format!("an error about {words:?}"), |state| {
            words.iter().all(|word| text(state).contains(word))
        })?;
        Ok(text(&found))
    }

    /// Kills the agent as a crash would.
    pub(crate) fn kill(&self) -> Result<()> {
        let program = self.mesh.lab().find_host(self.site.host)?.program("agent")?;
        program.signal(twinmesh_lab::Signal::SIGKILL)?;
        ensure!(program.wait(PATIENCE).is_some(), "the agent does not end");
        Ok(())
    }

    pub(crate) fn log(&self) -> String {
        let host = self.mesh.lab().find_host(self.site.host);
        host.and_then(|host| Ok(host.program("agent")?.log())).unwrap_or_default()
    }
}

/// Files that the site's file refers to, beside it.
fn files(connection: &Connection) -> Vec<(String, &str)> {
    let files: &[(&str, &String)] = &match &connection.authentication {
        Authentication::Psk(_) => return Vec::new(),
        Authentication::Certificate { certificate, key, authority, revoked } => {
            let revoked = revoked.iter().map(|list| ("revoked.pem", list));
            [("site.pem", certificate), ("site.key", key), ("ca.pem", authority)]
                .into_iter()
                .chain(revoked)
                .collect::<Vec<_>>()
        }
        Authentication::PublicKey { public, key, peer } => {
            vec![("site.pub", public), ("site.key", key), ("peer.pub", peer)]
        }
    };
    files.iter().map(|(name, content)| ((*name).to_owned(), content.as_str())).collect()
}

fn site_file(connection: &Connection, start: Start) -> String {
    let Connection {
        name,
        remote,
        local_id,
        remote_id,
        authentication,
        postquantum,
        proposals,
        options,
        children,
    } = connection;
    let postquantum =
        postquantum.as_ref().map(|ppk| format!("ppk_id = \"{}\"\nppk = \"0x{}\"\n", ppk.id, ppk.secret));
    let postquantum = postquantum.unwrap_or_default();
    let remote = if remote == "%any" { "any" } else { remote };
    let start = match start {
        Start::Initiate => "start",
        Start::Answer => "none",
    };
    let authentication = match authentication {
        Authentication::Psk(secret) => format!("psk = \"{secret}\""),
        Authentication::Certificate { revoked, .. } => {
            let crl = revoked.as_ref().map_or("", |_| "\ncrl = [\"revoked.pem\"]");
            format!("certificate = \"site.pem\"\nkey = \"site.key\"\nca = [\"ca.pem\"]{crl}")
        }
        Authentication::PublicKey { .. } => "key = \"site.key\"\nremote_public_key = \"peer.pub\"".to_owned(),
    };
    let children: String = children.iter().map(|child| child_table(child, start)).collect();
    format!(
        "name = \"{name}\"\nremote = \"{remote}\"\nstart = \"{start}\"\nproposals = {}\n{options}\n\
         [auth]\nlocal_id = \"@{local_id}\"\nremote_id = \"@{remote_id}\"\n{authentication}\n{postquantum}{children}",
        list(proposals)
    )
}

fn child_table(child: &Child, start: &str) -> String {
    let Child { name, local_ts, remote_ts, proposals, options } = child;
    let [local_ts, remote_ts, proposals] = [local_ts, remote_ts, proposals].map(|text| list(text));
    format!(
        "\n[[child]]\nname = \"{name}\"\nmode = \"tunnel\"\nstart = \"{start}\"\n\
         local_ts = {local_ts}\nremote_ts = {remote_ts}\n\
         proposals = {proposals}\n{options}\n"
    )
}

/// swanctl's comma-separated list in TOML.
fn list(text: &str) -> String {
    let quoted: Vec<String> = text.split(',').map(|item| format!("\"{}\"", item.trim())).collect();
    format!("[{}]", quoted.join(", "))
}
