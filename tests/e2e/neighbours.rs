//! Hosts with a life of their own: what others have there is the same while our engine runs, and after it has gone.

use machine_tests::Suite;

use crate::adopt::{install, send};
use crate::common;
use crate::site::Site;

/// Everything that stays on a host: files with their sums, modes, owners and links; units and how they are; who listens. Not
/// what runs or logs, nor the engine's images and containers, which stay by design.
pub(crate) fn inventory(site: &Site) -> String {
    site.on_host(
        r#"skip='-path /tmp -o -path /run -o -path /proc -o -path /sys -o -path /dev -o -path /root -o -path /var/log -o -path /var/tmp
              -o -path /var/lib/systemd -o -path /var/lib/docker -o -path /var/lib/machine -o -path /var/cache
              -o -path /etc/group- -o -path /etc/gshadow-'
        find /usr -xdev -path /usr/local -prune -o -printf '%p %y %m %u:%g %l\n' | sort | sha256sum
        find / -xdev -path /usr -prune -o \( $skip \) -prune -o -printf '%p %y %m %u:%g %l\n' | sort
        find /usr/local -printf '%p %y %m %u:%g %l\n' | sort
        find /etc /opt /usr/local /srv -xdev \( $skip \) -prune -o -type f -exec sha256sum {} + | sort -k2
        systemctl list-unit-files --no-legend --no-pager --type=service,socket | grep -v '^user-\?runtime\|^session' | sort
        systemctl list-units --all --plain --no-legend --no-pager --type=service,socket |
            awk '$3 == "active" { print $1, $3 }' | grep -v '^user\|^run-\|^systemd-tmpfiles\|^ssh.*@' | sort
        find /run -name '*docker.sock' -o -name 'containerd.sock*' -o -name podman.sock -o -path '/run/machine*' | sort | xargs -r ls -ldn --time-style=+ | awk '{ print $1, $3, $4, $6, $7, $8 }'
        ss -Hlntx | awk '{ print $1, $5 }' | grep -v 'systemd/\|@\|libnetwork\|tcp 127.0.0.1:' | sort"#,
    )
}

/// The same, line by line: what differs is shown alone.
#[track_caller]
pub(crate) fn assert_same(before: &str, after: &str) {
    let missing: Vec<&str> = before.lines().filter(|line| !after.lines().any(|l| l == *line)).collect();
    let new: Vec<&str> = after.lines().filter(|line| !before.lines().any(|l| l == *line)).collect();
    assert!(missing.is_empty() && new.is_empty(), "gone: {missing:#?}\nnew: {new:#?}");
}

/// A container of somebody else's in namespace `k8s.io` of the host's containerd: its process, and what CRI says.
fn pod(site: &Site) -> String {
    site.on_host(
        "ctr -n k8s.io tasks ls | awk '$1 == \"pod\"'; ctr namespaces ls -q; \
         ctr plugins ls | awk '$2 == \"cri\" || $1 ~ /cri/ { print $1, $2, $NF }'; \
         systemctl show -p MainPID,FragmentPath,UnitFileState containerd.service; \
         readlink /proc/$(systemctl show -p MainPID --value containerd.service)/exe; command -v ctr runc containerd",
    )
}

#[test]
fn h1_the_containerd_of_a_kubernetes_node_is_left_alone() {
    let Some(site) = Site::open() else { return };
    install(&site, &["containerd", "runc"]);
    let archive = common::root_archive(&site.env.home());
    site.env.sh(&format!("xz -dkf {}", archive.display())).success();
    send(&site, "root.tar");
    site.on_host(
        "mkdir /root/pod && tar -C /root/pod -xf /root/root.tar && \
         ctr -n k8s.io run -d --rootfs /root/pod pod /bin/sleep 3600",
    );
    let (before, node) = (inventory(&site), pod(&site));
    assert!(node.contains("RUNNING") && node.contains("k8s.io") && node.contains("cri"), "{node}");

    site.create(&[]);
    assert_eq!(pod(&site), node);
    site.start_c1();
    assert_eq!(pod(&site), node);
    assert_eq!(
        site.on_host(
            "ls -l /proc/$(systemctl show -p MainPID --value docker.service)/fd | grep -c /run/containerd/ || :"
        ),
        "0"
    );
    site.machine(&["set", "web-1", "--engine-label", "a=1"]);
    site.is_settled();
    site.machine(&["rm", "-y", "--uninstall", "web-1"]);
    assert_eq!(pod(&site), node);
    assert_same(&before, &inventory(&site));
}

#[test]
fn h1_debians_containerd_installs_beside_ours() {
    let Some(site) = Site::open_on(Suite::Bookworm) else { return };
    site.create(&[]);
    site.start_c1();
    let container = site.c1();
    install(&site, &["containerd", "runc"]);
    assert_eq!(site.on_host("dpkg-query -W -f '${Status}' containerd"), "install ok installed");
    let exe = |unit: &str| site.on_host(&format!("readlink /proc/$(systemctl show -p MainPID --value {unit})/exe"));
    assert!(exe("machine-containerd.service").starts_with("/opt/machine/engine/"));
    assert_eq!(exe("containerd.service"), "/usr/bin/containerd");
    assert_eq!(site.c1(), container);
    site.is_settled();
    site.machine(&["rm", "-y", "--uninstall", "web-1"]);
    assert_eq!(exe("containerd.service"), "/usr/bin/containerd");
    assert_eq!(site.on_host("systemctl is-enabled containerd.service"), "enabled");
}

/// podman-docker and a stand-in for Podman behind its socket.
fn podman(site: &Site) {
    install(site, &["podman-docker"]);
    site.on_host(
        "printf '[Socket]\\nListenStream=/run/podman/podman.sock\\n[Install]\\nWantedBy=sockets.target\\n' >/etc/systemd/system/podman.socket; \
         printf '[Service]\\nExecStart=/bin/sleep 9999\\n' >/etc/systemd/system/podman.service; \
         systemctl daemon-reload && systemctl enable -q --now podman.socket && systemd-tmpfiles --create 2>/dev/null; \
         readlink /run/docker.sock",
    );
}

#[test]
fn h6_podmans_socket_stays_podmans() {
    let Some(site) = Site::open() else { return };
    podman(&site);
    let before = inventory(&site);
    assert!(before.contains("/run/docker.sock -> /run/podman/podman.sock"), "{before}");
    let links = || site.on_host("readlink /run/docker.sock; command -v docker; systemctl is-active podman.socket");
    let theirs = links();

    let created = site.create(&[]);
    created.says(&["/run/docker.sock on the host is somebody else's (/usr/lib/tmpfiles.d/podman-docker.conf)"]);
    assert_eq!(links(), theirs);
    site.on_host("systemd-tmpfiles --create 2>/dev/null; true");
    site.import_busybox();
    site.machine(&["set", "web-1", "--engine-label", "a=1"]);
    assert!(site.docker("info -f '{{.Labels}}'").contains("a=1"));
    site.is_settled();
    assert_eq!(links(), theirs);
    let own =
        site.on_host("/opt/machine/engine/current/bin/docker -H unix:///run/machine/docker.sock info -f '{{.Labels}}'");
    assert!(own.contains("a=1"), "{own}");
    site.machine(&["rm", "-y", "--uninstall", "web-1"]);
    assert_same(&before, &inventory(&site));
}

#[test]
fn h6_podman_may_come_later() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    site.start_c1();
    let container = site.c1();
    podman(&site);
    // The name leads elsewhere now; we talk to the same engine as before.
    site.machine(&["set", "web-1", "--engine-label", "a=1"]).says(&["is somebody else's"]);
    assert!(site.docker("info -f '{{.Labels}}'").contains("a=1"));
    assert_eq!(site.on_host("readlink /run/docker.sock"), "/run/podman/podman.sock");
    assert_eq!(site.c1(), container);
    site.is_settled();
}

/// A file of the owner's behind a link, written as no program writes it: with a byte order mark, for their group alone.
const LINKED: &str = r#"mkdir -p /srv/conf /etc/docker && printf '\357\273\277{ "log-level":\t"warn",\r\n  "log-driver": "local" }' >/srv/conf/docker.json
chmod 0640 /srv/conf/docker.json && chgrp adm /srv/conf/docker.json && ln -s ../../srv/conf/docker.json /etc/docker/daemon.json"#;

#[test]
fn h4_h5_a_linked_daemon_json_with_a_byte_order_mark_is_kept() {
    let Some(site) = Site::open() else { return };
    site.on_host(LINKED);
    let before = inventory(&site);
    let link = || {
        site.on_host(
            "readlink /etc/docker/daemon.json; stat -c '%a %G' /srv/conf/docker.json; ls /srv/conf /etc/docker",
        )
    };
    site.create(&[]);
    assert!(link().starts_with("../../srv/conf/docker.json\n640 adm\n"), "{}", link());
    assert!(site.on_host("cat /srv/conf/docker.json").contains("tlsverify"));
    assert_eq!(site.docker("info -f '{{.LoggingDriver}}'"), "local");
    site.machine(&["set", "web-1", "--engine-label", "a=1", "--engine-opt", "debug"]);
    assert_eq!(site.docker("info -f '{{.LoggingDriver}}'"), "local");
    site.is_settled();
    site.machine(&["rm", "-y", "--uninstall", "web-1"]);
    assert_same(&before, &inventory(&site));
}

#[test]
fn h1_what_stood_in_the_place_of_ours_comes_back() {
    let Some(site) = Site::open() else { return };
    // A socket unit of the owner's, certificates of an engine they once had, and nothing else.
    site.on_host(
        "mkdir -p /etc/docker/certs.d && echo theirs >/etc/docker/ca.pem && chmod 0600 /etc/docker/ca.pem && \
         ln -s /nowhere /etc/docker/server.pem && printf '[Socket]\\nListenStream=/run/theirs.sock\\nAccept=yes\\n' >/etc/systemd/system/docker.socket && \
         systemctl daemon-reload",
    );
    let before = inventory(&site);
    site.create(&[]);
    site.import_busybox();
    site.machine(&["rm", "-y", "--uninstall", "web-1"]);
    assert_same(&before, &inventory(&site));
}

#[test]
fn h3_h11_going_on_looks_at_the_host_afresh() {
    let Some(site) = Site::open() else { return };
    site.on_host(
        "mkdir /etc/docker && echo '{\"bridge\": \"br-nope\", \"log-level\": \"warn\"}' >/etc/docker/daemon.json",
    );
    let refused = common::create(&site.env, "web-1", &site.host, &[]).run();
    assert!(!refused.stderr.contains("running again"), "H11: there was none before:\n{refused}");
    refused.failure(1).says(&[
        "error: the engine does not start",
        "  caused by: failed to start daemon: ",
        "/etc/docker/daemon.json on the host sets bridge, log-level, too",
        "this machine has no engine yet",
    ]);
    // The owner mends it where it stands.
    let lines = || site.on_host("grep -c bridge /etc/docker/daemon.json || :");
    site.on_host("sed -i '/\"bridge\"/d' /etc/docker/daemon.json");
    assert_eq!(lines(), "0");
    site.machine(&["create", "web-1"]);
    assert_eq!(lines(), "0");
    assert!(site.on_host("cat /etc/docker/daemon.json").contains("\"log-level\": \"warn\""));
    site.import_busybox();
    site.is_settled();
}

#[test]
fn h3_what_the_owner_mends_stays_mended() {
    let Some(site) = Site::open() else { return };
    let broken = "mkdir -p /etc/docker && echo '{\"bridge\": \"br-nope\"}' >/etc/docker/daemon.json";
    site.on_host(broken);
    for finish in [&["provision", "web-1"][..], &["rm", "-y", "--uninstall", "web-1"]] {
        common::create(&site.env, "web-1", &site.host, &[]).run().failure(1);
        // They take the whole file away, and write their own.
        site.on_host("echo '{\"debug\": true}' >/etc/docker/daemon.json");
        site.machine(finish);
        assert!(!site.on_host("cat /etc/docker/daemon.json").contains("bridge"));
        assert!(site.on_host("cat /etc/docker/daemon.json").contains("\"debug\": true"));
        let _ = site.env.run(&["rm", "-y", "--uninstall", "web-1"]);
        site.on_host(broken);
    }
}

/// A file system of 2 GiB at /opt of the host.
fn mount(site: &Site, options: &str) {
    site.on_host(&format!("mount -t tmpfs -o size=2g,{options} tmpfs /opt"));
}

#[test]
fn h7_where_the_engine_cannot_lie_is_found_before_it_is_sent() {
    let Some(site) = Site::open() else { return };
    let create = || common::create(&site.env, "web-1", &site.host, &[]).run();
    mount(&site, "noexec");
    create().failure(2).says(&["error: no program can run from /opt on the host", "mounted noexec"]);
    site.on_host("umount /opt");
    mount(&site, "nr_inodes=100");
    create().failure(6).says(&["more files can be made", "df -i"]);
    site.on_host("umount /opt");
    // Found when going on, too.
    let _ = site.env.machine(&["create", "web-1"]).run_killed_at("web-1: issue-certificates … ");
    for (options, code, said) in [("ro", 2, "mounted read-only"), ("nr_inodes=100", 6, "more files can be made")] {
        mount(&site, options);
        site.env.run(&["create", "web-1"]).failure(code).says(&[said, "(step upload-engine)"]);
        site.on_host("umount /opt");
    }
    site.machine(&["create", "web-1"]);
}

#[test]
fn h8_the_engines_variables_are_roots_alone() {
    let Some(mut site) = Site::open() else { return };
    site.env.set("PROXY", "http://u:hush@203.0.113.9:3128");
    let refused =
        common::create(&site.env, "web-1", &site.host, &["--engine-env", "HTTPS_PROXY=http://u:hush@p"]).run();
    let refused = refused.failure(3).says(&["the value of --engine-env HTTPS_PROXY holds a password"]);
    assert!(!refused.stderr.contains("hush"), "{refused}");

    site.create(&["--engine-env", "HTTPS_PROXY=env:PROXY"]);
    let engine =
        "tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value docker.service)/environ | grep ^HTTPS_PROXY=";
    assert_eq!(site.on_host(engine), "HTTPS_PROXY=http://u:hush@203.0.113.9:3128");
    assert_eq!(site.on_host("stat -c '%a %U' /opt/machine/engine.env"), "600 root");
    let found = "grep -rlsF u:hush@ /etc /opt/machine /run/systemd 2>/dev/null || :";
    assert_eq!(site.on_host(found), "/opt/machine/engine.env");
    assert!(site.record("{{.engine.env}}").contains("env:PROXY"));
    site.env.sh("! grep -rF u:hush@ \"$MACHINE_STORAGE_PATH\"").success();

    // Somebody else's shell has no such variable: the engine keeps what it has.
    site.env.set("PROXY", "");
    let kept = site.machine(&["provision", "web-1"]);
    kept.says(&["the engine keeps the variables it has: HTTPS_PROXY cannot be had here"]);
    assert_eq!(site.on_host(engine), "HTTPS_PROXY=http://u:hush@203.0.113.9:3128");
    site.machine(&["set", "web-1", "--engine-label", "a=1"]);
    assert_eq!(site.on_host(engine), "HTTPS_PROXY=http://u:hush@203.0.113.9:3128");
    site.machine(&["set", "web-1", "--engine-env", ""]);
    assert_eq!(site.on_host("ls /opt/machine/engine.env 2>/dev/null || :"), "");
}

#[test]
fn h9_docker_without_a_place_for_contexts() {
    let Some(mut site) = Site::open() else { return };
    let file = site.env.write("docker-config", "{}").display().to_string();
    site.env.set("DOCKER_CONFIG", &file);
    let made = site.create(&[]);
    made.says(&["there is no docker context 'web-1' (cannot make ", "Not a directory", "use `machine env web-1`"]);
    site.machine(&["rm", "-y", "web-1"]);
}
