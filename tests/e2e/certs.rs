//! `machine regenerate-certs`: new certificates under running containers.

use crate::site::{Probe, Site};

/// The certificate that is served, by its fingerprint.
#[track_caller]
fn served(site: &Site) -> String {
    let ask = format!(
        "openssl s_client -connect {}:2376 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256",
        site.host.ip()
    );
    let said = site.env.sh(&ask).success().stdout;
    assert!(said.contains("Fingerprint="), "{said}");
    said
}

#[test]
fn new_certificates_come_under_running_containers() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    site.start_c1();
    let (c1, before, containerd) =
        (site.c1(), served(&site), site.on_host("systemctl show -p MainPID --value machine-containerd.service"));
    let probe = Probe::start(site.port());
    let done = site.machine(&["regenerate-certs", "web-1", "-f"]);
    assert!(done.stderr.contains("web-1: start-engine … done"), "{done}");
    let silence = probe.end();
    assert!(silence.as_secs() < 2, "silent for {silence:?}");
    assert_ne!(served(&site), before);
    assert_eq!(site.c1(), c1);
    assert_eq!(site.on_host("systemctl show -p MainPID --value machine-containerd.service"), containerd);
    site.is_settled();
    // Provisioning did not renew them again.
    let now = served(&site);
    site.machine(&["provision", "web-1"]);
    assert_eq!(served(&site), now);
}

#[test]
fn a_further_name_is_in_the_certificate() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    let names = |site: &Site| {
        let ask = "openssl s_client -connect {}:2376 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName";
        site.env.sh(&ask.replace("{}", &site.host.ip().to_string())).success().stdout
    };
    assert!(!names(&site).contains("docker.example"), "{}", names(&site));
    site.machine(&["set", "web-1", "--tls-san", "docker.example"]);
    assert!(names(&site).contains("DNS:docker.example"), "{}", names(&site));
    assert!(!site.version().is_empty());
    site.is_settled();
}

/// Files of the store, by path.
#[track_caller]
fn file(site: &Site, path: &str) -> String {
    std::fs::read_to_string(site.env.store().join(path)).unwrap()
}

/// docker reaches the machine in every way, and how many CAs it believes.
#[track_caller]
fn reached(site: &Site) -> usize {
    assert!(!site.version().is_empty());
    site.env.docker(&["--context", "web-1", "version", "-f", "{{.Server.Version}}"]).success();
    file(site, "machines/web-1/ca.pem").matches("BEGIN CERTIFICATE").count()
}

#[test]
fn a1_a_machine_is_believed_under_its_own_ca_alone() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    let (own, stores) = (file(&site, "machines/web-1/ca.pem"), file(&site, "certs/ca.pem"));
    assert_ne!(own, stores);
    assert_eq!(site.on_host("cat /etc/docker/ca.pem"), stores.trim(), "clients are the store's");
    let ask = |ca: &str| {
        let url = format!("https://{}:2376/version", site.host.ip());
        let pair = "--cert machines/web-1/cert.pem --key machines/web-1/key.pem";
        site.env.sh(&format!("cd \"$MACHINE_STORAGE_PATH\" && curl -sS --cacert {ca} {pair} {url}"))
    };
    assert!(ask("machines/web-1/ca.pem").success().stdout.contains("ApiVersion"));
    // So would a client of another machine of the store see this host, if it posed as that machine's.
    ask("certs/ca.pem").failure(60);
    let mode = std::fs::metadata(site.env.store().join("machines/web-1/ca-key.pem")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    // A renewal keeps it.
    site.machine(&["regenerate-certs", "web-1", "-f"]);
    assert_eq!(file(&site, "machines/web-1/ca.pem"), own);
}

#[test]
fn a1_machines_made_before_keep_the_stores_ca_until_they_are_given_their_own() {
    let Some(site) = Site::open() else { return };
    // As an earlier release left it: one CA for everything. A CA of the user's own signs as the store's did.
    site.machine(&["create", "-d", "none", "--url", "tcp://192.0.2.1:2376", "other"]);
    site.env.sh("cp -r \"$MACHINE_STORAGE_PATH/certs\" before").success();
    let flags = "--tls-ca-cert before/ca.pem --tls-ca-key before/ca-key.pem --tls-client-cert before/cert.pem --tls-client-key before/key.pem";
    let flags: Vec<&str> = flags.split(' ').collect();
    site.create(&flags).says(&["a host with one of its certificates can pose as another's"]);
    assert_eq!(file(&site, "machines/web-1/ca.pem"), file(&site, "certs/ca.pem"));

    let (c1, now) = {
        site.start_c1();
        (site.c1(), served(&site))
    };
    site.machine(&["provision", "web-1"]);
    assert_eq!(served(&site), now);
    assert_eq!(reached(&site), 1);
    let named = |yes: bool| {
        let said = site.env.run(&["doctor"]).stdout;
        assert_eq!(said.contains("their hosts could pose as this one"), yes, "{said}");
    };
    named(true);
    site.machine(&["regenerate-certs", "web-1", "-f"]);
    assert_ne!(file(&site, "machines/web-1/ca.pem"), file(&site, "certs/ca.pem"));
    assert_eq!(reached(&site), 1);
    assert_eq!(site.c1(), c1);
    named(false);
}

#[test]
fn a1_a_change_of_ca_killed_anywhere_leaves_docker_at_work() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    let (first, before) = (file(&site, "machines/web-1/ca.pem"), served(&site));
    let renew = ["regenerate-certs", "web-1", "-f", "--ca"];
    for step in ["claim-host", "issue-certificates", "write-engine-config", "start-engine", "await-engine"] {
        let killed = site.env.machine(&renew).run_killed_at(&format!("web-1: {step} … "));
        // After the last but one the program may be through before it is killed: nothing is left of it that waits.
        assert!(killed.code != 0 || step == "await-engine", "{killed}");
        let trusted = reached(&site);
        // On a busy computer the kill comes late: what has begun by then counts.
        let journal = file(&site, "machines/web-1/journal.jsonl");
        let begun = |step: &str| journal.rsplit("\"begin\"").next().is_some_and(|last| last.contains(step));
        match step {
            "claim-host" if !begun("issue-certificates") => assert_eq!(trusted, 1),
            // Not settled before the engine has shown the new one.
            "issue-certificates" if !begun("start-engine") => assert_eq!((trusted, served(&site)), (2, before.clone())),
            _ => {}
        }
    }
    site.machine(&renew);
    assert_eq!(reached(&site), 1);
    assert!(!file(&site, "machines/web-1/ca.pem").contains(first.trim()));
    assert_ne!(served(&site), before);
    site.is_settled();
}
