//! `machine upgrade`: another engine under running containers, and back.

use std::time::Duration;

use machine_tests::until;

use crate::site::{Probe, Site, engine_with_dockerd};

/// Containers are silent for less than this while the engine changes.
const SILENCE: Duration = Duration::from_secs(2);

#[test]
fn an_upgrade_and_the_way_back_keep_containers_running() {
    let Some(site) = Site::open() else { return };
    site.create(&["--engine-bundle", "debian:bookworm"]);
    assert!(site.version().starts_with("20.10."), "{}", site.version());
    site.start_c1();
    let (c1, json) = (site.c1(), site.on_host("cat /etc/docker/daemon.json"));
    assert_eq!(site.docker("info -f '{{.LiveRestoreEnabled}}'"), "false");

    for (bundle, version) in [("debian:trixie", "26.1."), ("debian:bookworm", "20.10.")] {
        let probe = Probe::start(site.port());
        let lines = site.docker("logs c1").lines().count();
        let done = site.machine(&["upgrade", "web-1", "--bundle", bundle]);
        assert!(done.stderr.ends_with("web-1: upgraded\n"), "{done}");
        let silence = probe.end();
        assert!(silence < SILENCE, "silent for {silence:?}");
        assert!(site.version().starts_with(version), "{}", site.version());
        assert!(site.record("{{.installed.version}}").starts_with(version));
        assert_eq!(site.c1(), c1);
        // Live-restore was on for the span of the restart only.
        assert_eq!(site.on_host("cat /etc/docker/daemon.json"), json);
        until("live-restore is off again", Duration::from_secs(5), || {
            let is = site.docker("info -f '{{.LiveRestoreEnabled}}'");
            if is == "false" { Ok(()) } else { Err(is) }
        });
        assert!(site.docker("logs c1").lines().count() > lines);
        assert_eq!(site.docker("exec c1 cat /data/index.html"), "kept");
        assert_eq!(site.docker("network ls -qf name=n1").lines().count(), 1);
        assert_eq!(site.docker("volume ls -qf name=v1"), "v1");
        assert_eq!(site.docker("images -q busybox").lines().count(), 1);
        site.is_settled();
    }
    // The same again changes nothing.
    let again = site.machine(&["upgrade", "web-1", "--bundle", "debian:bookworm"]);
    assert!(again.stderr.ends_with("web-1: has this engine already\n"), "{again}");
    // The container itself is in order, too.
    site.docker("restart -t 1 c1");
    assert_ne!(site.docker("inspect -f '{{.State.Pid}}' c1"), c1.split(' ').next().expect("a pid"));
}

const BROKEN: &str = "#!/bin/sh\ncase $1 in --version) echo 'Docker version 99.0.0, build 0';; \
    --help) ;; *) echo 'broken on purpose' >&2; exit 3;; esac\n";

/// The old engine runs with its containers, the record names it, and the error says what happened.
#[track_caller]
fn rolled_back(site: &Site, bundle: &str, c1: &str, log: &str) {
    let old = site.record("{{.installed.bundle}}");
    let json = site.on_host("cat /etc/docker/daemon.json");
    let probe = Probe::start(site.port());
    let failed = site.env.run(&["upgrade", "web-1", "--bundle", bundle]).failure(1);
    failed.says(&[
        "error: the engine does not start; the previous one is running again (step start-engine)\n  caused by: ",
        log,
        "\nhint: the whole log: machine ssh web-1 sudo journalctl -u docker.service -u machine-containerd.service\n",
    ]);
    let _ = probe.end();
    assert_eq!(site.record("{{.installed.bundle}}"), old);
    assert_eq!(site.on_host("readlink /opt/machine/engine/current"), old);
    assert_eq!(site.on_host("cat /etc/docker/daemon.json"), json);
    assert!(site.version().starts_with("26.1."), "{}", site.version());
    assert_eq!(site.c1(), c1);
    site.is_settled();
}

#[test]
fn an_engine_that_exits_is_rolled_back_even_twice_within_a_minute() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    site.start_c1();
    let c1 = site.c1();
    let bundle = engine_with_dockerd(&site, BROKEN);
    for _ in 0..2 {
        rolled_back(&site, &bundle, &c1, "broken on purpose");
    }
    // And the limit of starts leaves room for a good one.
    for bundle in ["debian:bookworm", "debian:trixie"] {
        site.machine(&["upgrade", "web-1", "--bundle", bundle]);
        assert_eq!(site.c1(), c1);
    }
}

#[test]
fn an_engine_that_hangs_is_rolled_back() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    site.start_c1();
    let c1 = site.c1();
    let script = BROKEN.replace("exit 3", "exec sleep 3600");
    let bundle = engine_with_dockerd(&site, &script);
    rolled_back(&site, &bundle, &c1, "-- docker.service is activating");
    assert_eq!(site.on_host("pgrep -fx 'sleep 3600' || true"), "", "the engine that hung is still there");
}

#[test]
#[ignore = "long: a processor is kept busy for longer than a unit has to start"]
fn long_l1_an_engine_that_is_slow_and_works_is_waited_for() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    site.start_c1();
    let c1 = site.c1();
    let old = site.record("{{.installed.bundle}}");
    let slow = format!(
        "end=$(($(date +%s) + 75)); while [ \"$(date +%s)\" -lt $end ]; do for i in 1 2 3 4 5 6 7 8 9; do :; done; done; \
         exec /opt/machine/engine/{old}/bin/dockerd \"$@\""
    );
    let bundle = engine_with_dockerd(&site, &BROKEN.replace("echo 'broken on purpose' >&2; exit 3", &slow));
    site.machine(&["upgrade", "web-1", "--bundle", &bundle]);
    assert_eq!(site.c1(), c1);
    site.is_settled();
}

#[test]
fn an_engine_that_refuses_the_settings_is_never_tried() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    let dockerd = site.dockerd();
    let script =
        BROKEN.replace("--help) ;;", "--help) echo --validate;; --validate) echo 'no such key: hosts' >&2; exit 1;;");
    let bundle = engine_with_dockerd(&site, &script);
    site.env.run(&["upgrade", "web-1", "--bundle", &bundle]).failure(2).says(&[
        "error: the engine refuses these settings (step write-engine-config)\n  caused by: no such key: hosts\n",
        "hint: correct the --engine-… option, or /etc/docker/daemon.json on the host\n",
    ]);
    assert_eq!(site.dockerd(), dockerd);
    site.is_settled();
}

#[test]
fn cut_off_in_the_middle_it_ends_in_one_state() {
    let Some(site) = Site::open() else { return };
    site.create(&["--engine-bundle", "debian:bookworm"]);
    site.start_c1();
    let (c1, json) = (site.c1(), site.on_host("cat /etc/docker/daemon.json"));
    let cut = || {
        let running = site.env.machine(&["upgrade", "web-1", "--bundle", "debian:trixie"]).spawn();
        until("the engine being changed", Duration::from_secs(60), || {
            let seen = site.host.exec("test -e /opt/machine/rollback/complete");
            if seen.code == 0 { Ok(()) } else { Err(format!("{}\n{seen}", running.stderr())) }
        });
        assert_eq!(running.kill().signal, Some(9));
    };
    cut();
    // The record knows the old one: so it shall be again.
    site.machine(&["provision", "web-1"]);
    assert!(site.version().starts_with("20.10."), "{}", site.version());
    assert_eq!((site.c1(), site.on_host("cat /etc/docker/daemon.json")), (c1.clone(), json.clone()));
    site.is_settled();
    cut();
    // Going on is the other way out.
    site.machine(&["upgrade", "web-1", "--bundle", "debian:trixie"]);
    assert!(site.version().starts_with("26.1."), "{}", site.version());
    assert_eq!((site.c1(), site.on_host("cat /etc/docker/daemon.json")), (c1, json));
    site.is_settled();
}

#[test]
fn a_storage_driver_that_was_removed_is_refused() {
    let Some(site) = Site::open() else { return };
    site.create(&["--engine-bundle", "debian:bookworm", "--engine-storage-driver", "overlay"]);
    assert_eq!(site.docker("info -f '{{.Driver}}'"), "overlay");
    let dockerd = site.dockerd();
    let refused = site.env.run(&["upgrade", "web-1", "--bundle", "debian:trixie"]).failure(2);
    refused.says(&[
        "error: engine 26.1.5",
        "no longer has the storage driver overlay, which the host uses\nhint: save images and data elsewhere, then set \
         another: machine set NAME --engine-storage-driver overlay2 (it starts empty)\n",
    ]);
    assert_eq!(site.dockerd(), dockerd);
    site.is_settled();
}

#[test]
fn what_would_not_live_through_it_is_said_before() {
    let Some(site) = Site::open() else { return };
    site.create(&["--engine-bundle", "debian:bookworm"]);
    site.import_busybox();
    site.docker("run -d --name always --restart always busybox sleep 3600");
    site.docker("stop -t 0 always");
    site.docker("swarm init");
    let dockerd = site.dockerd();
    site.env.run(&["upgrade", "web-1", "--bundle", "debian:trixie"]).failure(2).says(&[
        "web-1: will start again: always\n",
        "the upgrade of \"web-1\" from 20.10.24",
        "would interrupt something\n  caused by: a swarm is active: its containers are restarted, because an engine in a \
         swarm cannot keep them over its own restart\n  caused by: stopped containers with --restart always will run \
         again: always\nhint: add -y to continue anyway\n",
    ]);
    assert_eq!(site.dockerd(), dockerd);
    site.machine(&["upgrade", "web-1", "--bundle", "debian:trixie", "-y"]);
    assert!(site.version().starts_with("26.1."), "{}", site.version());
    assert_eq!(site.docker("info -f '{{.Swarm.LocalNodeState}}'"), "active");
    assert_eq!(site.docker("inspect -f '{{.State.Status}}' always"), "running");
}

#[test]
fn a_reboot_brings_everything_back() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    site.import_busybox();
    site.docker("run -d --name always --restart always -p 8081:80 busybox httpd -f -p 80");
    site.docker("run -d --name once busybox sleep 3600");
    site.host.restart();
    until("the engine after the reboot", Duration::from_secs(60), || {
        let state = site.env.sh("docker $(machine config web-1) inspect -f '{{.State.Status}}' always once");
        if state.stdout == "running\nexited\n" { Ok(()) } else { Err(state.to_string()) }
    });
    site.is_settled();
    assert_eq!(
        site.on_host("systemctl is-enabled docker.service docker.socket machine-containerd.service"),
        "enabled\nenabled\nenabled"
    );
}
