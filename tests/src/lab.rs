//! The lab: an engine of our own, and what runs on it. Main type: [`Lab`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tempfile::TempDir;

use crate::lab_host::{HostOptions, LabHost, Suite};
use crate::network::{Network, NetworkOptions};
use crate::registry::{Registry, RegistryTls};
use crate::{Output, skipped};

/// The label by which `tests/lab/engine sweep` finds what a dead test left.
const OWNER: &str = "machine-lab.owner";

/// The exit status by which the scripts say that this computer cannot have a lab.
const CANNOT: i32 = 3;

/// Real hosts for one test. What it makes is gone when it and what came from it are dropped.
#[derive(Debug)]
pub struct Lab {
    engine: Engine,
    keys: TempDir,
    images: Mutex<HashMap<Suite, String>>,
    networks: Mutex<HashMap<NetworkOptions, Arc<Network>>>,
}

/// The way to the lab's Docker engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    socket: Arc<str>,
}

impl Lab {
    /// The lab, its engine started where it does not run; `None` where this computer cannot have one, and then the
    /// test is noted as skipped.
    ///
    /// # Panics
    /// When the engine should start and does not.
    pub fn open() -> Option<Self> {
        crate::output::say_reasons_first();
        let socket = match script("engine", &["start"]) {
            Ok(socket) => socket,
            Err(why) => {
                skipped(&why);
                return None;
            }
        };
        let keys = tempfile::Builder::new().prefix("machine-lab-").tempdir().expect("a temporary folder");
        let made = finish(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"])
                .arg(keys.path().join("id")),
        );
        assert_eq!(made.code, 0, "no key for the lab: {}", made.stderr);
        Some(Self {
            engine: Engine { socket: socket.into() },
            keys,
            images: Mutex::default(),
            networks: Mutex::default(),
        })
    }

    /// The private key which every host of this lab accepts, for each of its users.
    pub fn key(&self) -> PathBuf {
        self.keys.path().join("id")
    }

    /// A folder that stays between runs, for what the program caches: `env.use_cache(&lab.cache())`.
    pub fn cache(&self) -> PathBuf {
        Self::shared_cache()
    }

    /// The same for tests that need no lab. The program's own folder in it is `machine`.
    pub fn shared_cache() -> PathBuf {
        folder().join("cache")
    }

    /// Starts a host and waits until its sshd answers.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn host(&self, options: HostOptions) -> LabHost {
        let network = options
            .network
            .clone()
            .unwrap_or_else(|| self.network(NetworkOptions { internal: false, ipv6: options.ipv6_only }));
        LabHost::start(&self.engine, &self.image(options.suite), network, options, &self.key())
    }

    /// The network of this test with these options: one each, made when first asked for.
    pub fn network(&self, options: NetworkOptions) -> Arc<Network> {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(networks.entry(options).or_insert_with(|| Arc::new(Network::create(&self.engine, options))))
    }

    /// Another network than any before, unlike [`Self::network`].
    pub fn separate_network(&self, options: NetworkOptions) -> Arc<Network> {
        Arc::new(Network::create(&self.engine, options))
    }

    /// Starts a registry on this computer's address of the network.
    #[track_caller]
    pub fn registry(&self, network: &Arc<Network>, tls: RegistryTls) -> Registry {
        Registry::start(network, tls)
    }

    /// The image of a host, built from Debian's packages when it is the first time.
    #[track_caller]
    fn image(&self, suite: Suite) -> String {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        let build = || script("image", &[suite.codename()]).unwrap_or_else(|why| panic!("no lab image: {why}"));
        images.entry(suite).or_insert_with(build).clone()
    }

    /// The docker client on the lab's own engine: the hosts from outside, as their provider would see them.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    pub fn docker(&self, args: &[&str]) -> Output {
        self.engine.docker(args)
    }
}

impl Engine {
    pub(crate) fn docker(&self, args: &[&str]) -> Output {
        let text = format!("lab: docker {}", args.join(" "));
        finish_as(text, Command::new("docker").args(["-H", &format!("unix://{}", self.socket)]).args(args))
    }

    /// `machine-lab.owner=PID:STARTTIME` of this process.
    pub(crate) fn owner_label(&self) -> String {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("a process can read its own state");
        // The name, in brackets, may hold anything; the start time is the 22nd field, 20th after it.
        let (_, fields) = stat.rsplit_once(") ").expect("the name ends so");
        let started = fields.split(' ').nth(19).expect("the kernel writes 52 fields");
        format!("{OWNER}={}:{started}", std::process::id())
    }
}

/// The lab's folder, by the same rule as in `tests/lab/engine`.
pub(crate) fn folder() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("MACHINE_LAB").unwrap_or_else(|| {
        let home = || var("HOME").expect("a home folder").join(".cache");
        var("XDG_CACHE_HOME").unwrap_or_else(home).join("machine-lab")
    })
}

/// Runs one of our scripts; its only line, or why this computer cannot.
fn script(name: &str, args: &[&str]) -> Result<String, String> {
    // At run time: a test binary may have been built in another checkout with the same cache.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let path = Path::new(&package).join("lab").join(name);
    let done = finish(Command::new(&path).args(args));
    match done.code {
        0 => Ok(done.stdout.trim().to_owned()),
        CANNOT => Err(done.stderr),
        _ => panic!("{} failed:\n{done}", path.display()),
    }
}

/// Runs a tool of the lab in the caller's own environment.
pub(crate) fn finish(command: &mut Command) -> Output {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let text = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    finish_as(text, command)
}

/// The same, told in other words: an address instead of a dozen options.
pub(crate) fn finish_as(text: String, command: &mut Command) -> Output {
    let start = Instant::now();
    let done = command
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {text}: {error}"));
    Output::new(text, done.status, &done.stdout, &done.stderr, start.elapsed())
}
