//! Bringing a lab up and taking it down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use crate::capture;
use crate::error::LabError;
use crate::folder::{self, Folder, InterfaceState, NodeState, Phase, State};
use crate::link::{self, Links};
use crate::namespace::{self, Init, Inside};
use crate::network;
use crate::process::{self, Process};
use crate::program::{self, Files};
use crate::scenario::{Node, Scenario};
use crate::tools;

/// How long the kernel may take to end all processes of a lab.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// What [`up`] leaves in the caller's hands.
pub(crate) struct Started {
    pub(crate) state: State,
    /// `unshare`, to be waited for after the lab's end.
    pub(crate) child: Child,
    /// While it is open the lab lives, if it was started with an owner.
    pub(crate) leash: ChildStdin,
}

/// Brings a scenario, which was read from `text`, up in `folder`. With `owned`, the lab ends when this process does.
///
/// On failure everything of the lab is ended again; its folder stays for its logs.
pub(crate) fn up(
    scenario: &Scenario,
    text: &str,
    folder: &Folder,
    variables: BTreeMap<String, String>,
    owned: bool,
) -> Result<Started, LabError> {
    tools::check(scenario)?;
    let prepared = prepare_programs(scenario, folder, &variables)?;
    let _lock = folder.lock()?;
    if folder.load_up().is_ok() {
        return Err(LabError::AlreadyUp(folder.name().to_owned()));
    }
    clear(folder)?;
    folder.create(scenario.nodes.iter().map(|node| node.name.clone()))?;
    folder.write(folder::SCENARIO, text.as_bytes())?;
    folder.write("hosts", hosts_file(scenario).as_bytes())?;
    let names: Vec<String> = scenario.nodes.iter().map(|node| node.name.clone()).collect();
    let mut init = Init::start(folder, &names)?;
    let mut state = State {
        name: folder.name().to_owned(),
        scenario: scenario.file.clone(),
        started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        phase: Phase::Starting,
        init: init.process,
        user_namespace: init.user_namespace,
        owner: i32::try_from(std::process::id()).ok().filter(|_| owned).and_then(Process::of),
        nodes: Vec::new(),
        variables,
    };
    let built = folder
        .save(&state)
        .and_then(|()| build(scenario, folder, &mut state, &mut init))
        .and_then(|()| run_programs(folder, &state, &prepared))
        .and_then(|()| if owned { Ok(()) } else { init.say("detach") })
        .and_then(|()| {
            state.phase = Phase::Up;
            folder.save(&state)
        });
    match built {
        Ok(()) => Ok(Started { state, child: init.child, leash: init.leash }),
        Err(error) => {
            // The error that stopped us says more than one of ending the rest.
            let _ = end(init.process);
            let _ = init.child.wait();
            Err(error)
        }
    }
}

type PreparedPrograms = BTreeMap<String, Vec<program::Prepared>>;

fn prepare_programs(
    scenario: &Scenario,
    folder: &Folder,
    variables: &BTreeMap<String, String>,
) -> Result<PreparedPrograms, LabError> {
    let of_node = |node: &Node| {
        let programs = node.programs.iter().map(|it| program::prepare(it, &node.name, folder, variables));
        Ok((node.name.clone(), programs.collect::<Result<_, LabError>>()?))
    };
    scenario.nodes.iter().map(of_node).collect()
}

/// Namespaces, links, addresses, routes, captures.
fn build(scenario: &Scenario, folder: &Folder, state: &mut State, init: &mut Init) -> Result<(), LabError> {
    let pids = init.make_nodes(folder, scenario.nodes.len())?;
    let inside = process::all_in_namespace_of(state.init);
    let mut ports = 0..;
    for node in &scenario.nodes {
        let inner_pid = pids.iter().find(|(name, _)| *name == node.name).map(|(_, pid)| *pid);
        let process = inner_pid.and_then(|pid| inside.iter().find(|(inner, _)| *inner == pid));
        let (Some(inner_pid), Some((_, process))) = (inner_pid, process) else {
            let message = "its holder has ended".to_owned();
            return Err(LabError::Setup { node: node.name.clone(), message });
        };
        let interfaces = node.interfaces.iter().zip(&mut ports).map(|(interface, number)| InterfaceState {
            name: interface.name.clone(),
            network: scenario.networks.get(interface.network).map_or_else(String::new, |it| it.name.clone()),
            addresses: interface.addresses.clone(),
            port: network::port(number),
            link: interface.link,
        });
        state.nodes.push(NodeState {
            name: node.name.clone(),
            router: node.router.is_some(),
            process: *process,
            inner_pid,
            interfaces: interfaces.collect(),
            nat_generation: 0,
        });
    }
    start_link_process(folder, state)?;
    let script = network::backbone_script(scenario.networks.len(), &links(scenario, state));
    namespace::run_script(state, folder, Inside::Backbone, "the networks", &script)?;
    let state = &*state;
    thread::scope(|scope| {
        let set_up = |(node, holder): (&Node, &NodeState)| {
            let script = network::node_script(scenario, node);
            namespace::run_script(state, folder, Inside::Node(holder), &node.name, &script)
        };
        let nodes = scenario.nodes.iter().zip(&state.nodes);
        let threads: Vec<_> = nodes.map(|pair| scope.spawn(move || set_up(pair))).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    start_captures(scenario, folder, state)
}

fn links<'a>(scenario: &'a Scenario, state: &'a State) -> Vec<network::Link<'a>> {
    let nodes = scenario.nodes.iter().zip(&state.nodes);
    nodes
        .flat_map(|(node, holder)| {
            node.interfaces.iter().zip(&holder.interfaces).map(|(interface, port)| network::Link {
                port: &port.port,
                interface: &interface.name,
                holder: holder.inner_pid,
                network: interface.network,
                properties: interface.link,
            })
        })
        .collect()
}

/// Starts the link process if a link needs it, and waits until its devices are there.
fn start_link_process(folder: &Folder, state: &State) -> Result<(), LabError> {
    let mut links = Links { revision: 1, links: Vec::new() };
    for node in &state.nodes {
        for interface in node.interfaces.iter().filter(|it| it.link.impairment.is_some()) {
            links.links.push(link::Link {
                node: node.name.clone(),
                interface: interface.name.clone(),
                holder: node.inner_pid,
                port: interface.port.clone(),
                properties: interface.link,
            });
        }
    }
    if links.links.is_empty() {
        return Ok(());
    }
    link::control::write(folder, &links)?;
    let binary = tools::lab_binary()?.display().to_string();
    let argv = [binary, "link-process".to_owned(), folder.path().display().to_string()];
    let files = Files::new(folder, "backbone", link::PROGRAM);
    files.start(state, folder, Inside::Backbone, &argv, &[])?;
    link::control::wait_applied(folder, state, &files, links.revision)
}

/// Starts a capture process for each captured interface and waits until it listens, so that no packet is missed.
fn start_captures(scenario: &Scenario, folder: &Folder, state: &State) -> Result<(), LabError> {
    let mut started = Vec::new();
    for (node, holder) in scenario.nodes.iter().zip(&state.nodes) {
        for interface in &node.capture {
            let pcap = folder.join(format!("captures/{}-{interface}.pcap", node.name));
            let binary = tools::lab_binary()?.display().to_string();
            let argv = [binary, "capture".to_owned(), interface.clone(), pcap.display().to_string()];
            let name = format!("capture-{interface}");
            let files = Files::new(folder, &node.name, &name);
            files.start(state, folder, Inside::Node(holder), &argv, &[])?;
            started.push((node.name.clone(), files));
        }
    }
    let deadline = Instant::now() + END_DEADLINE;
    for (node, files) in started {
        while !files.log_text().contains(capture::LISTENING) {
            if files.wait(state.init, Duration::from_millis(10)).is_some() || Instant::now() > deadline {
                return Err(LabError::Setup {
                    node,
                    message: format!("capture: {}", files.log_text().trim()),
                });
            }
        }
    }
    Ok(())
}

fn run_programs(folder: &Folder, state: &State, prepared: &PreparedPrograms) -> Result<(), LabError> {
    for node in &state.nodes {
        for program in prepared.get(&node.name).into_iter().flatten() {
            program::start_and_wait(state, folder, node, program)?;
        }
    }
    Ok(())
}

/// /etc/hosts of all nodes: each name with the addresses of the node's first interface.
fn hosts_file(scenario: &Scenario) -> String {
    let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost\n");
    for node in &scenario.nodes {
        for address in node.interfaces.first().iter().flat_map(|interface| &interface.addresses) {
            hosts.push_str(&format!("{} {}\n", address.addr(), node.name));
        }
    }
    hosts
}

/// Takes down whatever an earlier run left of this lab. Returns whether there was anything.
pub(crate) fn down(folder: &Folder) -> Result<bool, LabError> {
    let _lock = folder.lock()?;
    let existed = folder.path().exists();
    clear(folder)?;
    Ok(existed)
}

/// Ends the lab's processes and removes its folder. The caller holds the lock.
fn clear(folder: &Folder) -> Result<(), LabError> {
    if let Some(state) = folder.load() {
        end(state.init)?;
    }
    folder.remove()
}

/// Ends init and waits until all that was in its pid namespace is gone.
fn end(init: Process) -> Result<(), LabError> {
    let members: Vec<Process> =
        process::all_in_namespace_of(init).into_iter().map(|(_, process)| process).collect();
    init.signal(Signal::SIGKILL).map_err(LabError::io("ending the lab"))?;
    let deadline = Instant::now() + END_DEADLINE;
    while init.is_alive() || members.iter().any(|member| member.is_alive()) {
        if Instant::now() > deadline {
            let late = std::io::Error::new(std::io::ErrorKind::TimedOut, "its processes do not end");
            return Err(LabError::io("ending the lab")(late));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Removes what owned labs left whose owner is gone.
pub(crate) fn sweep(root: &Path) {
    for folder in Folder::all(root) {
        let orphaned = folder.load().is_some_and(|state| state.owner.is_some_and(|owner| !owner.is_alive()));
        if orphaned {
            // Somebody else may sweep at the same time, or it is not ours: the next one will.
            let _ = down(&folder);
        }
    }
}

/// Variables of a scenario's commands.
pub(crate) fn variables(
    scenario: &Scenario,
    bin: Option<PathBuf>,
    given: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    if let Some(bin) = bin.or_else(tools::binary_folder) {
        variables.insert("bin".to_owned(), bin.display().to_string());
    }
    let folder = scenario.file.as_deref().and_then(Path::parent).map(Path::to_owned);
    if let Some(folder) = folder {
        variables.insert("scenario_dir".to_owned(), folder.display().to_string());
    }
    variables.extend(given);
    variables
}
