//! One host and one user, and what must be true of both however often a command was killed.

use std::time::Duration;

use machine_tests::{Cmd, Env, HostOptions, Lab, LabHost, until};

use super::CREATE;

/// What may stay in a store with one machine, finished.
const STORE: [&str; 23] = [
    "certs",
    "certs/ca-key.pem",
    "certs/ca.pem",
    "certs/cert.pem",
    "certs/key.pem",
    "locks",
    "locks/m-web-1",
    "locks/store",
    "machines",
    "machines/web-1",
    "machines/web-1/ca-key.pem",
    "machines/web-1/ca.pem",
    "machines/web-1/cert.pem",
    "machines/web-1/id_ed25519",
    "machines/web-1/id_ed25519.pub",
    "machines/web-1/journal.jsonl",
    "machines/web-1/key.pem",
    "machines/web-1/known_hosts",
    "machines/web-1/machine.json",
    "machines/web-1/server-key.pem",
    "machines/web-1/server.pem",
    "machines/web-1/ssh_config",
    "store.json",
];

/// One host, one user, and the program told of both.
pub(super) struct Story {
    pub(super) env: Env,
    pub(super) host: LabHost,
    ip: String,
    key: String,
    seen: String,
}

impl Story {
    pub(super) fn begin(lab: &Lab) -> Self {
        let host = lab.host(HostOptions::default());
        let mut env = Env::new();
        env.use_cache(&lab.cache());
        let (ip, key, seen) = (host.ip().to_string(), host.key().display().to_string(), host.host_key_fingerprint());
        Self { env, host, ip, key, seen }
    }

    pub(super) fn create(&self, more: &[&str]) -> Cmd {
        let mut args = vec!["create", "web-1", "-d", "generic", "--generic-ip-address", &self.ip];
        args.extend(["--generic-ssh-key", &self.key, "--generic-ssh-host-key", &self.seen]);
        args.extend(more);
        self.env.machine(&args)
    }

    pub(super) fn record(&self) -> String {
        std::fs::read_to_string(self.env.store().join("machines/web-1/machine.json")).expect("a record")
    }

    /// The steps that are finished, by the journal.
    pub(super) fn done(&self) -> Vec<&'static str> {
        let journal = self.env.store().join("machines/web-1/journal.jsonl");
        let text = std::fs::read_to_string(journal).unwrap_or_default();
        let finished = |step: &str| text.contains(&format!("\"event\":\"finished\",\"step\":\"{step}\"}}"));
        CREATE.into_iter().filter(|step| finished(step)).collect()
    }

    /// The engine's version, through the client; the host works.
    #[track_caller]
    pub(super) fn version(&self) -> String {
        let asked =
            self.env.sh("eval $(machine env --shell sh web-1) && docker version -f '{{.Server.Version}}'").success();
        asked.stdout.trim().to_owned()
    }

    /// One working host, a valid record, a docker context, and nothing else, anywhere.
    #[track_caller]
    pub(super) fn is_whole(&self) {
        let version = self.version();
        let inspected = self.env.run(&["inspect", "web-1", "--format", "{{.installed.version}}"]).success();
        assert_eq!(inspected.stdout.trim(), version);
        let context = self.env.docker(&["--context", "web-1", "version", "-f", "{{.Server.Version}}"]).success();
        assert_eq!(context.stdout.trim(), version);
        assert_eq!(self.env.store_files(), STORE);
        self.nothing_stray();
        let listed = self.host.exec("ls -A /opt/machine").success().stdout;
        assert_eq!(
            listed,
            "applied\napplied.list\napply.log\nbefore\ncontainerd\ncontainerd.toml\ndaemon.wanted.json\nengine\nowner\n"
        );
    }

    /// The machine is forgotten here, and on the host nothing of ours is left.
    #[track_caller]
    pub(super) fn is_uninstalled(&self) {
        self.is_forgotten();
        let left = self.host.exec(
            "ls -d /opt/machine /etc/docker/daemon.json /etc/docker/*.pem /etc/systemd/system/docker.* \
             /etc/systemd/system/*containerd.service 2>/dev/null; find /usr/local/bin -type l; \
             pgrep -l 'dockerd|containerd'",
        );
        assert_eq!(left.stdout, "", "left on the host");
    }

    #[track_caller]
    pub(super) fn is_forgotten(&self) {
        let machines = std::fs::read_dir(self.env.store().join("machines")).expect("the folder stays");
        assert_eq!(machines.count(), 0, "{:?}", self.env.store_files());
        let contexts = self.env.docker(&["context", "ls", "-q"]).success();
        assert_eq!(contexts.stdout, "default\n");
        let keys = self.env.home().join(".docker/contexts/tls");
        assert_eq!(std::fs::read_dir(&keys).map_or(0, Iterator::count), 0, "left in {}", keys.display());
        self.nothing_stray();
    }

    /// No half-written file here or there. What a killed command left running on the host may still
    /// be tidying up, or wait for a disk that other tests keep busy.
    #[track_caller]
    pub(super) fn nothing_stray(&self) {
        let here = std::fs::read_dir(self.env.tmp()).expect("our own folder").count();
        assert_eq!(here, 0, "files in TMPDIR");
        until("the host to be tidy", Duration::from_secs(120), || {
            let found = self.host.exec(
                "ls -d /opt/machine/.[!.]* /opt/machine/staged /opt/machine/rollback /opt/machine/engine/.[!.]* 2>/dev/null; \
                 find /etc/docker /etc/systemd/system /usr/local/bin /opt /tmp /var/tmp -xdev \
                     '(' -name '*.machine*' -o -name '*.tmp*' -o -name '*.[0-9][0-9]*' ')' \
                     ! -path '/opt/machine/engine/*/*' ! -path '*/systemd-private-*' 2>/dev/null",
            );
            if found.stdout.is_empty() { Ok(()) } else { Err(found.stdout) }
        });
    }

    /// Removes it all, so that the next round begins with a fresh host.
    #[track_caller]
    pub(super) fn uninstall(&self) {
        self.env.run(&["rm", "-y", "--uninstall", "web-1"]).success();
        self.is_uninstalled();
    }

    /// Removes it again after a kill: it may have been done already.
    #[track_caller]
    pub(super) fn remove_again(&self, args: &[&str]) {
        let again = self.env.run(args);
        if again.code != 0 {
            again.failure(4).says(&["machine \"web-1\" does not exist"]);
        }
    }
}
