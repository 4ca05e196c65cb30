//! A user with an account at a simulated DigitalOcean. Main type: [`Cloud`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::simulators::digitalocean::Simulator;
use crate::simulators::frame::{Backing, Exchange};
use crate::{Cmd, Env, Lab, Output, Running, digitalocean_contract, skipped, until};

/// An empty home, a provider, and a token in the environment that must be seen nowhere else.
pub struct Cloud {
    simulator: Simulator,
    env: Env,
    token: String,
}

impl Cloud {
    /// A new user of a new account.
    pub fn new(backing: impl Backing + 'static) -> Self {
        let mut env = Env::new();
        // As long as a real one, and found nowhere else.
        let unique = format!("{:x}", md5::compute(env.home().as_os_str().as_encoded_bytes()));
        let token = format!("dop_v1_{unique}{unique}");
        let simulator = Simulator::start(&token, backing);
        env.set("DIGITALOCEAN_API_URL", simulator.url());
        env.set("DIGITALOCEAN_ACCESS_TOKEN", &token);
        env.set("SHELL", "/bin/sh");
        Self { simulator, env, token }
    }

    /// The same with the lab's engines in the cache.
    pub fn in_lab(lab: &Lab, backing: impl Backing + 'static) -> Self {
        let mut cloud = Self::new(backing);
        cloud.env.use_cache(&lab.cache());
        cloud
    }

    /// The provider.
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// The user.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// The same, to give them more, or to take something away.
    pub fn env_mut(&mut self) -> &mut Env {
        &mut self.env
    }

    /// The access token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Takes another token for the secret one, here and at the provider; the environment stays as it is.
    pub fn rotate(&mut self, token: &str) {
        token.clone_into(&mut self.token);
        self.simulator.rotate(token);
    }

    /// Runs `machine args…` to its end; the token is in nothing it says.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Output {
        self.judged(self.env.machine(args).deadline(Duration::from_secs(600)).run())
    }

    /// The same with this command line.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        self.judged(self.env.sh(script))
    }

    /// The token is not in what was said.
    ///
    /// # Panics
    /// When it is.
    #[track_caller]
    pub fn judged(&self, output: Output) -> Output {
        assert!(!format!("{}{}", output.stdout, output.stderr).contains(&self.token), "the token is in:\n{output}");
        output
    }

    /// Runs a command that is killed when the provider has said yes to the droplet, before it is told so; whether it was.
    pub fn run_killed_at_droplet(&self, command: Cmd) -> bool {
        let running = self.spawn_killed_at(command, |asked| asked.is_change() && asked.path == "/v2/droplets", 1);
        self.killed(running.wait())
    }

    /// Runs a command that is killed at its `n`-th call of any kind; if it never comes to that, it is ended when it says `last`.
    pub fn run_killed_at_call(&self, command: Cmd, n: usize, last: &str) -> bool {
        let mut running = self.spawn_killed_at(command, |_| true, n);
        let said = running.wait_for_or_end(last, Duration::from_secs(180));
        self.killed(running.kill()) && !said
    }

    fn spawn_killed_at(&self, command: Cmd, counts: fn(&Exchange) -> bool, n: usize) -> Running {
        let pid = Arc::new(AtomicI32::new(0));
        let (victim, counted) = (Arc::clone(&pid), AtomicUsize::new(0));
        self.simulator.kill_point(move |exchange| {
            if !counts(exchange) || counted.fetch_add(1, Ordering::SeqCst) + 1 != n {
                return false;
            }
            let pid = until("the process to be known", Duration::from_secs(10), || {
                Pid::from_raw(victim.load(Ordering::SeqCst)).ok_or_else(|| "not yet".to_owned())
            });
            kill_process(pid, Signal::KILL).expect("our own child can be killed");
            true
        });
        let running = command.spawn();
        pid.store(i32::try_from(running.pid()).expect("a process id"), Ordering::SeqCst);
        running
    }

    fn killed(&self, output: Output) -> bool {
        self.simulator.kill_point(|_| false);
        self.judged(output).signal == Some(9)
    }

    /// What is left at the provider: nothing, in the end.
    pub fn things(&self) -> Vec<String> {
        self.simulator.things()
    }

    /// How many of them are of this kind: `droplet`, `key`, …
    pub fn count(&self, kind: &str) -> usize {
        self.things().iter().filter(|thing| thing.split(' ').next() == Some(kind)).count()
    }

    /// Requests of this kind so far.
    pub fn sent(&self, method: &str, path: &str) -> usize {
        let exchanges = self.simulator.exchanges();
        exchanges.iter().filter(|exchange| exchange.method == method && exchange.path == path).count()
    }

    /// The end of the story: every exchange was as the vendor's document says, none was one too many, and the token is in
    /// no file of the user's.
    ///
    /// # Panics
    /// When it is not so.
    #[track_caller]
    pub fn end(self) {
        assert_eq!(self.simulator.over_limit(), 0, "the provider's limits were exceeded");
        let root = self.env.home().parent().expect("the home lies in the test's folder").to_owned();
        assert_eq!(holding(&root, &self.token), Vec::<PathBuf>::new(), "the token lies in files");
        match digitalocean_contract() {
            Some(contract) => assert_eq!(contract.violations(&self.simulator.exchanges()), Vec::<String>::new()),
            None => {
                skipped("the vendor's document (shared/specs/contract) is not here: exchanges are not held against it")
            }
        }
    }
}

/// Every file below `folder` whose bytes hold `text`.
///
/// # Panics
/// When there is no file at all: then nothing was judged.
pub fn holding(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of our own") {
            let entry = entry.expect("a folder of our own");
            let kind = entry.file_type().expect("our own files have a type");
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files += 1;
                let bytes = std::fs::read(entry.path()).expect("a file of our own");
                if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                    found.push(entry.path());
                }
            }
        }
    }
    assert!(files > 0, "nothing was looked at");
    found
}
