//! What the watcher does all day: keep SSH up, listen for what the engine publishes, write down what is carried.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use machine_host::name::HostName;
use machine_host::paths::MachinePaths;
use machine_host::record::EndpointKind;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::carry::{Host, Link, To};
use super::engine::Follower;
use super::listen::Listener;
use super::published::Published;
use super::state::{Forward, Forwards, Reason, Refusal};
use crate::ssh::Connection;
use crate::wait::{Probe, Wait, cancelled, until};
use crate::{Error, Kind, Result, World, reach};

/// How long the first connection is tried for: whoever started us waits.
const FIRST: Duration = Duration::from_secs(10);
/// How long a lost connection is tried for before the watcher ends.
const LOST: Duration = Duration::from_secs(30);
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

/// Connects, follows the engine, and connects again, until SSH stays lost.
async fn hold(
    world: &World,
    name: &HostName,
    paths: &MachinePaths,
    board: &mut Board,
    link: &watch::Sender<Option<Host>>,
) -> Result<()> {
    let mut patience = FIRST;
    loop {
        let (connection, engine_port) = connect(world, name, paths, patience).await?;
        patience = LOST;
        let host = Host { connection, engine_port, stalled: Arc::new(Notify::new()), refused: Arc::default() };
        link.send_replace(Some(host.clone()));
        if let Lane::Lost = follow(board, paths, &host).await? {
            link.send_replace(None);
            board.trouble(&Error::failure("the SSH connection was lost; connecting again"))?;
        }
    }
}

/// Why another SSH connection is needed.
enum Lane {
    /// This one is gone.
    Lost,
    /// A client that takes nothing blocks it; it lives on for those who use it.
    Stalled,
}

async fn connect(
    world: &World,
    name: &HostName,
    paths: &MachinePaths,
    patience: Duration,
) -> Result<(Connection, u16)> {
    let what = format!("SSH to machine \"{name}\"");
    let wait = Wait { what: &what, deadline: patience, every: TICK, cancel: &world.cancel };
    until(wait, || async {
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
            Err(e) if e.transient => Probe::NotYet(e),
            Err(e) => Probe::Never(e),
        }
    })
    .await
}

/// Keeps the listeners as the engine's list says, for as long as this SSH connection serves.
async fn follow(board: &mut Board, paths: &MachinePaths, host: &Host) -> Result<Lane> {
    let mut follower = Some(Follower::start(paths.clone(), board.state.engine_port));
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tried = Instant::now();
    loop {
        tokio::select! {
            heard = next(&mut follower) => match heard {
                Some(Ok(list)) => board.show(list).await?,
                Some(Err(e)) => {
                    follower = None;
                    let why = host.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    board.trouble(&why.map_or(e, Error::failure))?;
                }
                // Its round is over; the next tick begins another.
                None => follower = None,
            },
            _ = tick.tick() => {
                if host.connection.is_closed() {
                    return Ok(Lane::Lost);
                }
                if follower.is_none() {
                    follower = Some(Follower::start(paths.clone(), board.state.engine_port));
                }
                if board.has_taken() && tried.elapsed() >= TAKEN {
                    tried = Instant::now();
                    board.settle().await?;
                }
            }
            () = host.stalled.notified() => return Ok(Lane::Stalled),
        }
    }
}

async fn next(follower: &mut Option<Follower>) -> Option<Result<Published>> {
    match follower {
        Some(follower) => follower.next().await,
        None => std::future::pending().await,
    }
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

/// The listeners, and what is written down about them.
struct Board {
    path: PathBuf,
    state: Forwards,
    written: Option<Forwards>,
    published: Published,
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
        let mut engine = None;
        for port in [known, last, Some(0)].into_iter().flatten() {
            match Listener::open(port, To::Engine, link.clone()).await {
                Ok(listener) => {
                    engine = Some(listener);
                    break;
                }
                Err(e) if port == 0 => {
                    return Err(Error::failure("no port of 127.0.0.1 can be listened on").caused_by(&e));
                }
                Err(_) => {}
            }
        }
        let engine = engine.ok_or_else(|| Error::failure("no port of 127.0.0.1 can be listened on"))?;
        let state = Forwards {
            pid: std::process::id(),
            version: world.version.clone(),
            engine_port: engine.port,
            ..Forwards::default()
        };
        let mut board = Self {
            path: paths.forwards(),
            state,
            written: None,
            published: Published::default(),
            open: BTreeMap::new(),
            link,
            _engine: engine,
        };
        board.write()?;
        Ok(board)
    }

    /// The engine has said what it publishes.
    async fn show(&mut self, published: Published) -> Result<()> {
        self.published = published;
        self.state.ready = true;
        self.state.trouble = None;
        self.settle().await
    }

    /// Makes the listeners what the last list wants, as far as this computer lets us.
    async fn settle(&mut self) -> Result<()> {
        let wanted = self.published.wanted.clone();
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
        for (port, forward) in wanted {
            if self.open.contains_key(&port) {
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
        self.state.forwards = self.open.values().map(|(forward, _)| forward.clone()).collect();
        self.state.refusals = refusals;
        self.write()
    }

    /// Whether a port may become free.
    fn has_taken(&self) -> bool {
        self.state.refusals.iter().any(|refusal| refusal.reason == Reason::PortTaken)
    }

    /// Something is wrong; what is carried stays as it is.
    fn trouble(&mut self, e: &Error) -> Result<()> {
        self.state.ready = false;
        self.state.trouble =
            Some(format!("{e}: {}", e.root_cause())).filter(|_| !e.causes.is_empty()).or_else(|| Some(e.to_string()));
        self.write()
    }

    /// Nothing is carried any more. The machine's folder may be gone: then there is nothing to write.
    fn clear(&mut self, why: Option<&Error>) {
        self.open.clear();
        self.state.forwards.clear();
        self.state.refusals.clear();
        self.state.ready = false;
        self.state.trouble = why.map(|e| e.root_cause().to_owned());
        let _ = self.write();
    }

    fn write(&mut self) -> Result<()> {
        if self.written.as_ref() != Some(&self.state) {
            self.state.write(&self.path)?;
            self.written = Some(self.state.clone());
        }
        Ok(())
    }
}
