//! `machine set`: other options for an engine under running containers.

use machine_tests::until;
use std::time::Duration;

use crate::site::Site;

/// `docker info` of the machine.
#[track_caller]
fn info(site: &Site, field: &str) -> String {
    site.docker(&format!("info -f '{{{{{field}}}}}'"))
}

/// The engine's labels, sorted: it keeps them in no order.
#[track_caller]
fn labels(site: &Site) -> String {
    let mut labels: Vec<_> =
        info(site, "json .Labels").split(['[', ']', ',']).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    labels.sort();
    labels.join(" ")
}

#[test]
fn options_change_under_running_containers() {
    let Some(site) = Site::open() else { return };
    site.create(&["--engine-label", "a=1"]);
    site.start_c1();
    let (c1, dockerd) = (site.c1(), site.dockerd());
    assert_eq!(labels(&site), r#""a=1" "provider=generic""#);

    // What a reload takes up needs no restart.
    let done = site.machine(&["set", "web-1", "--engine-insecure-registry", "10.9.8.7:5000", "--engine-label", "b=2"]);
    assert!(done.stderr.ends_with("web-1: set\n"), "{done}");
    until("the reload", Duration::from_secs(5), || {
        let labels = labels(&site);
        if labels == r#""b=2" "provider=generic""# { Ok(()) } else { Err(labels) }
    });
    assert!(info(&site, "json .RegistryConfig.IndexConfigs").contains("10.9.8.7:5000"));
    assert_eq!(site.dockerd(), dockerd);
    site.is_settled();

    // An empty value clears.
    site.machine(&["set", "web-1", "--engine-insecure-registry", "", "--engine-label", ""]);
    assert!(!info(&site, "json .RegistryConfig.IndexConfigs").contains("10.9.8.7:5000"));
    assert_eq!(labels(&site), r#""provider=generic""#);
    assert_eq!(site.c1(), c1);
    site.is_settled();

    // The rest restarts the engine, and no container.
    let dockerd = site.dockerd();
    site.machine(&[
        "set",
        "web-1",
        "--engine-opt",
        "log-driver=local",
        "--engine-env",
        "HTTP_PROXY=http://10.9.8.7:3128",
        "--engine-address-pool",
        "base=10.210.0.0/16,size=24",
    ]);
    assert_eq!(info(&site, "json .DefaultAddressPools"), r#"[{"Base":"10.210.0.0/16","Size":24}]"#);
    assert_eq!(info(&site, ".LoggingDriver"), "local");
    assert_eq!(info(&site, ".HTTPProxy"), "http://10.9.8.7:3128");
    assert_ne!(site.dockerd(), dockerd);
    assert_eq!(site.c1(), c1);
    site.is_settled();
    let again = site.machine(&["set", "web-1", "--engine-opt", "log-driver=local"]);
    assert!(again.stderr.ends_with("web-1: already so\n"), "{again}");
    site.machine(&["set", "web-1", "--engine-opt", "", "--engine-env", ""]);
    assert_eq!((info(&site, ".LoggingDriver").as_str(), info(&site, ".HTTPProxy").as_str()), ("json-file", ""));
    assert_eq!(site.c1(), c1);
    site.is_settled();
}

#[test]
fn what_is_refused_leaves_record_and_host_as_they_were() {
    let Some(site) = Site::open() else { return };
    site.create(&["--engine-opt", "log-driver=local"]);
    let look = || (site.record("{{json .engine}}"), site.on_host("cat /etc/docker/daemon.json"), site.dockerd());
    let before = look();
    site.env.run(&["set", "web-1", "--engine-opt", "nonsense=1"]).failure(2).says(&[
        "error: engine option \"nonsense=1\": dockerd has no such option",
        "hint: options are dockerd's long flags without the dashes",
    ]);
    assert_eq!(look(), before);
    // What only the engine itself can judge.
    site.env.run(&["set", "web-1", "--engine-registry-mirror", "ftp://nowhere"]).failure(1).says(&[
        "error: the engine does not accept the settings; the previous ones stay in force (step start-engine)\n  caused by: ",
        "ftp://nowhere",
    ]);
    assert_eq!(look(), before);
    // What turns out only at the start: the engine comes back as it was.
    site.env
        .run(&["set", "web-1", "--engine-opt", "bip=10.0.0.300/24", "--tls-san", "x.example"])
        .failure(1)
        .says(&["error: the engine does not start; the previous one is running again (step start-engine)\n"]);
    let after = look();
    assert_eq!((&after.0, &after.1), (&before.0, &before.1));
    assert_ne!(after.2, before.2);
    assert!(!site.version().is_empty());
    site.is_settled();
}

#[test]
fn keys_of_the_hosts_owner_stay_and_a_clash_is_refused() {
    let Some(site) = Site::open() else { return };
    site.host
        .exec("mkdir -p /etc/docker && echo '{\"max-concurrent-downloads\": 7}' >/etc/docker/daemon.json")
        .success();
    site.create(&["--engine-label", "a=1"]);
    let json = || site.on_host("cat /etc/docker/daemon.json");
    assert!(json().contains("\"max-concurrent-downloads\": 7"), "{}", json());
    site.machine(&["set", "web-1", "--engine-label", "a=2"]);
    assert!(json().contains("\"max-concurrent-downloads\": 7") && json().contains("a=2"), "{}", json());
    let before = json();
    site.env.run(&["set", "web-1", "--engine-opt", "max-concurrent-downloads=5"]).failure(2).says(&[
        "error: /etc/docker/daemon.json: the host's daemon.json has max-concurrent-downloads = 7, machine wants 5",
        "\nhint: remove max-concurrent-downloads from the host's daemon.json, or from the machine's engine options\n",
    ]);
    assert_eq!(json(), before);
    site.is_settled();
    // After `rm` the owner's keys are there, our listener is not; and the host may become a machine again.
    site.machine(&["rm", "-y", "web-1"]);
    assert!(json().contains("\"max-concurrent-downloads\": 7") && !json().contains("tcp://"), "{}", json());
    assert_eq!(site.on_host("ss -Hltn sport = :2376; ls /etc/docker"), "daemon.json");
    assert!(site.on_host("cat /opt/machine/daemon.wanted.json").contains("a=2"));
    site.create(&[]);
    assert!(json().contains("tcp://") && !json().contains("a=2"), "{}", json());
    site.is_settled();
    site.machine(&["rm", "-y", "--uninstall", "web-1"]);
    // As its owner wrote it, blanks and all.
    assert_eq!(json(), "{\"max-concurrent-downloads\": 7}");
    assert_eq!(
        site.on_host("ls -d /opt/machine /etc/systemd/system/docker* 2>/dev/null; ls /etc/docker"),
        "daemon.json"
    );
}

#[test]
fn a_registrys_ca_comes_and_goes() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    let dockerd = site.dockerd();
    let made = "openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -out ca.pem -subj /CN=test 2>/dev/null";
    site.env.sh(made).success();
    site.machine(&["set", "web-1", "--engine-registry-ca", "r.example:5000=ca.pem"]);
    assert!(site.on_host("cat /etc/docker/certs.d/r.example:5000/ca.crt").contains("BEGIN CERTIFICATE"));
    site.is_settled();
    site.machine(&["set", "web-1", "--engine-registry-ca", ""]);
    assert_eq!(site.on_host("ls /etc/docker/certs.d 2>/dev/null || true"), "");
    assert_eq!(site.dockerd(), dockerd);
    site.is_settled();
}
