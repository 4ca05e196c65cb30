use std::process::Command;

use machine_driver::HostKeyPair;

use super::*;

pub(crate) fn context() -> Context {
    Context::new("web-1", "0c0a", "").keys(
        "ssh-ed25519 AAAA us\n",
        Some(HostKeyPair { private: "PRIVATE\n".to_owned(), public: "ssh-ed25519 BBBB\n".to_owned() }),
    )
}

fn interfaces() -> Network {
    Network::Interfaces(vec![
        Interface {
            mac: "52:54:00:AA:00:01".to_owned(),
            dhcp: true,
            addresses: vec![],
            gateway: None,
            nameservers: vec![],
        },
        Interface {
            mac: "52:54:00:aa:00:02".to_owned(),
            dhcp: false,
            addresses: vec!["192.168.56.10/24".to_owned()],
            gateway: Some("192.168.56.1".parse().unwrap()),
            nameservers: vec!["192.168.56.1".parse().unwrap()],
        },
    ])
}

fn share() -> Share {
    Share { tag: "share0".to_owned(), target: "/home/me/my files".to_owned(), read_only: true, kind: ShareKind::NineP }
}

#[test]
fn independent_readers_see_the_files_by_both_their_names() {
    let (cx, dir) = (context(), tempfile::tempdir().unwrap());
    let to = dir.path().join("seed.iso");
    let seed = Seed { cx: &cx, ssh_user: "machine", user_data: None, network: Network::Dhcp, shares: vec![share()] };
    seed.write(&to).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o600, "it holds the host key");
    }
    let again = dir.path().join("again.iso");
    seed.write(&again).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), std::fs::read(&again).unwrap(), "the same seed, the same bytes");

    let isoinfo = |arguments: &[&str]| {
        let done = Command::new("isoinfo").args(arguments).arg("-i").arg(&to).output().ok()?;
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        Some(String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let Some(about) = isoinfo(&["-d"]) else {
        println!("SKIPPED: isoinfo does not run here");
        return;
    };
    assert!(about.contains("Volume id: cidata") && about.contains("Joliet with UCS level 3 found"), "{about}");
    assert!(about.contains("Rock Ridge signatures version 1 found"), "{about}");
    let wanted = [
        "/machine",
        "/meta-data",
        "/network-config",
        "/user-data",
        "/vendor-data",
        "/machine/authorized_keys",
        "/machine/host_key",
        "/machine/host_key.pub",
        "/machine/hostname",
        "/machine/id",
        "/machine/interfaces",
        "/machine/mounts",
        "/machine/network",
        "/machine/user",
    ];
    for names in ["-R", "-J"] {
        let list = isoinfo(&[names, "-f"]).unwrap();
        let mut found: Vec<_> = list.lines().map(|line| line.trim_end_matches(";1")).collect();
        found.sort_unstable();
        let mut wanted = wanted;
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{names}");
        let version = if names == "-J" { ";1" } else { "" };
        assert_eq!(isoinfo(&[names, "-x", &format!("/machine/host_key{version}")]).unwrap(), "PRIVATE\n");
        assert!(
            isoinfo(&[names, "-x", &format!("/meta-data{version}")]).unwrap().contains("\"local-hostname\":\"web-1\"")
        );
    }
    let modes = isoinfo(&["-R", "-l"]).unwrap();
    let key = modes.lines().find(|line| line.contains(" host_key ")).unwrap();
    assert!(key.starts_with("-rw-------   1    0    0"), "{key}");
}

#[test]
fn networks_say_the_same_to_all_three_readers() {
    assert_eq!(Network::Dhcp.early(), "any dhcp\n");
    assert_eq!(
        interfaces().early(),
        "52:54:00:aa:00:01 dhcp\n52:54:00:aa:00:02 static 192.168.56.10/24 192.168.56.1\n"
    );
    let plan = interfaces().netplan();
    assert_eq!(plan["ethernets"]["nic1"]["addresses"], json!(["192.168.56.10/24"]));
    assert_eq!(plan["ethernets"]["nic1"]["routes"], json!([{ "to": "0.0.0.0/0", "via": "192.168.56.1" }]));
    assert_eq!(plan["ethernets"]["nic0"]["dhcp4"], true);
    let text = interfaces().networkd();
    assert!(text.contains("# 10-machine-1.network\n[Match]\nMACAddress=52:54:00:aa:00:02\n"), "{text}");
    assert!(text.contains("DHCP=no\nAddress=192.168.56.10/24\nGateway=192.168.56.1\nDNS=192.168.56.1\n"), "{text}");
}

#[test]
fn a_share_is_a_line_of_fstab() {
    let line = share().fields().join(" ");
    assert_eq!(line, "share0 /home/me/my\\040files 9p ro,nofail,trans=virtio,version=9p2000.L,msize=524288 0 0");
}
