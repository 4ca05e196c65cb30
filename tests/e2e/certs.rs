//! `machine regenerate-certs`: new certificates under running containers (research/engine.md §4).

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
    let _ = site.create(&[]);
    site.start_c1();
    let (c1, before, containerd) =
        (site.c1(), served(&site), site.on_host("systemctl show -p MainPID --value containerd.service"));
    let probe = Probe::start(site.port());
    let done = site.machine(&["regenerate-certs", "web-1", "-f"]);
    assert!(done.stderr.contains("web-1: start-engine … done"), "{done}");
    let silence = probe.end();
    assert!(silence.as_secs() < 2, "silent for {silence:?}");
    assert_ne!(served(&site), before);
    assert_eq!(site.c1(), c1);
    assert_eq!(site.on_host("systemctl show -p MainPID --value containerd.service"), containerd);
    site.is_settled();
    // Provisioning did not renew them again.
    let now = served(&site);
    let _ = site.machine(&["provision", "web-1"]);
    assert_eq!(served(&site), now);
}

#[test]
fn a_further_name_is_in_the_certificate() {
    let Some(site) = Site::open() else { return };
    let _ = site.create(&[]);
    let names = |site: &Site| {
        let ask = "openssl s_client -connect {}:2376 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName";
        site.env.sh(&ask.replace("{}", &site.host.ip().to_string())).success().stdout
    };
    assert!(!names(&site).contains("docker.example"), "{}", names(&site));
    let _ = site.machine(&["set", "web-1", "--tls-san", "docker.example"]);
    assert!(names(&site).contains("DNS:docker.example"), "{}", names(&site));
    assert!(!site.version().is_empty());
    site.is_settled();
}
