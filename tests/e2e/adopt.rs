//! Packages of the distribution on a machine's host: its engine adopted or replaced, its containerd beside ours
//! (research/engine.md §6).

use machine_tests::Suite;

use crate::common;
use crate::site::Site;

/// Debian's engine and what a minimal Debian 12 lacks for it.
const ENGINE: [&str; 12] = [
    "docker.io",
    "containerd",
    "runc",
    "tini",
    "iptables",
    "libip4tc2",
    "libip6tc2",
    "libxtables12",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftnl11",
    "libdevmapper1.02.1",
];

/// Puts files of this computer into `/root` of the host.
#[track_caller]
fn send(site: &Site, files: &str) {
    let _ = site.env.write(".ssh/lab_known_hosts", &format!("{} {}\n", site.host.ip(), site.host.host_key()));
    let (key, ip) = (site.host.key().display().to_string(), site.host.ip());
    let options =
        "-q -F none -o BatchMode=yes -o HostKeyAlgorithms=ssh-ed25519 -o UserKnownHostsFile=$HOME/.ssh/lab_known_hosts";
    let _ = site.env.sh(&format!("scp {options} -i {key} {files} root@{ip}:/root/")).success();
}

/// Installs Debian's packages on the host, from the archive that this computer uses.
#[track_caller]
fn install(site: &Site, packages: &[&str]) {
    let _ = site.env.sh(&format!("mkdir -p debs && cd debs && apt-get -qq download {}", packages.join(" "))).success();
    send(site, "debs/*.deb");
    // What a server has and the lab's host lacks (adduser, …) is not needed here.
    let script = "cd /root && DEBIAN_FRONTEND=noninteractive dpkg --force-depends -i *.deb </dev/null 2>&1";
    let _ = site.host.exec(script).success();
}

/// A container `c1` of the host's own engine, made on the host.
#[track_caller]
fn start_c1(site: &Site) -> String {
    let archive = common::root_archive(&site.env.home());
    let _ = site.env.sh(&format!("xz -dkf {}", archive.display())).success();
    send(site, "root.tar");
    let _ = site.on_host("docker import /root/root.tar busybox && docker run -d --name c1 busybox sleep 3600");
    c1(site)
}

/// Its process.
#[track_caller]
fn c1(site: &Site) -> String {
    site.on_host("docker inspect -f '{{.State.Pid}} {{.State.Status}} {{.RestartCount}}' c1")
}

/// What the package and its user have on the host.
#[track_caller]
fn untouched(site: &Site) -> String {
    site.on_host(
        "readlink /proc/$(systemctl show -p MainPID --value docker.service)/exe; \
         systemctl cat docker.service docker.socket containerd.service; ls -A /etc/docker; \
         ls -d /opt/machine 2>/dev/null; ls /usr/local/bin; ss -Hltn sport = :2376; docker info -f '{{.LiveRestoreEnabled}}'",
    )
}

#[test]
fn a_packaged_engine_is_adopted_and_let_go_as_it_was() {
    let Some(site) = Site::open_on(Suite::Bookworm) else { return };
    install(&site, &ENGINE);
    let (container, before) = (start_c1(&site), untouched(&site));
    let refused = common::create(&site.env, "web-1", &site.host, &[]).run();
    assert_ne!(refused.code, 0);
    let _ = refused.says(&[
        "the host has an engine that machine did not install",
        "hint: --adopt keeps it and adds TLS; --replace puts the bundled engine in its place\n",
    ]);
    let _ = site.machine(&["rm", "-y", "web-1"]);
    assert_eq!(untouched(&site), before);

    let _ = site.create(&["--adopt"]);
    assert!(site.version().starts_with("20.10."), "{}", site.version());
    let exe = site.on_host("readlink /proc/$(systemctl show -p MainPID --value docker.service)/exe");
    assert_eq!(exe, "/usr/sbin/dockerd");
    assert_eq!(c1(&site), container, "the container was restarted");
    let again = site.machine(&["provision", "web-1"]);
    assert!(again.stderr.contains("start-engine … already so"), "{again}");
    let _ = site.machine(&["set", "web-1", "--engine-label", "a=1"]);
    assert!(site.docker("info -f '{{.Labels}}'").contains("a=1"));
    let _ = site.env.run(&["upgrade", "web-1"]).failure(2).says(&[
        "error: the engine of \"web-1\" is the host's own (--adopt)",
        "hint: upgrade it with the host's package manager\n",
    ]);
    let _ = site.machine(&["rm", "-y", "web-1"]);
    assert_eq!(untouched(&site), before);
    assert_eq!(c1(&site), container, "the container was restarted");
}

#[test]
fn a_packaged_engine_is_replaced() {
    let Some(site) = Site::open_on(Suite::Bookworm) else { return };
    install(&site, &ENGINE);
    let container = start_c1(&site);
    let _ = site.create(&["--replace"]);
    assert!(site.version().starts_with("26.1."), "{}", site.version());
    let exe = site.on_host("readlink /proc/$(systemctl show -p MainPID --value docker.service)/exe");
    assert!(exe.starts_with("/opt/machine/engine/"), "{exe}");
    assert_eq!(c1(&site), container, "the container was restarted");
    site.is_settled();
}

#[test]
fn debians_containerd_installs_beside_ours() {
    let Some(site) = Site::open_on(Suite::Bookworm) else { return };
    let _ = site.create(&[]);
    site.start_c1();
    let container = site.c1();
    install(&site, &["containerd", "runc"]);
    assert_eq!(site.on_host("dpkg-query -W -f '${Status}' containerd"), "install ok installed");
    let exe = site.on_host("readlink /proc/$(systemctl show -p MainPID --value containerd.service)/exe");
    assert!(exe.starts_with("/opt/machine/engine/"), "{exe}");
    assert_eq!(site.c1(), container);
    site.is_settled();
}
