//! The lab judged: what a story relies on when it judges the program.

use std::net::TcpStream;
use std::time::Duration;

use machine_tests::{Env, HostOptions, Init, Lab, NetworkOptions, RegistryTls, Suite};

/// Debian 12 and 13 alike: ssh for all three users, systemd without complaint, and none of what the bundle brings.
fn is_a_fresh_server(suite: Suite, version: &str) {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions { suite, ..HostOptions::default() });
    assert_eq!(host.ssh("root", "id -un").success().stdout, "root\n");
    assert_eq!(host.ssh("admin", "sudo -n id -un").success().stdout, "root\n");
    host.ssh("pw", "sudo -n id -un").failure(1).says(&["a password is required"]);
    assert_eq!(host.ssh("root", "systemctl is-system-running --wait").success().stdout, "running\n");
    assert_eq!(host.ssh("root", ". /etc/os-release; echo $VERSION_ID").success().stdout.trim(), version);
    host.ssh("root", "command -v iptables || command -v docker || command -v dockerd").failure(1);
    assert!(host.host_key_fingerprint().starts_with("SHA256:"));
}

#[test]
fn a_debian_13_host_is_a_fresh_server() {
    is_a_fresh_server(Suite::Trixie, "13");
}

#[test]
fn a_debian_12_host_is_a_fresh_server() {
    is_a_fresh_server(Suite::Bookworm, "12");
}

#[test]
fn a_restart_keeps_the_address_the_disk_and_the_host_key() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions::default());
    let (key, ip) = (host.host_key(), host.ip());
    let boot = host.ssh("root", "echo kept >/root/kept; echo lost >/run/lost; sync").success();
    assert_eq!(boot.stdout, "");
    host.restart();
    assert_eq!(host.ssh("root", "cat /root/kept; ls /run/lost || true").success().stdout, "kept\n");
    assert_eq!((host.host_key(), host.ip()), (key, ip));
    host.cut_power();
    host.power_on();
    host.ssh("root", "true").success();
}

#[test]
fn a_changed_host_key_is_refused_by_a_client_that_knew_the_old_one() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions::default());
    let before = host.host_key();
    host.change_host_key();
    assert_ne!(before, host.host_key());
    host.ssh("root", "true").success();
}

#[test]
fn an_internal_network_has_no_route() {
    let Some(lab) = Lab::open() else { return };
    let network = lab.network(NetworkOptions { internal: true, ..NetworkOptions::default() });
    let host = lab.host(HostOptions { network: Some(network.clone()), ..HostOptions::default() });
    assert_eq!(host.ssh("root", "ip route show default; ip -6 route show default").success().stdout, "");
    // From another lab network, which has a route, it is not reached either.
    let other = lab.host(HostOptions::default());
    assert_ne!(other.ssh("root", "ip route show default").success().stdout, "");
    let reach = format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{}/22'", host.ip());
    assert_ne!(other.ssh("root", &reach).code, 0);
}

#[test]
fn an_ipv6_only_host_has_no_other_address() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions { ipv6_only: true, ..HostOptions::default() });
    assert!(host.ip().is_ipv6());
    assert_eq!(host.ssh("root", "ip -4 -brief address show scope global").success().stdout, "");
    host.restart();
    assert_eq!(host.ssh("root", "ip -4 -brief address show scope global").success().stdout, "");
}

#[test]
fn options_are_what_they_say() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions {
        ssh_port: Some(2222),
        hostname: Some("web-1".into()),
        small_disks: vec![("/opt".into(), 32)],
        ..HostOptions::default()
    });
    assert_eq!(host.ssh_port(), 2222);
    assert_eq!(host.ssh("root", "hostname").success().stdout, "web-1\n");
    host.ssh("root", "head -c 40M /dev/zero >/opt/big").failure(1).says(&["No space left"]);
}

#[test]
fn a_host_without_systemd_has_sshd() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions { init: Init::Sshd, ..HostOptions::default() });
    host.ssh("root", "test -d /run/systemd/system").failure(1);
}

#[test]
fn a_firewall_drops_and_a_neighbour_still_reaches() {
    let Some(lab) = Lab::open() else { return };
    let mut host = lab.host(HostOptions::default());
    let jump = lab.host(HostOptions::default());
    let reach = |port| TcpStream::connect_timeout(&(host.ip(), port).into(), Duration::from_millis(700));
    assert_eq!(reach(2376).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    host.drop_port(2376);
    let reach = |port| TcpStream::connect_timeout(&(host.ip(), port).into(), Duration::from_millis(700));
    assert_eq!(reach(2376).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert!(reach(22).is_ok());
    host.drop_from_here();
    let reach = |port| TcpStream::connect_timeout(&(host.ip(), port).into(), Duration::from_millis(700));
    assert_eq!(reach(22).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    let through = format!("timeout 5 bash -c 'exec 3<>/dev/tcp/{}/22; head -c 4 <&3'", host.ip());
    assert_eq!(jump.ssh("root", &through).success().stdout, "SSH-");
    host.open_firewall();
    host.ssh("root", "true").success();
}

#[test]
fn a_frozen_host_answers_tcp_and_never_ssh() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions::default());
    host.freeze();
    let mut stream = TcpStream::connect_timeout(&(host.ip(), 22).into(), Duration::from_secs(2)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let error = std::io::Read::read(&mut stream, &mut [0; 4]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    host.thaw();
    host.ssh("root", "true").success();
}

#[test]
fn an_unused_address_does_not_answer() {
    let Some(lab) = Lab::open() else { return };
    let to = (lab.network(NetworkOptions::default()).unused(), 22).into();
    assert!(TcpStream::connect_timeout(&to, Duration::from_millis(500)).is_err());
}

#[test]
fn a_registry_answers_hosts_plainly_and_with_its_own_ca() {
    let Some(lab) = Lab::open() else { return };
    let network = lab.network(NetworkOptions::default());
    let plain = lab.registry(&network, RegistryTls::Plain);
    let secure = lab.registry(&network, RegistryTls::OwnCa);
    let host = lab.host(HostOptions::default());
    // The host has no HTTP client; bash speaks enough of it.
    let (ip, port) = plain.name().rsplit_once(':').map(|(ip, port)| (ip.to_owned(), port.to_owned())).unwrap();
    let ask = format!("exec 3<>/dev/tcp/{ip}/{port}; printf 'GET /v2/ HTTP/1.0\\r\\n\\r\\n' >&3; head -1 <&3");
    let answer = host.ssh("root", &format!("bash -c \"{}\"", ask.replace('"', "\\\""))).success();
    assert!(answer.stdout.contains("200 OK"), "{answer}");
    assert_eq!(plain.ca(), None);
    let env = Env::new();
    let ca = secure.ca().expect("it has one").display().to_string();
    let url = format!("https://{}/v2/", secure.name());
    env.command("curl", &["-sSf", "--cacert", &ca, &url]).run().success();
    env.command("curl", &["-sSf", &url]).run().failure(60);
}

#[test]
fn a_name_resolves_for_one_environment_only() {
    let Some(lab) = Lab::open() else { return };
    let network = lab.network(NetworkOptions::default());
    let mut env = Env::new();
    env.resolve("web.lab.test", network.gateway());
    let found = env.command("getent", &["ahostsv4", "web.lab.test"]).run().success();
    assert!(found.stdout.starts_with(&network.gateway().to_string()), "{found}");
    Env::new().command("getent", &["hosts", "web.lab.test"]).run().failure(2);
}

#[test]
fn what_a_dead_test_left_is_swept_and_the_living_keep_theirs() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions::default());
    let network = lab.network(NetworkOptions::default());
    let image = lab.docker(&["image", "ls", "--quiet", "machine-lab/trixie"]).success().stdout;
    // No process has this number: it is above the kernel's limit.
    let owner = "machine-lab.owner=4194305:1";
    let left = format!("left-by-{}", std::process::id());
    lab.docker(&["create", "--name", &left, "--label", owner, image.lines().next().unwrap(), "true"]).success();
    // Another test starting is what sweeps.
    let again = Lab::open().expect("it opened before");
    let gone = again.docker(&["inspect", "--type", "container", &left]);
    assert_ne!(gone.code, 0, "{gone}");
    host.ssh("root", "true").success();
    assert!(network.gateway().is_ipv4());
}

#[test]
#[ignore = "long: more hosts than this computer is set up for"]
fn long_25_hosts_at_once() {
    let Some(lab) = Lab::open() else { return };
    let hosts = std::thread::scope(|scope| {
        let starts = (0..25).map(|_| scope.spawn(|| lab.host(HostOptions::default()))).collect::<Vec<_>>();
        starts.into_iter().map(|start| start.join().expect("a host")).collect::<Vec<_>>()
    });
    for host in &hosts {
        assert_eq!(host.ssh("root", "systemctl is-system-running --wait").success().stdout, "running\n");
    }
}
