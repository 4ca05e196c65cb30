//! What the watcher does all day: keep SSH up, listen for what the engine publishes, write down what is carried.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use machine_host::name::HostName;
use machine_host::paths::MachinePaths;
use machine_host::record::EndpointKind;
use machine_host::store::Store;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::carry::{Host, Link, To};
use super::clock_check::ClockCheck;
use super::engine::Follower;
use super::host_network::HostNetwork;
use super::listen::Listener;
use super::published::Published;
use super::state::{Forward, Forwards, MOST, Reason, Refusal, Unshared};
use super::udp;
use crate::share::shares;
use crate::ssh::Connection;
use crate::wait::{Probe, Wait, cancelled, until};
use crate::{Diagnostic, Kind, Result, World, clock, reach};

/// How long the first connection is tried for: whoever started us waits.
const FIRST: Duration = Duration::from_secs(10);
/// The longest rest between two tries to connect again. They begin at [`TICK`] and grow.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// How often everything is looked at that tells nobody when it changes: SSH, the machine's folder.
const TICK: Duration = Duration::from_secs(1);
/// How often ports that were taken are tried again.
const TAKEN: Duration = Duration::from_secs(5);

/// Runs until there is nothing more to do.
pub(super) async fn serve(world: &World, name: &HostName) -> Result<()> {
    let paths = world.store.machine_paths(name);
    let (link, receiver) = watch::channel(None);
    let mut board = Board::open(world, name, &paths, receiver).await?;
    let served = tokio::select! {
        served = hold(world, name, &paths, &mut board, &link) => served,
        () = no_more(world, name) => Ok(()),
    };
    // The port's number stays written down: the next watcher takes the same.
    board.clear(served.as_ref().err());
    match served {
        Err(e) if e.kind == Kind::Interrupted => Ok(()),
        other => other,
    }
}

/// Connects, follows the engine, and connects again, for as long as the machine is there.
async fn hold(
    world: &World,
    name: &HostName,
    paths: &MachinePaths,
    board: &mut Board,
    link: &watch::Sender<Option<Host>>,
) -> Result<()> {
    let (mut connection, mut engine_port) = connect(world, name, paths).await?;
    loop {
        let host = Host { connection, engine_port, stalled: Arc::new(Notify::new()), refused: Arc::default() };
        link.send_replace(Some(host.clone()));
        // Without it a guest is only late.
        let guest = board.is_guest.then(|| ClockCheck::start(paths, board.state.engine_port, &host.connection));
        let _clock = guest.and_then(Result::ok);
        if let Lane::Lost = follow(world, board, paths, &host).await {
            link.send_replace(None);
            board.trouble(&Diagnostic::failure("the SSH connection was lost; connecting again"));
        }
        (connection, engine_port) = connect_again(world, name, paths, board).await?;
    }
}

/// Why another SSH connection is needed.
enum Lane {
    /// This one is gone.
    Lost,
    /// A client that takes nothing blocks it; it lives on for those who use it.
    Stalled,
}

/// The first connection: whoever started us waits for it, and is told why there is none.
async fn connect(world: &World, name: &HostName, paths: &MachinePaths) -> Result<(Connection, u16)> {
    let what = format!("SSH to machine \"{name}\"");
    let wait = Wait { what: &what, deadline: FIRST, every: TICK, cancel: &world.cancel };
    until(wait, || connect_once(world, name, paths)).await
}

/// Connects again, however long it takes: whoever uses the ports may never call us.
async fn connect_again(
    world: &World,
    name: &HostName,
    paths: &MachinePaths,
    board: &mut Board,
) -> Result<(Connection, u16)> {
    let mut rest = TICK;
    loop {
        match connect_once(world, name, paths).await {
            Probe::Now(connected) => return Ok(connected),
            Probe::Never(e) => return Err(e),
            Probe::NotYet(e) => {
                let lost = "the SSH connection was lost, and there is no other yet";
                board.trouble(&Diagnostic::failure(lost).cause(e.root_cause()));
            }
        }
        board.rest(rest).await;
        rest = (rest * 2).min(LONGEST_REST);
    }
}

async fn connect_once(world: &World, name: &HostName, paths: &MachinePaths) -> Probe<(Connection, u16)> {
    // Read anew each time: a restart may have changed the address.
    let record = match world.store.read(name) {
        Ok(record) => record,
        Err(e) => return Probe::Never(e.into()),
    };
    let port = match super::endpoint(&record) {
        Ok(endpoint) => endpoint.host_port,
        Err(e) => return Probe::Never(e),
    };
    match reach::connect(world, &record, paths).await {
        Ok(connection) => Probe::Now((connection, port)),
        Err(e) if e.kind.is_transient() => Probe::NotYet(e),
        Err(e) => Probe::Never(e),
    }
}

/// Keeps the listeners as the engine's list says, for as long as this SSH connection serves.
async fn follow(world: &World, board: &mut Board, paths: &MachinePaths, host: &Host) -> Lane {
    let mut follower = Some(Follower::start(paths.clone(), board.state.engine_port));
    let mut host_network: Option<HostNetwork> = None;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tried = Instant::now();
    loop {
        tokio::select! {
            heard = next(&mut follower) => match heard {
                Some(Ok(list)) => {
                    let on_host = list.on_host.clone();
                    board.show(world, list).await;
                    host_network = (!on_host.is_empty()).then(|| HostNetwork::start(&host.connection, on_host));
                }
                Some(Err(e)) => {
                    follower = None;
                    let why = host.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    board.trouble(&why.map_or(e, Diagnostic::failure));
                }
                // Its round is over; the next tick begins another.
                None => follower = None,
            },
            seen = seen(&mut host_network) => board.see(seen).await,
            _ = tick.tick() => {
                if host.connection.is_closed() {
                    return Lane::Lost;
                }
                if follower.is_none() {
                    follower = Some(Follower::start(paths.clone(), board.state.engine_port));
                }
                if board.has_taken() && tried.elapsed() >= TAKEN {
                    tried = Instant::now();
                    board.bring_udp(world).await;
                    board.listen().await;
                }
                // What could not be written down before, on a full disk.
                board.write();
            }
            () = host.stalled.notified() => return Lane::Stalled,
        }
    }
}

async fn next(follower: &mut Option<Follower>) -> Option<Result<Published>> {
    match follower {
        Some(follower) => follower.next().await,
        None => std::future::pending().await,
    }
}

/// What containers with the host's network listen to.
async fn seen(host_network: &mut Option<HostNetwork>) -> Vec<Forward> {
    if let Some(host_network) = host_network
        && let Some(seen) = host_network.next().await
    {
        return seen;
    }
    std::future::pending().await
}

/// Returns once nobody needs the watcher: it was told to stop, or the machine is gone or going.
async fn no_more(world: &World, name: &HostName) {
    let mut cancel = world.cancel.clone();
    while timeout(TICK, cancelled(&mut cancel)).await.is_err() {
        let going = world.store.read(name).is_ok_and(|record| record.removing);
        if going || !world.store.exists(name) {
            return;
        }
    }
}

/// Ports of this computer at which clients of other machines of the store find them: a host that has one of them published
/// must not get what is meant for those.
pub(super) fn promised(store: &Store, but: &HostName) -> BTreeSet<u16> {
    let here = |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let mut ports = BTreeSet::new();
    let names = store.names().unwrap_or_default();
    // One that cannot be read promises nothing that could be known.
    for record in names.iter().filter(|name| *name != but).filter_map(|name| store.read(name).ok()) {
        ports.extend(record.endpoint.filter(|endpoint| here(&endpoint.host)).map(|endpoint| endpoint.port));
        ports.extend(record.ssh.filter(|ssh| here(&ssh.host)).map(|ssh| ssh.port));
    }
    ports
}

/// Listens on a port of the system's choice that is promised to nobody.
async fn any_but(promised: &BTreeSet<u16>, link: &Link) -> Result<Listener> {
    let none = || Diagnostic::failure("no port of 127.0.0.1 can be listened on");
    // Held until another is found, or the system would choose it again.
    let mut unfit = Vec::new();
    loop {
        let listener = Listener::open(0, To::Engine, link.clone()).await.map_err(|e| none().caused_by(&e))?;
        if !promised.contains(&listener.port) {
            return Ok(listener);
        }
        unfit.push(listener);
    }
}

/// The listeners, and what is written down about them.
struct Board {
    store: Store,
    name: HostName,
    path: PathBuf,
    state: Forwards,
    written: Option<Forwards>,
    /// It runs on this computer, and stands still while that sleeps.
    is_guest: bool,
    /// Ports below this one are not taken.
    lowest: u16,
    published: Published,
    /// UDP ports that come here, and those that do not.
    udp: (Vec<Forward>, Vec<Refusal>),
    /// Where containers with the host's network listen.
    on_host: Vec<Forward>,
    open: BTreeMap<u16, (Forward, Listener)>,
    link: Link,
    _engine: Listener,
}

impl Board {
    /// Opens the engine's port: the one clients know, else the one of the last watcher, else any.
    async fn open(world: &World, name: &HostName, paths: &MachinePaths, link: Link) -> Result<Self> {
        let record = world.store.read(name)?;
        let endpoint = super::endpoint(&record)?;
        let known = Some(endpoint.port).filter(|_| endpoint.kind == EndpointKind::Tunnel);
        let last = Forwards::read(&paths.forwards()).map(|old| old.engine_port);
        let promised = promised(&world.store, name);
        let last = last.filter(|port| !promised.contains(port));
        let mut engine = None;
        for port in [known, last].into_iter().flatten() {
            if let Ok(listener) = Listener::open(port, To::Engine, link.clone()).await {
                engine = Some(listener);
                break;
            }
        }
        let engine = match engine {
            Some(engine) => engine,
            None => any_but(&promised, &link).await?,
        };
        let state = Forwards {
            pid: std::process::id(),
            version: world.version.clone(),
            engine_port: engine.port,
            ..Forwards::default()
        };
        let board = Self {
            store: world.store.clone(),
            name: name.clone(),
            path: paths.forwards(),
            state,
            written: None,
            is_guest: clock::is_ours(&*world.drivers, &record),
            lowest: if record.low_ports { 1 } else { 1024 },
            published: Published::default(),
            udp: Default::default(),
            on_host: Vec::new(),
            open: BTreeMap::new(),
            link,
            _engine: engine,
        };
        // Whoever started us waits for this file: without it we are of no use.
        board.state.write(&board.path)?;
        Ok(board)
    }

    /// The engine has said what it publishes.
    async fn show(&mut self, world: &World, published: Published) {
        self.state.unshared = match world.store.read(&self.name) {
            // A share may have come since the last time.
            Ok(record) if self.is_guest && !published.binds.is_empty() => {
                let shares = shares(&*world.drivers, &record).await.unwrap_or_default();
                Unshared::among(&published.binds, &world.user.home, &shares)
            }
            _ => Vec::new(),
        };
        self.on_host.retain(|forward| published.on_host.iter().any(|(_, name)| *name == forward.container));
        self.published = published;
        self.state.ready = true;
        self.state.trouble = None;
        self.bring_udp(world).await;
        self.listen().await;
    }

    /// Has the program that runs the machine bring its UDP ports; again each time, for that may be another one by now.
    async fn bring_udp(&mut self, world: &World) {
        let nothing = self.published.udp.is_empty() && self.udp.0.is_empty();
        self.udp = match nothing {
            true => Default::default(),
            false => udp::bring(world, &self.name, &self.published.udp, self.lowest).await,
        };
    }

    /// The host has been looked at.
    async fn see(&mut self, on_host: Vec<Forward>) {
        if self.on_host != on_host {
            self.on_host = on_host;
            self.listen().await;
        }
    }

    /// Makes the listeners what the last list wants, as far as this computer lets us.
    async fn listen(&mut self) {
        let mut wanted = self.published.wanted.clone();
        // What is published comes first: at one port of the host there is but one.
        for forward in &self.on_host {
            if wanted.len() < MOST {
                wanted.entry(forward.port).or_insert_with(|| forward.clone());
            }
        }
        let gone: Vec<u16> = self
            .open
            .iter()
            .filter(|(port, (open, _))| wanted.get(port) != Some(open))
            .map(|(port, _)| *port)
            .collect();
        for port in gone {
            if let Some((_, listener)) = self.open.remove(&port) {
                listener.close().await;
            }
        }
        let mut refusals = self.published.refusals.clone();
        refusals.extend(self.udp.1.iter().cloned());
        let promised = promised(&self.store, &self.name);
        for (port, forward) in wanted {
            if promised.contains(&port) {
                self.open.remove(&port);
                refusals.push(Refusal { port, container: forward.container, reason: Reason::Promised });
                continue;
            }
            if self.open.contains_key(&port) {
                continue;
            }
            if port < self.lowest {
                refusals.push(Refusal { port, container: forward.container, reason: Reason::Low });
                continue;
            }
            let to = To::Port(forward.host.clone(), forward.host_port);
            match Listener::open(port, to, self.link.clone()).await {
                Ok(listener) => drop(self.open.insert(port, (forward, listener))),
                Err(e) => {
                    refusals.push(Refusal { port, container: forward.container, reason: Reason::of(&e) });
                }
            }
        }
        refusals.sort();
        self.state.unlisted = refusals.len().saturating_sub(MOST);
        refusals.truncate(MOST);
        self.state.forwards = self.open.values().map(|(forward, _)| forward).chain(&self.udp.0).cloned().collect();
        self.state.refusals = refusals;
        self.write();
    }

    /// Whether a port may become free.
    fn has_taken(&self) -> bool {
        self.state.refusals.iter().any(|refusal| matches!(refusal.reason, Reason::PortTaken | Reason::Promised))
    }

    /// Something is wrong; what is carried stays as it is.
    fn trouble(&mut self, e: &Diagnostic) {
        self.state.ready = false;
        self.state.trouble =
            Some(format!("{e}: {}", e.root_cause())).filter(|_| !e.causes.is_empty()).or_else(|| Some(e.to_string()));
        self.write();
    }

    /// Rests for so long, or until somebody waits for us.
    async fn rest(&self, pause: Duration) {
        let (begun, before) = (Instant::now(), Forwards::written(&self.path));
        while begun.elapsed() < pause && Forwards::written(&self.path) == before {
            tokio::time::sleep(TICK).await;
        }
    }

    /// Nothing is carried any more. The machine's folder may be gone: then there is nothing to write.
    fn clear(&mut self, why: Option<&Diagnostic>) {
        self.open.clear();
        self.state.forwards.clear();
        self.state.refusals.clear();
        self.state.unshared.clear();
        self.state.ready = false;
        self.state.trouble = why.map(|e| e.root_cause().to_owned());
        self.write();
    }

    /// Writes down what is carried. Where that cannot be, ports are carried all the same, and the next tick tries again.
    fn write(&mut self) {
        if self.written.as_ref() == Some(&self.state) {
            return;
        }
        match self.state.write(&self.path) {
            Ok(()) => self.written = Some(self.state.clone()),
            Err(e) => tracing::warn!("{e}"),
        }
    }
}
