//! A host of the lab: a system container with systemd and sshd, and an address of its own. Main type: [`LabHost`].

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::env::put;
use crate::lab::{Engine, finish, finish_as};
use crate::network::Network;
use crate::{Output, until};

/// A host is up in a second or two; with many starting on two busy cores it takes longer.
const UP: Duration = Duration::from_secs(120);

/// Which Debian.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Suite {
    /// Debian 12: glibc 2.36, systemd 252.
    Bookworm,
    /// Debian 13: glibc 2.41, systemd 257.
    #[default]
    Trixie,
}

impl Suite {
    /// As Debian's archive names it.
    pub fn codename(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }
}

/// What is process 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Init {
    /// systemd, as on a server.
    #[default]
    Systemd,
    /// sshd alone: a host that cannot run units.
    Sshd,
}

/// How a host differs from a fresh Debian 13 server. Each has the users `root`, `admin` (sudo without a password) and
/// `pw` (sudo with one), all with the lab's key.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    /// Which Debian.
    pub suite: Suite,
    /// What is process 1.
    pub init: Init,
    /// Its own name; `None` is the engine's choice.
    pub hostname: Option<String>,
    /// Where sshd listens; `None` is 22.
    pub ssh_port: Option<u16>,
    /// The network it is on; `None` is this test's ordinary one.
    pub network: Option<Arc<Network>>,
    /// No IPv4 address at all.
    pub ipv6_only: bool,
    /// Small disks: a folder and its size in MiB, `("/opt", 32)`.
    pub small_disks: Vec<(String, u32)>,
    /// A host key pair to start with (path of the private ed25519 key), as user-data would bring it.
    pub host_key: Option<PathBuf>,
}

/// A running host. Dropped, it is gone with its volumes.
#[derive(Debug)]
pub struct LabHost {
    engine: Engine,
    id: String,
    address: IpAddr,
    options: HostOptions,
    network: Arc<Network>,
    key: PathBuf,
    rules: Vec<Vec<String>>,
    config: TempDir,
}

impl LabHost {
    #[track_caller]
    pub(crate) fn start(engine: &Engine, image: &str, network: Arc<Network>, options: HostOptions, key: &Path) -> Self {
        let config = tempfile::Builder::new().prefix("machine-lab-host-").tempdir().expect("a temporary folder");
        let public = std::fs::read_to_string(key.with_extension("pub")).expect("the lab's public key");
        put(&config.path().join("authorized_keys"), &public);
        let port = options.ssh_port.unwrap_or(22);
        put(&config.path().join("sshd.conf"), &format!("Port {port}\nPasswordAuthentication no\nUseDNS no\n"));
        if let Some(host_key) = &options.host_key {
            std::fs::copy(host_key, config.path().join("ssh_host_ed25519_key")).expect("a host key to copy");
        }

        let (v4, v6) = network.take();
        let (owner, v4_text, v6_text) = (engine.owner_label(), v4.to_string(), v6.to_string());
        let mount = format!("{}:/etc/lab:ro", config.path().display());
        let mut args = vec!["run", "-d", "--label", &owner, "--network", network.name(), "--ip", &v4_text];
        args.extend(["--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--cap-drop", "SYS_TIME"]);
        args.extend(["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]);
        args.extend(["--cgroupns", "host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]);
        args.extend(["--tmpfs", "/run:exec,mode=755", "--tmpfs", "/tmp:exec,mode=1777"]);
        // overlay2 does not stack on overlay: the engine's data needs a real file system under it.
        args.extend(["-v", "/var/lib/docker", "-v", "/var/lib/containerd", "-v", &mount]);
        args.extend(["--stop-signal", if options.init == Init::Systemd { "SIGRTMIN+3" } else { "SIGTERM" }]);
        if network.options().ipv6 {
            args.extend(["--ip6", &v6_text]);
        }
        if Path::new("/lib/modules").is_dir() {
            args.extend(["-v", "/lib/modules:/lib/modules:ro"]);
        }
        if let Some(name) = &options.hostname {
            args.extend(["--hostname", name]);
        }
        let disks = options.small_disks.iter().map(|(path, mib)| format!("{path}:exec,size={mib}m,mode=755"));
        let disks = disks.collect::<Vec<_>>();
        args.extend(disks.iter().flat_map(|disk| ["--tmpfs", disk]));
        args.push(image);
        args.extend(match options.init {
            Init::Systemd => &["/sbin/init"][..],
            Init::Sshd => &["sh", "-c", "/usr/local/lib/lab/setup && exec /usr/sbin/sshd -D -e"],
        });
        let started = engine.docker(&args);
        // A container that was made but could not start stays: find it by what docker printed first.
        let id = started.stdout.trim().to_owned();
        let address = if options.ipv6_only { IpAddr::from(v6) } else { IpAddr::from(v4) };
        let key = key.to_owned();
        let host = Self { engine: engine.clone(), id, address, options, network, key, rules: Vec::new(), config };
        assert_eq!(started.code, 0, "no lab host: {}", started.stderr);
        host.come_up();
        host
    }

    /// Its address: directly reachable from this computer, nobody else's while it lives, the same after a restart.
    pub fn ip(&self) -> IpAddr {
        self.address
    }

    /// The port of its sshd.
    pub fn ssh_port(&self) -> u16 {
        self.options.ssh_port.unwrap_or(22)
    }

    /// The network it is on.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// The private key that all its users accept.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// The SHA256 fingerprint of its ed25519 host key, `SHA256:…`, read from the side.
    #[track_caller]
    pub fn host_key_fingerprint(&self) -> String {
        let line = self.exec("ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub").success().stdout;
        line.split(' ').nth(1).expect("size, fingerprint, comment, kind").to_owned()
    }

    /// Its ed25519 host key, `ssh-ed25519 AAAA…`, read from the side.
    #[track_caller]
    pub fn host_key(&self) -> String {
        let line = self.exec("cat /etc/ssh/ssh_host_ed25519_key.pub").success().stdout;
        line.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    /// Makes it a new host key and has sshd use it, as a rebuilt host would.
    #[track_caller]
    pub fn change_host_key(&self) {
        let script = "rm /etc/ssh/ssh_host_*; for kind in ed25519 ecdsa; do ssh-keygen -q -t $kind -N '' \
                      -f /etc/ssh/ssh_host_${kind}_key; done; systemctl restart ssh";
        self.exec(script).success();
        self.await_ssh();
    }

    /// Looks at or changes the host from the side, as root and without SSH. Not the program's way in.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    pub fn exec(&self, script: &str) -> Output {
        self.engine.docker(&["exec", &self.id, "sh", "-c", script])
    }

    /// Runs a command over the system's SSH client, its host key checked.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    #[track_caller]
    pub fn ssh(&self, user: &str, script: &str) -> Output {
        let known = self.config.path().join("known_hosts");
        put(&known, &format!("lab {}\n", self.host_key()));
        let mut command = Command::new("ssh");
        command.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "HostKeyAlias=lab",
        ]);
        command.args(["-o", "HostKeyAlgorithms=ssh-ed25519", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=10"]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", known.display())).arg("-i").arg(&self.key);
        command.args(["-p", &self.ssh_port().to_string(), "-l", user, &self.address.to_string(), script]);
        finish_as(format!("ssh {user}@{} {script:?}", self.address), &mut command)
    }

    /// Turns it off as its power button would; its disk stays.
    #[track_caller]
    pub fn stop(&self) {
        self.engine.docker(&["stop", "--time", "20", &self.id]).success();
    }

    /// Turns it on again and waits for its sshd.
    #[track_caller]
    pub fn power_on(&self) {
        self.engine.docker(&["start", &self.id]).success();
        self.come_up();
    }

    /// Reboots it and waits for its sshd.
    #[track_caller]
    pub fn restart(&self) {
        self.stop();
        self.power_on();
    }

    /// Cuts its power: nothing is told, nothing is synced.
    #[track_caller]
    pub fn cut_power(&self) {
        self.engine.docker(&["kill", &self.id]).success();
    }

    /// Stops every process in it: its address still answers TCP (the kernel does), but never SSH.
    #[track_caller]
    pub fn freeze(&self) {
        self.engine.docker(&["pause", &self.id]).success();
    }

    /// Lets it go on.
    #[track_caller]
    pub fn thaw(&self) {
        self.engine.docker(&["unpause", &self.id]).success();
    }

    /// Has a firewall before the host drop what comes for this TCP port. The host itself needs no iptables for it, and
    /// cannot see or undo it; stays over a restart.
    #[track_caller]
    pub fn drop_port(&mut self, port: u16) {
        self.add_rule(&["--in-interface", "eth0", "--protocol", "tcp", "--dport", &port.to_string()]);
    }

    /// Has a firewall drop everything that this computer sends it: reachable only through another host.
    #[track_caller]
    pub fn drop_from_here(&mut self) {
        let gateway = self.network.gateway().to_string();
        self.add_rule(&["--source", &gateway]);
    }

    /// Takes the firewall away.
    #[track_caller]
    pub fn open_firewall(&mut self) {
        for rule in std::mem::take(&mut self.rules) {
            self.iptables("-D", &rule);
        }
    }

    #[track_caller]
    fn add_rule(&mut self, matches: &[&str]) {
        let rule: Vec<_> = matches.iter().map(|&word| word.to_owned()).chain(["-j".into(), "DROP".into()]).collect();
        self.iptables("-I", &rule);
        self.rules.push(rule);
    }

    #[track_caller]
    fn iptables(&self, action: &str, rule: &[String]) {
        let program = if self.address.is_ipv6() { "ip6tables" } else { "iptables" };
        let mut words = vec![program, "--wait", action, "INPUT"];
        words.extend(rule.iter().map(String::as_str));
        self.in_network(&words).success();
    }

    /// Runs a tool of this computer on the host's network.
    #[track_caller]
    fn in_network(&self, words: &[&str]) -> Output {
        let pid = self.engine.docker(&["inspect", "--format", "{{.State.Pid}}", &self.id]).success().stdout;
        finish(Command::new("nsenter").args(["--target", pid.trim(), "--net", "--"]).args(words))
    }

    /// After every start: what does not live on the disk, then sshd.
    #[track_caller]
    fn come_up(&self) {
        if self.options.ipv6_only {
            self.in_network(&["ip", "-4", "address", "flush", "dev", "eth0"]).success();
        }
        if self.network.options().internal {
            // Older engines set a default route all the same and only filter what takes it.
            self.in_network(&["ip", "route", "flush", "exact", "0.0.0.0/0"]).success();
        }
        for rule in &self.rules {
            self.iptables("-I", rule);
        }
        // The firewall may be against us: then only its own view is left.
        if self.rules.is_empty() {
            self.await_ssh();
        } else {
            let script = format!("ss -Hltn sport = :{}", self.ssh_port());
            until("sshd, seen from the side", UP, || {
                let seen = self.exec(&script);
                if seen.stdout.contains("LISTEN") { Ok(()) } else { Err(seen.to_string()) }
            });
        }
    }

    #[track_caller]
    fn await_ssh(&self) {
        let to = SocketAddr::new(self.address, self.ssh_port());
        let id = &self.id[..12];
        until(&format!("sshd of lab host {id} at {to}"), UP, || {
            let mut stream =
                TcpStream::connect_timeout(&to, Duration::from_secs(2)).map_err(|error| error.to_string())?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|error| error.to_string())?;
            let mut banner = [0; 4];
            stream.read_exact(&mut banner).map_err(|error| error.to_string())?;
            if &banner == b"SSH-" { Ok(()) } else { Err(format!("it says {banner:?}")) }
        });
    }
}

impl Drop for LabHost {
    fn drop(&mut self) {
        if !self.id.is_empty() {
            let removed = self.engine.docker(&["rm", "--force", "--volumes", &self.id]);
            assert!(removed.code == 0 || std::thread::panicking(), "{}", removed.stderr);
        }
    }
}
