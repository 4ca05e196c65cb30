//! Packages of the distribution on a machine's host: its engine adopted or replaced.

use std::time::Duration;

use machine_tests::{Suite, until};

use crate::common;
use crate::neighbours::{assert_same, inventory};
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
pub(crate) fn send(site: &Site, files: &str) {
    let _ = site.env.write(".ssh/lab_known_hosts", &format!("{} {}\n", site.host.ip(), site.host.host_key()));
    let (key, ip) = (site.host.key().display().to_string(), site.host.ip());
    let options =
        "-q -F none -o BatchMode=yes -o HostKeyAlgorithms=ssh-ed25519 -o UserKnownHostsFile=$HOME/.ssh/lab_known_hosts";
    site.env.sh(&format!("scp {options} -i {key} {files} root@{ip}:/root/")).success();
}

/// Installs Debian's packages on the host, from the archive that this computer uses.
#[track_caller]
pub(crate) fn install(site: &Site, packages: &[&str]) {
    site.env.sh(&format!("mkdir -p debs && cd debs && apt-get -qq download {}", packages.join(" "))).success();
    send(site, "debs/*.deb");
    // What a server has and the lab's host lacks (adduser, …) is not needed here.
    let script = "cd /root && DEBIAN_FRONTEND=noninteractive dpkg --force-depends -i *.deb </dev/null 2>&1";
    site.host.exec(script).success();
    // On a busy computer what they start may be on its way yet, and tries again where it came too late.
    until("the host's units to be at rest", Duration::from_secs(180), || {
        let moving = "systemctl list-units --plain --no-legend --no-pager --state=activating,deactivating,reloading; \
                      systemctl list-jobs --no-legend --no-pager";
        let seen = site.host.exec(moving).stdout;
        if seen.trim().is_empty() { Ok(()) } else { Err(seen) }
    });
}

/// A container `c1` of the host's own engine, made on the host.
#[track_caller]
fn start_c1(site: &Site) -> String {
    let archive = common::root_archive(&site.env.home());
    site.env.sh(&format!("xz -dkf {}", archive.display())).success();
    send(site, "root.tar");
    site.on_host("docker import /root/root.tar busybox && docker run -d --name c1 busybox sleep 3600");
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
    refused.says(&[
        "the host has an engine that machine did not install",
        "hint: --adopt keeps it and adds TLS; --replace puts the bundled engine in its place\n",
    ]);
    site.machine(&["rm", "-y", "web-1"]);
    assert_eq!(untouched(&site), before);

    site.create(&["--adopt"]);
    assert!(site.version().starts_with("20.10."), "{}", site.version());
    let exe = site.on_host("readlink /proc/$(systemctl show -p MainPID --value docker.service)/exe");
    assert_eq!(exe, "/usr/sbin/dockerd");
    assert_eq!(c1(&site), container, "the container was restarted");
    let again = site.machine(&["provision", "web-1"]);
    assert!(again.stderr.contains("start-engine … already so"), "{again}");
    site.machine(&["set", "web-1", "--engine-label", "a=1"]);
    assert!(site.docker("info -f '{{.Labels}}'").contains("a=1"));
    site.env.run(&["upgrade", "web-1"]).failure(2).says(&[
        "error: the engine of \"web-1\" is the host's own (--adopt)",
        "hint: upgrade it with the host's package manager\n",
    ]);
    site.machine(&["rm", "-y", "web-1"]);
    assert_eq!(untouched(&site), before);
    assert_eq!(c1(&site), container, "the container was restarted");
}

/// A drop-in of the owner's, and flags in the package's own file, a listener among them.
const OWN_FLAGS: &str = r#"mkdir -p /etc/systemd/system/docker.service.d
cat >/etc/systemd/system/docker.service.d/data.conf <<'EOF'
[Service]
ExecStart=
ExecStart=/usr/sbin/dockerd -H fd:// \
    --containerd=/run/containerd/containerd.sock --data-root /var/lib/docker/elsewhere $DOCKER_OPTS
EOF
echo 'DOCKER_OPTS="-H unix:///run/other.sock --dns 192.0.2.53"' >/etc/default/docker
systemctl daemon-reload && systemctl restart docker.service"#;

#[test]
fn h2_an_adopted_engine_keeps_what_its_owner_set() {
    let Some(site) = Site::open_on(Suite::Bookworm) else { return };
    install(&site, &ENGINE);
    site.on_host(OWN_FLAGS);
    let (container, before) = (start_c1(&site), untouched(&site));
    let flags = || site.on_host("tr '\\0' ' ' </proc/$(systemctl show -p MainPID --value docker.service)/cmdline");

    site.create(&["--adopt"]);
    assert_eq!(site.docker("ps -a --format '{{.Names}}'"), "c1");
    assert_eq!(site.docker("info -f '{{.DockerRootDir}}'"), "/var/lib/docker/elsewhere");
    assert_eq!(c1(&site), container, "the container was restarted");
    assert_eq!(flags(), "/usr/sbin/dockerd --data-root /var/lib/docker/elsewhere --dns 192.0.2.53");
    assert!(site.machine(&["provision", "web-1"]).stderr.contains("start-engine … already so"));

    // `systemctl edit` writes override.conf, and its command counts from the next provision on.
    let dir = "/etc/systemd/system/docker.service.d";
    let edit = format!("sed 's/--data-root/--debug --data-root/' {dir}/data.conf >{dir}/override.conf");
    site.on_host(&format!("{edit} && systemctl daemon-reload"));
    site.machine(&["provision", "web-1"]);
    assert_eq!(flags(), "/usr/sbin/dockerd --debug --data-root /var/lib/docker/elsewhere --dns 192.0.2.53");
    assert_eq!(site.docker("ps -a --format '{{.Names}}'"), "c1");

    // What is read after ours is named, and nothing is changed.
    site.on_host(&format!("mv {dir}/override.conf {dir}/zzz.conf && systemctl daemon-reload"));
    site.env.run(&["provision", "web-1"]).failure(2).says(&[&format!("{dir}/zzz.conf sets ExecStart")]);
    site.on_host(&format!("rm {dir}/zzz.conf && systemctl daemon-reload"));
    site.machine(&["provision", "web-1"]);

    site.machine(&["rm", "-y", "web-1"]);
    assert_eq!(untouched(&site), before);
    assert_eq!(site.on_host("docker ps -a --format '{{.Names}}'"), "c1");
    assert_eq!(c1(&site), container, "the container was restarted");
}

#[test]
fn h2_an_engine_that_cannot_be_kept_as_it_is_is_refused() {
    let Some(site) = Site::open_on(Suite::Bookworm) else { return };
    install(&site, &ENGINE);
    site.on_host("echo 'DOCKER_OPTS=--label=a=b' >/etc/default/docker && systemctl restart docker.service");
    let (container, before) = (start_c1(&site), untouched(&site));
    let refused = common::create(&site.env, "web-1", &site.host, &["--adopt"]).run();
    refused.failure(2).says(&[
        "error: --label of the host's engine stands where machine sets it too",
        "  caused by: /etc/default/docker has --label=a=b",
        "hint: move it to /etc/docker/daemon.json, where both are merged",
    ]);
    assert_eq!(untouched(&site), before);
    assert_eq!(c1(&site), container);
}

#[test]
fn a_packaged_engine_is_replaced() {
    let Some(site) = Site::open_on(Suite::Bookworm) else { return };
    install(&site, &ENGINE);
    let container = start_c1(&site);
    site.create(&["--replace"]);
    assert!(site.version().starts_with("26.1."), "{}", site.version());
    let exe = site.on_host("readlink /proc/$(systemctl show -p MainPID --value docker.service)/exe");
    assert!(exe.starts_with("/opt/machine/engine/"), "{exe}");
    assert_eq!(c1(&site), container, "the container was restarted");
    site.is_settled();
    // As on a host of an earlier release, which wrote no layout down: it stays what it is.
    site.on_host("sed -i /^layout=/d /opt/machine/owner && rm -r /opt/machine/before && ln -s /opt/machine/engine/current/bin/runc /usr/local/bin/runc");
    site.machine(&["set", "web-1", "--engine-label", "a=1"]);
    assert_eq!(
        site.on_host("grep layout /opt/machine/owner; ls /etc/systemd/system/*containerd.service"),
        "layout=1\n/etc/systemd/system/containerd.service"
    );
    assert_eq!(c1(&site), container, "the container was restarted");
    assert_eq!(site.on_host("ls /usr/local/bin"), "");
}

/// A package of Debian's binaries in the layout of Docker's own: everything in /usr/bin, units in /usr/lib, CRI switched off in
/// /etc/containerd/config.toml.
const DOCKER_CE: &str = r#"set -e; mkdir -p parts ce/DEBIAN && cd parts && apt-get -qq download docker.io containerd runc tini && cd ..
for deb in parts/*.deb; do dpkg-deb -x $deb ce; done
mv ce/usr/sbin/dockerd ce/usr/bin/dockerd
rm -rf ce/etc ce/lib ce/usr/lib/systemd ce/usr/share/doc
mkdir -p ce/etc/containerd ce/usr/lib/systemd/system
echo 'disabled_plugins = ["cri"]' >ce/etc/containerd/config.toml
printf '[Unit]\nAfter=network.target\n[Service]\nType=notify\nExecStart=/usr/bin/containerd\nKillMode=process\nDelegate=yes\n[Install]\nWantedBy=multi-user.target\n' \
    >ce/usr/lib/systemd/system/containerd.service
printf '[Socket]\nListenStream=/run/docker.sock\nSocketMode=0660\nSocketGroup=docker\n[Install]\nWantedBy=sockets.target\n' \
    >ce/usr/lib/systemd/system/docker.socket
printf '[Unit]\nAfter=containerd.service\nRequires=docker.socket\nWants=containerd.service\n[Service]\nType=notify\nExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock\nExecReload=/bin/kill -s HUP $MAINPID\nKillMode=process\nDelegate=yes\n[Install]\nWantedBy=multi-user.target\n' \
    >ce/usr/lib/systemd/system/docker.service
printf 'Package: docker-ce\nVersion: 5:20.10\nArchitecture: all\nMaintainer: test <t@example>\nDescription: test\n' >ce/DEBIAN/control
printf '#!/bin/sh\ngroupadd -f --system docker\nsystemctl daemon-reload\nsystemctl enable -q --now containerd.service docker.socket docker.service || :\n' >ce/DEBIAN/postinst
chmod 0755 ce/DEBIAN/postinst; mkdir debs && dpkg-deb -Znone -b ce debs/docker-ce.deb"#;

#[test]
fn h1_dockers_own_package_is_adopted_and_let_go_as_it_was() {
    let Some(site) = Site::open_on(Suite::Bookworm) else { return };
    site.env.sh(DOCKER_CE).success();
    install(&site, &ENGINE[4..]);
    let (container, before) = (start_c1(&site), inventory(&site));
    common::create(&site.env, "web-1", &site.host, &[])
        .run()
        .failure(1)
        .says(&["found /usr/bin/dockerd", "--adopt keeps it"]);
    site.machine(&["rm", "-y", "web-1"]);
    assert_same(&before, &inventory(&site));
    site.create(&["--adopt", "--engine-label", "a=1"]);
    assert!(site.docker("info -f '{{.Labels}}'").contains("a=1"));
    assert_eq!(c1(&site), container, "the container was restarted");
    site.machine(&["rm", "-y", "web-1"]);
    assert_same(&before, &inventory(&site));
    assert_eq!(c1(&site), container, "the container was restarted");
}

#[test]
fn h1_a_replaced_engine_comes_back() {
    let Some(site) = Site::open_on(Suite::Bookworm) else { return };
    install(&site, &ENGINE);
    let before = inventory(&site);
    site.create(&["--replace"]);
    assert!(site.version().starts_with("26.1."), "{}", site.version());
    // In the place of another: its containerd's names, too.
    assert_eq!(site.record("{{.installed.layout}}"), "1");
    site.machine(&["rm", "-y", "--uninstall", "web-1"]);
    assert_same(&before, &inventory(&site));
    assert!(site.on_host("docker version -f '{{.Server.Version}}'").starts_with("20.10."));
}
