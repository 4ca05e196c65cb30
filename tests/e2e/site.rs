//! A machine on a host of the lab with containers in it: what the stories about changing an engine start from.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use machine_tests::{Env, HostOptions, Lab, LabHost, Output, Suite, until};

use crate::common;

/// One user, one host, one machine `web-1`.
pub(crate) struct Site {
    pub(crate) env: Env,
    pub(crate) host: LabHost,
    _lab: Lab,
}

impl Site {
    /// A host without an engine yet; `None` where this computer cannot have a lab.
    pub(crate) fn open() -> Option<Self> {
        Self::open_on(Suite::default())
    }

    /// The same on another Debian.
    pub(crate) fn open_on(suite: Suite) -> Option<Self> {
        let lab = Lab::open()?;
        let host = lab.host(HostOptions { suite, ..HostOptions::default() });
        Some(Self { env: common::env(&lab), host, _lab: lab })
    }

    /// `machine create web-1 -d generic …`, which succeeds.
    #[track_caller]
    pub(crate) fn create(&self, more: &[&str]) -> Output {
        common::create(&self.env, "web-1", &self.host, more).run().success()
    }

    /// `machine …`, which succeeds.
    #[track_caller]
    pub(crate) fn machine(&self, args: &[&str]) -> Output {
        self.env.run(args).success()
    }

    /// `docker …` on the machine, over TLS, as a user would; its stdout.
    #[track_caller]
    pub(crate) fn docker(&self, args: &str) -> String {
        self.env.sh(&format!("docker $(machine config web-1) {args}")).success().stdout.trim().to_owned()
    }

    /// Something on the host, seen from the side.
    #[track_caller]
    pub(crate) fn on_host(&self, script: &str) -> String {
        self.host.exec(script).success().stdout.trim().to_owned()
    }

    /// A field of the record.
    #[track_caller]
    pub(crate) fn record(&self, format: &str) -> String {
        self.machine(&["inspect", "web-1", "--format", format]).stdout.trim().to_owned()
    }

    /// Makes image `busybox` on the machine.
    #[track_caller]
    pub(crate) fn import_busybox(&self) {
        let tar = common::root_archive(&self.env.home());
        let _ = self.docker(&format!("import {} busybox", tar.display()));
    }

    /// Starts container `c1`, which serves `kept` at port 8080 and writes a line each second.
    #[track_caller]
    pub(crate) fn start_c1(&self) {
        self.import_busybox();
        let _ = self.docker("network create n1");
        let _ = self.docker("volume create v1");
        let work = "echo kept >/data/index.html; (while :; do echo tick; sleep 1; done) & exec httpd -f -p 80 -h /data";
        let _ =
            self.docker(&format!("run -d --name c1 --network n1 -v v1:/data -p 8080:80 --init busybox sh -c '{work}'"));
        until("the published port", Duration::from_secs(10), || ask(self.port(), Duration::from_secs(1)));
    }

    /// Where `c1` is reached.
    pub(crate) fn port(&self) -> SocketAddr {
        (self.host.ip(), 8080).into()
    }

    /// The process of container `c1` on the host; it stays for as long as the container is not restarted.
    #[track_caller]
    pub(crate) fn c1(&self) -> String {
        let pid = self.docker("inspect -f '{{.State.Pid}} {{.State.Status}} {{.RestartCount}}' c1");
        assert!(pid.ends_with(" running 0"), "c1: {pid}");
        pid
    }

    /// The engine's version.
    #[track_caller]
    pub(crate) fn version(&self) -> String {
        self.docker("version -f '{{.Server.Version}}'")
    }

    /// dockerd's process on the host.
    #[track_caller]
    pub(crate) fn dockerd(&self) -> String {
        self.on_host("systemctl show -p MainPID --value docker.service")
    }

    /// No change of the engine is open on the host, and the record names the engine that runs there.
    #[track_caller]
    pub(crate) fn is_settled(&self) {
        let left = self.on_host("cd /opt/machine; ls -d staged rollback* /run/machine.applying 2>/dev/null; find / -xdev -name '*.machine.[0-9]*' 2>/dev/null; true");
        assert_eq!(left, "");
        let digest = self.record("{{.installed.bundle}}");
        assert_eq!(self.on_host("readlink /opt/machine/engine/current"), digest);
        let again = self.machine(&["provision", "web-1"]);
        assert!(again.stderr.contains("start-engine … already so"), "{again}");
    }
}

/// Asks for `/` by HTTP.
fn ask(to: SocketAddr, within: Duration) -> Result<(), String> {
    let text = |e: std::io::Error| e.to_string();
    let mut stream = TcpStream::connect_timeout(&to, within).map_err(text)?;
    stream.set_read_timeout(Some(within)).map_err(text)?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    if answer.ends_with("kept\n") { Ok(()) } else { Err(format!("it says {answer:?}")) }
}

/// Asks a published port again and again from a thread, and remembers its longest silence.
pub(crate) struct Probe {
    over: Arc<AtomicBool>,
    thread: JoinHandle<(Duration, usize)>,
}

impl Probe {
    pub(crate) fn start(to: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let (mut longest, mut failed, mut last) = (Duration::ZERO, 0, Instant::now());
            while !seen.load(Ordering::Relaxed) {
                match ask(to, Duration::from_millis(500)) {
                    Ok(()) => {
                        longest = longest.max(last.elapsed());
                        last = Instant::now();
                    }
                    Err(_) => failed += 1,
                }
                std::thread::park_timeout(Duration::from_millis(20));
            }
            (longest.max(last.elapsed()), failed)
        });
        Self { over, thread }
    }

    /// The longest time without an answer, and how many questions had none.
    #[track_caller]
    pub(crate) fn end(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        let (longest, failed) = self.thread.join().expect("the probe goes on whatever it meets");
        #[expect(clippy::print_stderr, reason = "the measured time, for whoever reads the log")]
        {
            eprintln!("the published port was silent for {longest:?} at most; {failed} questions had no answer");
        }
        longest
    }
}

/// `dir:…` whose dockerd is this shell script; its other programs are those of the machine's own engine.
#[track_caller]
pub(crate) fn engine_with_dockerd(site: &Site, script: &str) -> String {
    let digest = site.record("{{.installed.bundle}}");
    let put = |name: &str, script: &str| executable(&site.env.write(&format!("engine/bin/{name}"), script));
    for name in ["containerd", "containerd-shim-runc-v2", "docker", "docker-init", "docker-proxy", "runc"] {
        put(name, &format!("#!/bin/sh\nexec /opt/machine/engine/{digest}/bin/{name} \"$@\"\n"));
    }
    put("dockerd", script);
    "dir:engine".to_owned()
}

fn executable(path: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("a file of our own");
}
