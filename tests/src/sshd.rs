//! A real sshd of this computer's, on a loopback address of its own and with a configuration of the test's: a way to log in
//! that is set up in a tenth of a second. Main type: [`Sshd`].

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::env::{find, put};
use crate::{Env, until};

/// What every login gets to hear instead of the command that it asked for: who came in, and by which keys. Nothing is ever
/// run on this computer.
const GREETING: &str = "#!/bin/sh\n\
    by=$(while read -r method key; do [ -z \"$key\" ] || printf '%s\\n' \"$key\" | ssh-keygen -lf - | cut -d' ' -f2; \
    done <\"$SSH_USER_AUTH\")\n\
    echo \"logged in as $(id -un) by\" $by\n\
    exit 3\n";

/// A running sshd. Dropped, it is gone.
#[derive(Debug)]
pub struct Sshd {
    child: Child,
    address: Ipv4Addr,
    port: u16,
    folder: TempDir,
}

impl Sshd {
    /// Starts one at port 22 of an address that nobody else has. `config` comes before what every one has, so its word
    /// counts; `DIR` in it is [`Self::folder`].
    ///
    /// `None` where this computer has no sshd or may not start one as root does; says so.
    ///
    /// # Panics
    /// When it does not come up: with what it said.
    #[track_caller]
    pub fn start(config: &str) -> Option<Self> {
        Self::start_at(22, config)
    }

    /// The same at another port.
    #[track_caller]
    pub fn start_at(port: u16, config: &str) -> Option<Self> {
        Self::start_with(port, config, |_, _| {})
    }

    /// The same, with files of the test's own in its folder before it starts; its host key is there already, and its address
    /// is said.
    #[track_caller]
    pub fn start_with(port: u16, config: &str, prepare: impl FnOnce(&Path, Ipv4Addr)) -> Option<Self> {
        let sshd = find("sshd").or_else(|| Some(PathBuf::from("/usr/sbin/sshd")).filter(|path| path.is_file()));
        let (Some(sshd), true) = (sshd, rustix::process::geteuid().is_root()) else {
            machine_base::skipped("no sshd to start as root");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("machine-test-sshd-").tempdir().expect("a temporary folder");
        let dir = folder.path().display().to_string();
        let in_it = |name: &str| folder.path().join(name);
        let keygen = ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", &in_it("host").display().to_string()];
        let made = Command::new("ssh-keygen").args(keygen).status().expect("ssh-keygen is beside sshd");
        assert!(made.success(), "no host key");
        let address = loopback();
        prepare(folder.path(), address);
        put(&in_it("greeting"), GREETING);
        if !in_it("authorized_keys").exists() {
            put(&in_it("authorized_keys"), "");
        }
        let text = format!(
            "ListenAddress {address}\nPort {port}\n{config}\nHostKey DIR/host\nAuthorizedKeysFile DIR/authorized_keys\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nUseDNS no\nPasswordAuthentication no\n\
             ExposeAuthInfo yes\nForceCommand /bin/sh DIR/greeting\n"
        );
        put(&in_it("sshd_config"), &text.replace("DIR", &dir));
        // sshd wants its empty folder below /run, which is this computer's to have or not.
        let own_run = "mount -t tmpfs none /run && mkdir -m 0755 /run/sshd && exec \"$0\" -D -f \"$1\" -E \"$2\"";
        let child = Command::new("unshare")
            .args(["--mount", "sh", "-c", own_run])
            .arg(&sshd)
            .args([in_it("sshd_config"), in_it("log")])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare is part of every system");
        let mut sshd = Self { child, address, port, folder };
        until(&format!("sshd at {address}:{port}"), Duration::from_secs(30), || {
            assert_eq!(sshd.child.try_wait().ok().flatten(), None, "sshd ended: {}", sshd.log());
            let to = SocketAddr::from((address, port));
            TcpStream::connect_timeout(&to, Duration::from_secs(1)).map(drop).map_err(|e| e.to_string())
        });
        Some(sshd)
    }

    /// Its address.
    pub fn ip(&self) -> String {
        self.address.to_string()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its host key, `ssh-ed25519 AAAA…`.
    pub fn host_key(&self) -> String {
        std::fs::read_to_string(self.folder().join("host.pub")).expect("made at the start").trim().to_owned()
    }

    /// Its line in a known_hosts file.
    pub fn known(&self) -> String {
        let name = if self.port == 22 { self.ip() } else { format!("[{}]:{}", self.address, self.port) };
        format!("{name} {}\n", self.host_key())
    }

    /// Has it take this key, and no other.
    pub fn take(&self, key: &Path) {
        let public = std::fs::read_to_string(format!("{}.pub", key.display())).expect("a public half");
        put(&self.folder().join("authorized_keys"), &public);
    }

    /// What it noted.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that no other test has: by process and count, in a part of 127.0.0.0/8 that nobody uses.
fn loopback() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = (std::process::id() << 4) | (NEXT.fetch_add(1, Ordering::Relaxed) & 0xf);
    Ipv4Addr::from(0x7f40_0000 | (number & 0x003f_ffff))
}

/// An agent of the test's own, and the keys it holds. Dropped, it is gone.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    /// Starts one for this user, whose later commands find it.
    #[track_caller]
    pub fn start(env: &mut Env) -> Self {
        let agent = Self::apart(env, "agent");
        env.set("SSH_AUTH_SOCK", &agent.socket);
        agent
    }

    /// Starts one that nobody is told of.
    #[track_caller]
    pub fn apart(env: &Env, name: &str) -> Self {
        Self::apart_with(env, name, &[])
    }

    /// The same with variables of its own.
    #[track_caller]
    pub fn apart_with(env: &Env, name: &str, vars: &[(&str, &Path)]) -> Self {
        let socket = env.tmp().with_file_name("run").join(name);
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).envs(vars.iter().copied());
        let child = command.spawn();
        let agent = Self { child: child.expect("ssh-agent is beside ssh"), socket };
        until("the agent", Duration::from_secs(10), || {
            if agent.socket.exists() { Ok(()) } else { Err("no socket".to_owned()) }
        });
        agent
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Opens a key in it.
    #[track_caller]
    pub fn open(&self, env: &Env, key: &Path) {
        let add = env.command("ssh-add", &["-q", &key.display().to_string()]);
        add.env("SSH_AUTH_SOCK", &self.socket).run().success();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
