//! From a fresh host to containers: everything a Docker host consists of, through a plain docker client.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use machine_tests::{Env, HostOptions, Lab, LabHost, NetworkOptions, Output, RegistryTls, Suite, until};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::common;

/// Every way in which a client is told of the machine, as the beginning of a shell command.
fn ways(env: &Env, host: &LabHost) -> [String; 4] {
    let certs = env.store().join("machines/web-1").display().to_string();
    [
        "eval $(machine env web-1) && docker".to_owned(),
        "docker $(machine config web-1)".to_owned(),
        "docker --context web-1".to_owned(),
        format!(
            "docker -H tcp://{}:2376 --tlsverify --tlscacert {certs}/ca.pem --tlscert {certs}/cert.pem --tlskey {certs}/key.pem",
            host.ip()
        ),
    ]
}

/// One command through one way; what it printed.
#[track_caller]
fn through(env: &Env, way: &str, args: &str) -> String {
    env.sh(&format!("{way} {args}")).success().stdout.trim().to_owned()
}

/// A page of a container's web server, asked for from this computer.
fn page(at: SocketAddr) -> Result<String, String> {
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(2)).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|e| e.to_string())?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").map_err(|e| e.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
    if answer.contains("it works") { Ok(answer) } else { Err(answer) }
}

fn proxies(host: &LabHost) -> String {
    // Names of processes end after 15 letters; this one has 12.
    host.exec("grep -lx docker-proxy /proc/[0-9]*/comm 2>/dev/null | wc -l").success().stdout.trim().to_owned()
}

/// The folder of the engine that the host runs.
fn engine(host: &LabHost) -> String {
    host.exec("readlink -f /opt/machine/engine/current").success().stdout.trim().to_owned()
}

/// Each program that runs is the bundle's, and so is each library that is not the host's own libc or systemd.
fn everything_is_the_bundles(host: &LabHost, container: &str) {
    let engine = engine(host);
    let exe = |pid: &str| host.exec(&format!("readlink /proc/{pid}/exe")).success().stdout.trim().to_owned();
    let parent = host.exec(&format!("sed 's/.*) . //; s/ .*//' /proc/{container}/stat")).success().stdout;
    assert_eq!(exe(parent.trim()), format!("{engine}/bin/containerd-shim-runc-v2"), "a container's parent");
    for name in ["dockerd", "containerd"] {
        let pid = host.exec(&format!("systemctl show -p MainPID --value {}", unit(name))).success().stdout;
        assert_eq!(exe(pid.trim()), format!("{engine}/bin/{name}"));
        libraries(&engine, name, &host.exec(&format!("cat /proc/{}/maps", pid.trim())).success());
    }
    let proxy = host.exec("grep -lx docker-proxy /proc/[0-9]*/comm | head -1 | tr -dc 0-9").success().stdout;
    assert_eq!(exe(proxy.trim()), format!("{engine}/bin/docker-proxy"));
    // runc lives for an instant only: the dynamic linker says what it would load.
    libraries(&engine, "runc", &host.exec(&format!("LD_TRACE_LOADED_OBJECTS=1 {engine}/bin/runc")).success());
    assert_ne!(host.exec("command -v iptables").code, 0, "the host has no iptables of its own");
}

fn unit(program: &str) -> &str {
    if program == "dockerd" { "docker.service" } else { "machine-containerd.service" }
}

fn libraries(engine: &str, program: &str, told: &Output) {
    let found = told.stdout.split_whitespace().filter(|word| word.starts_with('/') && word.contains(".so"));
    for path in found.filter(|path| !path.starts_with(engine)) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let hosts_own = ["libc.", "libm.", "libdl.", "librt.", "libpthread.", "libresolv.", "libsystemd.", "ld-linux-"];
        // What libsystemd itself brings along on the host.
        let systemds = ["libcap.", "libgcrypt.", "libgpg-error.", "liblz4.", "liblzma.", "libzstd."];
        let known = hosts_own.iter().chain(&systemds).any(|prefix| name.starts_with(prefix));
        assert!(known, "{program} uses the host's {path}");
    }
}

/// A certificate of a CA that calls itself as ours does, and its key.
fn foreign_certificate(folder: &Path) {
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut ca = named("machine CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(ca, KeyPair::generate().unwrap());
    let mut client = named("client");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let pem = client.signed_by(&key, &issuer).unwrap().pem();
    fs::File::create(folder.join("foreign.pem")).unwrap().write_all(pem.as_bytes()).unwrap();
    fs::File::create(folder.join("foreign-key.pem")).unwrap().write_all(key.serialize_pem().as_bytes()).unwrap();
}

/// Only who has a certificate of our CA, made for clients, is let in.
fn nobody_else_gets_in(env: &Env, ip: IpAddr, folder: &Path) {
    foreign_certificate(folder);
    let machine = env.store().join("machines/web-1");
    let pair = |cert: &str, key: &str, at: &Path| [at.join(cert), at.join(key)].map(|path| path.display().to_string());
    let ca = machine.join("ca.pem").display().to_string();
    let url = format!("https://{ip}:2376/version");
    let ask = |more: &[&str]| env.command("curl", &[&["-sS", "--cacert", &ca, &url], more].concat()).run();

    let [cert, key] = pair("cert.pem", "key.pem", &machine);
    assert!(ask(&["--cert", &cert, "--key", &key]).success().stdout.contains("ApiVersion"));
    let mut refused = vec![ask(&[])];
    for [cert, key] in [pair("foreign.pem", "foreign-key.pem", folder), pair("server.pem", "server-key.pem", &machine)]
    {
        refused.push(ask(&["--cert", &cert, "--key", &key]));
    }
    for answer in refused {
        assert_ne!(answer.code, 0, "{answer}");
        assert_eq!(answer.stdout, "");
        assert!(answer.stderr.contains("alert"), "{answer}");
    }
    let plain = env.command("curl", &["-sS", &format!("http://{ip}:2376/version")]).run().success();
    assert_eq!(plain.stdout, "Client sent an HTTP request to an HTTPS server.\n");
}

/// Every file and folder on the host's own disk, without what runs or logs.
fn disk(host: &LabHost) -> String {
    let found = "find / -xdev \\( -path /tmp -o -path /run -o -path /proc -o -path /sys -o -path /dev -o -path /var/log \
                 -o -path /var/lib/systemd -o -path /var/lib/docker -o -path /var/lib/machine \\) -prune -o -print | sort";
    host.exec(found).success().stdout
}

/// What would tell of a change: all of ours with its times, and who runs. Of the engine's thousand files, a sum.
fn state(host: &LabHost) -> String {
    let list = "-printf '%p %m %u:%g %s %T@ %C@ %l\\n' | sort";
    let ours = format!("find /opt/machine -mindepth 1 -path '*/engine/*/*' -prune -o {list}");
    let settings = format!("find /etc/docker /etc/systemd/system /usr/local/bin {list}");
    let engine = format!("find /opt/machine/engine {list} | sha256sum");
    let script = format!("{ours}; {settings}; {engine}; systemctl show -p MainPID docker containerd");
    host.exec(&script).success().stdout
}

#[test]
fn a_fresh_debian_13_host_runs_everything_docker_has() {
    let Some(lab) = Lab::open() else { return };
    let network = lab.network(NetworkOptions::default());
    let (plain, secure) = (lab.registry(&network, RegistryTls::Plain), lab.registry(&network, RegistryTls::OwnCa));
    let host = lab.host(HostOptions::default());
    let fresh = disk(&host);
    let env = common::env(&lab);
    let ca = format!("{}={}", secure.name(), secure.ca().unwrap().display());
    let registries = ["--engine-insecure-registry", &plain.name(), "--engine-registry-ca", &ca];
    common::create(&env, "web-1", &host, &registries).run().success();

    // Told in four ways, it is the same engine.
    let ways = ways(&env, &host);
    let version = host.exec("docker version -f '{{.Server.Version}}'").success().stdout;
    for way in &ways {
        assert_eq!(through(&env, way, "version -f '{{.Server.Version}}'"), version.trim(), "{way}");
        assert_eq!(through(&env, way, "info -f '{{.Driver}} {{.LiveRestoreEnabled}}'"), "overlay2 false", "{way}");
    }
    let [by_env, by_config, by_context, by_flags] = ways.each_ref().map(String::as_str);

    // Images from files: a root file system, and a saved image.
    let folder = tempfile::tempdir().unwrap();
    let root = common::root_archive(folder.path());
    through(&env, by_env, &format!("import {} tools", root.display()));
    let saved = folder.path().join("tools.tar").display().to_string();
    through(&env, by_config, &format!("save -o {saved} tools"));
    through(&env, by_config, "rmi tools");
    through(&env, by_context, &format!("load -i {saved}"));

    // Containers: run, exec, health.
    let init = "run --rm --init tools sh -c 'cat /proc/1/comm; id -u'";
    assert_eq!(through(&env, by_flags, init), "docker-init\n0");
    assert_eq!(proxies(&host), "0");
    let run = "run -d --name site -p 18080:80 --health-cmd 'wget -q -O - http://127.0.0.1/index.html' --health-interval 1s \
               tools httpd -f -h /www";
    through(&env, by_env, run);
    assert_eq!(through(&env, by_config, "exec site cat /www/index.html"), "it works");
    until("the container to be healthy", Duration::from_secs(60), || {
        let health = through(&env, by_context, "inspect -f '{{.State.Health.Status}}' site");
        if health == "healthy" { Ok(()) } else { Err(health) }
    });

    // A published port is open to this computer, and has its proxy exactly as long.
    let at = SocketAddr::new(host.ip(), 18080);
    until("the published port", Duration::from_secs(20), || page(at));
    assert_ne!(proxies(&host), "0");
    let pid = through(&env, by_flags, "inspect -f '{{.State.Pid}}' site");
    everything_is_the_bundles(&host, &pid);
    through(&env, by_env, "rm -f site");
    assert_eq!(proxies(&host), "0");
    assert!(TcpStream::connect_timeout(&at, Duration::from_secs(2)).is_err(), "the port is still open");

    // Registries: one without TLS, one with a CA of its own.
    for (registry, way) in [(&plain, by_context), (&secure, by_flags)] {
        let name = format!("{}/tools:1", registry.name());
        through(&env, way, &format!("tag tools {name}"));
        through(&env, way, &format!("push {name}"));
        through(&env, way, &format!("rmi {name}"));
        through(&env, way, &format!("pull {name}"));
        assert_eq!(through(&env, way, &format!("run --rm {name} echo pulled")), "pulled");
    }

    assert_eq!(host.exec("stat -c '%U:%G %a' /run/docker.sock").success().stdout, "root:docker 660\n");
    nobody_else_gets_in(&env, host.ip(), folder.path());

    // Again is nothing new.
    through(&env, by_env, "run -d --name stays tools sleep 1000000");
    let pid = through(&env, by_env, "inspect -f '{{.State.Pid}}' stays");
    let before = state(&host);
    let again = common::create(&env, "web-1", &host, &registries).run().success();
    assert_eq!((again.stdout.as_str(), again.stderr.as_str()), ("", "web-1: already so\n"));
    env.run(&["create", "web-1"]).success().says(&["web-1: already so\n"]);
    env.run(&["provision", "web-1"]).success();
    let changed: Vec<_> =
        state(&host).lines().filter(|line| !before.lines().any(|old| old == *line)).map(str::to_owned).collect();
    assert_eq!(changed, [""; 0], "provision changed something");

    // Let go: the port closes, the rest stays.
    let rm = env.run(&["rm", "-y", "web-1"]).success();
    rm.says(&[
        "the engine and its containers stay on the host; its TCP port is closed (--uninstall removes the engine)",
    ]);
    assert!(TcpStream::connect_timeout(&(host.ip(), 2376).into(), Duration::from_secs(2)).is_err(), "the port is open");
    assert_eq!(host.exec("docker inspect -f '{{.State.Pid}}' stays").success().stdout.trim(), pid);
    assert_eq!(host.exec("ls /etc/docker/*.pem").code, 2, "keys stay behind");
    assert_eq!(env.docker(&["context", "ls", "-q"]).success().stdout, "default\n");

    // Taken up again, the container still runs; uninstalled, nothing of ours stays.
    common::create(&env, "web-1", &host, &registries).run().success();
    assert_eq!(through(&env, by_context, "inspect -f '{{.State.Pid}}' stays"), pid);
    let rm = env.run(&["rm", "-y", "--uninstall", "web-1"]).success();
    rm.says(&["the engine was uninstalled; images, containers and volumes stay in /var/lib/docker"]);
    let left = disk(&host);
    let left: Vec<_> = left.lines().filter(|path| !fresh.lines().any(|known| known == *path)).collect();
    assert_eq!(left, ["/etc/docker"; 0], "left behind");
    assert_eq!(
        host.exec("ls /var/lib/docker/overlay2 | wc -l").success().stdout.trim().parse::<u32>().unwrap().min(1),
        1
    );
    assert_eq!(host.exec("systemctl is-system-running").success().stdout, "running\n");
}

#[test]
fn a_fresh_debian_12_host_runs_containers() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions { suite: Suite::Bookworm, ..HostOptions::default() });
    let env = common::env(&lab);
    common::create(&env, "web-1", &host, &[]).run().success();
    let folder = tempfile::tempdir().unwrap();
    let root = common::root_archive(folder.path());
    let ways = ways(&env, &host);
    through(&env, &ways[0], &format!("import {} tools", root.display()));
    for way in &ways {
        assert_eq!(through(&env, way, "run --rm tools echo out"), "out", "{way}");
    }
    assert_eq!(through(&env, &ways[2], "info -f '{{.Driver}}'"), "overlay2");
    through(&env, &ways[1], "run -d --name site -p 18080:80 tools httpd -f -h /www");
    until("the published port", Duration::from_secs(20), || page(SocketAddr::new(host.ip(), 18080)));
    let pid = through(&env, &ways[3], "inspect -f '{{.State.Pid}}' site");
    everything_is_the_bundles(&host, &pid);
    assert_eq!(host.exec("stat -c '%U:%G %a' /run/docker.sock").success().stdout, "root:docker 660\n");
    nobody_else_gets_in(&env, host.ip(), folder.path());
}

#[test]
fn an_engine_that_must_copy_every_layer_is_reported() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions::default());
    // Without its volume the folder lies on the lab host's own root, an overlay: overlay2 does not stack on that.
    host.exec("umount /var/lib/docker && stat -f -c %T /var/lib/docker").success();
    let env = common::env(&lab);
    let warning = "the engine stores images with vfs, a full copy per layer: /var/lib/docker is on a file system that \
                   overlay2 cannot use";
    common::create(&env, "web-1", &host, &[]).run().success().says(&[warning]);
    assert_eq!(through(&env, "docker --context web-1", "info -f '{{.Driver}}'"), "vfs");
}
