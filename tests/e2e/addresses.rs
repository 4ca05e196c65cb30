//! Hosts that are not simply an IPv4 address: names, other ports, IPv6, a host in between.

use std::net::TcpStream;
use std::time::Duration;

use machine_tests::{HostOptions, Lab, until};
use serde_json::Value;

use crate::common;
use crate::site::Site;

#[test]
fn a_host_with_an_ipv6_address_alone() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions { ipv6_only: true, ..HostOptions::default() });
    let env = common::env(&lab);
    common::create(&env, "web-1", &host, &[]).run().success();
    assert_eq!(env.run(&["ip", "web-1"]).success().stdout, format!("{}\n", host.ip()));
    assert_eq!(env.run(&["url", "web-1"]).success().stdout, format!("tcp://[{}]:2376\n", host.ip()));
    assert_eq!(env.run(&["ssh", "web-1", "id", "-un"]).success().stdout, "root\n");

    let folder = tempfile::tempdir().unwrap();
    let root = common::root_archive(folder.path()).display().to_string();
    env.sh(&format!("eval $(machine env web-1) && docker import {root} tools")).success();
    env.sh("docker $(machine config web-1) run -d -p 18080:80 tools httpd -f -h /www").success();
    env.docker(&["--context", "web-1", "ps"]).success();
    // The proxy carries it to a container that has no IPv6 address.
    until("the published port", Duration::from_secs(20), || {
        TcpStream::connect_timeout(&(host.ip(), 18080).into(), Duration::from_secs(2)).map_err(|e| e.to_string())
    });
}

#[test]
fn a_name_another_port_and_a_user_with_sudo() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions { ssh_port: Some(2222), ..HostOptions::default() });
    let mut env = common::env(&lab);
    env.resolve("web.lab.test", host.ip());
    let ip = host.ip().to_string();
    let more = ["--generic-ssh-port", "2222", "--generic-ssh-user", "admin", "--tls-san", &ip];
    common::create_at(&env, "web-1", &host, "web.lab.test", &more).run().success();
    assert_eq!(env.run(&["url", "web-1"]).success().stdout, "tcp://web.lab.test:2376\n");
    assert_eq!(env.run(&["ssh", "web-1", "id", "-un"]).success().stdout, "admin\n");

    // By its name and, since it was asked for, by its address.
    let config = env.run(&["config", "web-1"]).success().stdout;
    let tls: Vec<_> = config.split_whitespace().filter(|word| word.starts_with("--tls")).collect();
    for at in ["web.lab.test", &ip] {
        let version = format!("docker {} -H tcp://{at}:2376 version -f '{{{{.Server.Os}}}}'", tls.join(" "));
        assert_eq!(env.sh(&version).success().stdout, "linux\n");
    }

    // What sudo brought belongs to root, and nothing lies around.
    let owners = "find /opt/machine /etc/docker ! -user root -o ! -group root";
    assert_eq!(host.exec(owners).success().stdout, "");
    assert_eq!(common::strays(&host), "");
    assert_eq!(
        host.exec(
            "find /home/admin -newer /etc/machine-id ! -path '*/.ssh*' ! -name .sudo_as_admin_successful -type f"
        )
        .success()
        .stdout,
        ""
    );
}

#[test]
fn a_host_behind_another() {
    let Some(lab) = Lab::open() else { return };
    let mut host = lab.host(HostOptions::default());
    let jump = lab.host(HostOptions { ssh_port: Some(2222), ..HostOptions::default() });
    host.drop_from_here();
    let env = common::env(&lab);
    let through = format!("admin@{}:2222", jump.ip());
    let more = ["--generic-jump-host", &through];

    // The one in between is the user's: nobody vouched for its key yet.
    let known = format!("[{}]:2222", jump.ip());
    let refused = common::create(&env, "web-1", &host, &more).run();
    assert_ne!(refused.code, 0, "{refused}");
    assert!(refused.stderr.contains("so that your known_hosts has its key"), "{refused}");
    env.write(".ssh/known_hosts", &format!("{known} {}\n", jump.host_key()));

    // The engine's port is not reached from here, so it comes through the same way.
    common::create(&env, "web-1", &host, &more).run().success();
    let record: Value = serde_json::from_str(&env.run(&["inspect", "web-1"]).success().stdout).unwrap();
    assert!(record.to_string().contains("\"tunnel\""), "{record}");
    assert!(env.run(&["url", "web-1"]).success().stdout.starts_with("tcp://127.0.0.1:"));
    let name = host.exec("hostname").success().stdout;
    for way in ["eval $(machine env web-1) && docker", "docker $(machine config web-1)", "docker --context web-1"] {
        assert_eq!(env.sh(&format!("{way} info -f '{{{{.Name}}}}'")).success().stdout, name, "{way}");
    }
    // OpenSSH takes the same way, with what the machine's ssh_config says of the host in between; so does the built-in client.
    assert_eq!(env.run(&["ssh", "web-1", "hostname"]).success().stdout, name);
    let own_client = env.machine(&["ssh", "web-1", "hostname"]).env("PATH", env.home().join("bin"));
    assert_eq!(own_client.run().success().stdout, name);
    env.run(&["rm", "-y", "web-1"]).success();
}

/// On the host: takes the engine's breath away for seven seconds, once it has been asked for its containers.
const BREATHLESS: &str = r#"cat >/usr/local/sbin/base64 <<'EOF'
#!/bin/sh
text=$(cat; echo .)
printf %s "${text%.}" | /usr/bin/base64 "$@"
case $text in
    *' /c1'*) if mkdir /run/breathless 2>/dev/null; then
        engine=$(pidof dockerd)
        kill -STOP "$engine"
        (sleep 7; kill -CONT "$engine") </dev/null >/dev/null 2>&1 &
    fi ;;
esac
EOF
chmod +x /usr/local/sbin/base64"#;

#[test]
fn a_slow_engine_is_no_reason_for_a_tunnel() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    site.start_c1();
    let before = site.record("{{.endpoint.kind}} {{.endpoint.host}}");
    assert_eq!(before, format!("direct {}", site.host.ip()));
    site.on_host(BREATHLESS);
    let slow = site.machine(&["provision", "web-1"]);
    site.on_host("rmdir /run/breathless");
    assert_eq!(site.record("{{.endpoint.kind}} {{.endpoint.host}}"), before, "{slow}");
}
