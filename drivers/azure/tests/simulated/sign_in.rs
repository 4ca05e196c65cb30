//! Every way of signing in, up to the first list; which of them is taken; and what each is refused for.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use machine_driver::{InProcess, Kind};
use machine_driver_azure::{Azure, Surroundings};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};

use crate::azure::{CLIENT, Certificate, REQUEST_TOKEN, SUBSCRIPTION, Simulator, TENANT};
use crate::cloud::{Core, FAST, SECRET, TOKEN, assert_contract, simulator};
use crate::frame::shown;

/// Of another identity provider.
const FEDERATED: &str = "f3d3ra7ed~f3d3ra7ed";

const DEVICE: &str = "POST /organizations/oauth2/v2.0/devicecode";

/// A computer, and a subscription that it may get into.
struct Computer {
    simulator: Arc<Simulator>,
    folder: tempfile::TempDir,
    surroundings: Surroundings,
}

impl Computer {
    fn new() -> Self {
        let (simulator, folder) = (Arc::new(simulator()), tempfile::tempdir().unwrap());
        let surroundings =
            Surroundings { az: "/nowhere/az".into(), at_azure: || false, az_limit: Duration::from_secs(60) };
        Self { simulator, folder, surroundings }
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own input, read by nobody until it is written")]
    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A stand-in that writes down what it is told, and then does this.
    fn az(&mut self, script: &str) {
        let told = self.folder.path().join("told");
        let path = self.file("az", format!("#!/bin/sh\necho \"$@\" >>{}\n{script}\n", told.display()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.surroundings.az = path.into();
    }

    fn az_was_told(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("told")).unwrap_or_default()
    }

    /// A machine as a process of this computer would hold it.
    fn core(&self, flags: &str, secrets: &[(&str, &str)]) -> Core {
        let url = self.simulator.url();
        let flags = format!(
            "--azure-arm-url {url} --azure-authority-host {url} --azure-pod-identity-authority-host {url} \
             --azure-subscription-id {SUBSCRIPTION} {flags}"
        );
        let driver = Arc::new(InProcess::new(Azure::elsewhere(FAST, self.surroundings.clone())));
        Core::new(Arc::clone(&self.simulator), driver, 1, &flags, secrets)
    }

    /// How it signed in: the requests before the first one to Resource Manager.
    fn signed_in(&self) -> Vec<String> {
        let all = self.simulator.exchanges();
        let before = all.iter().take_while(|e| !e.path.starts_with("/subscriptions"));
        before.map(|e| format!("{} {}", e.method, e.path)).collect()
    }
}

fn application() -> String {
    format!("--azure-tenant-id {TENANT} --azure-client-id {CLIENT}")
}

/// The certificate and its key, as one PEM, and what is registered of it.
fn certificate(key: &KeyPair) -> (String, Certificate) {
    let made = CertificateParams::new(vec!["machine".to_owned()]).unwrap().self_signed(key).unwrap();
    let registered = Certificate { der: made.der().to_vec(), public_key: key.der_bytes().to_vec() };
    (format!("{}{}", key.serialize_pem(), made.pem()), registered)
}

fn rsa() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()
}

/// The first list works, and nothing secret is in anything that is kept.
async fn assert_lists(core: &Core) {
    let found = core.machines().await.unwrap_or_else(|error| panic!("{}", shown(&error)));
    assert_eq!(found.len(), 0);
    let kept = format!("{} {} {:?}", core.machine, core.said(), core.simulator.exchanges());
    for secret in [TOKEN, SECRET, FEDERATED, REQUEST_TOKEN, "PRIVATE"] {
        assert!(!kept.contains(secret), "{secret} is in {kept}");
    }
    assert_contract(&core.simulator);
}

async fn refused(core: &Core, kind: Kind, message: &str, hint: &str) {
    let error = core.check().await.unwrap_err();
    assert_eq!(error.kind, kind, "{}", shown(&error));
    assert!(shown(&error).contains(message), "{}", shown(&error));
    assert!(error.hint.as_ref().unwrap().contains(hint), "{}", shown(&error));
    let got_in = |path: &str| path.starts_with("/subscriptions");
    assert!(!core.simulator.exchanges().iter().any(|e| got_in(&e.path)), "{}", shown(&error));
}

#[tokio::test]
async fn by_certificate() {
    let (key, computer) = (rsa(), Computer::new());
    let (pem, registered) = certificate(&key);
    let path = computer.file("client.pem", &pem);
    let flags = format!("{} --azure-client-certificate-path {path}", application());
    let core = computer.core(&flags, &[]);
    refused(&core, Kind::Denied, "AADSTS700027", "--cert").await;
    computer.simulator.register(registered);
    assert_lists(&core).await;
    let form = computer.simulator.exchanges().last().unwrap().clone();
    assert_eq!(form.request, serde_json::Value::Null, "the list is a GET");
    // The key of somebody else, under the same certificate.
    let forged = format!("{}{}", rsa().serialize_pem(), &pem[pem.find("-----BEGIN CERTIFICATE").unwrap()..]);
    let other = Computer::new();
    other.simulator.register(certificate(&key).1);
    let path = other.file("client.pem", forged);
    let core = other.core(&format!("{} --azure-client-certificate-path {path}", application()), &[]);
    refused(&core, Kind::Denied, "The assertion is not valid", "az ad app").await;
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_with_what_makes_it_one() {
    let computer = Computer::new();
    let (pem, _) = certificate(&rsa());
    let bare = pem.find("-----BEGIN CERTIFICATE").unwrap();
    let elliptic = certificate(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()).0;
    let encrypted = pem.replace(" PRIVATE KEY", " ENCRYPTED PRIVATE KEY");
    let cases: &[(&str, &[u8], &str, &str)] = &[
        ("client.pfx", b"\x30\x82\x0a\x01\xff\xfe", "is not a certificate in PEM", "openssl pkcs12 -in"),
        ("encrypted.pem", encrypted.as_bytes(), "is encrypted", "openssl rsa -in"),
        ("key.pem", &pem.as_bytes()[..bare], "there is no certificate in", "one PEM file"),
        ("certificate.pem", &pem.as_bytes()[bare..], "there is no RSA key in", "2048 bits"),
        ("elliptic.pem", elliptic.as_bytes(), "there is no RSA key in", "2048 bits"),
    ];
    for (name, bytes, message, hint) in cases {
        let path = computer.file(name, bytes);
        let core = computer.core(&format!("{} --azure-client-certificate-path {path}", application()), &[]);
        refused(&core, Kind::Usage, message, hint).await;
    }
    let core = computer.core(&format!("{} --azure-client-certificate-path /nowhere.pem", application()), &[]);
    refused(&core, Kind::Usage, "cannot read the certificate", "--azure-client-certificate-path").await;
    assert!(computer.simulator.exchanges().is_empty());
}

#[tokio::test]
async fn by_a_federated_token_whose_file_is_read_each_time() {
    let computer = Computer::new();
    // A token that is over at once: each command signs in anew.
    computer.simulator.behaves(|b| (b.token_seconds, b.federated) = (60, FEDERATED.to_owned()));
    let path = computer.file("token", format!("{FEDERATED}\n"));
    let core = computer.core(&format!("{} --azure-federated-token-file {path}", application()), &[]);
    assert_lists(&core).await;
    let next = format!("{FEDERATED}~2");
    computer.simulator.behaves(|b| b.federated.clone_from(&next));
    let error = core.machines().await.unwrap_err();
    assert!(error.hint.as_ref().unwrap().contains("federated-credential"), "{}", shown(&error));
    let _ = computer.file("token", next);
    assert_lists(&core).await;
    let other = Computer::new();
    let path = other.file("token", " \n");
    let core = other.core(&format!("{} --azure-federated-token-file {path}", application()), &[]);
    refused(&core, Kind::Usage, "there is no token in", "--azure-federated-token-file").await;
}

#[tokio::test]
async fn by_a_token_of_github_s() {
    let computer = Computer::new();
    computer.simulator.behaves(|b| FEDERATED.clone_into(&mut b.federated));
    let url = format!("{}/github/token", computer.simulator.url());
    let job = |url: &str, token: &str| {
        computer.core(&application(), &[("id-token-request-url", url), ("id-token-request-token", token)])
    };
    assert_lists(&job(&url, REQUEST_TOKEN)).await;
    assert_eq!(computer.signed_in(), ["GET /github/token", &format!("POST /{TENANT}/oauth2/v2.0/token")]);
    let other = Computer::new();
    let job = |url: &str, token: &str| {
        let flags = format!("{} --azure-auth federated", application());
        other.core(&flags, &[("id-token-request-url", url), ("id-token-request-token", token)])
    };
    let url = format!("{}/github/token", other.simulator.url());
    refused(&job(&url, "wrong"), Kind::Denied, "GitHub answered 401", "id-token: write").await;
    refused(&job("http://github.example/token", "x"), Kind::Usage, "not an https URL", "GitHub has set").await;
    refused(&job("", ""), Kind::Denied, "no federated token", "id-token: write").await;
}

#[tokio::test]
async fn by_a_managed_identity_that_comes_up_late() {
    let computer = Computer::new();
    computer.simulator.behaves(|b| b.identity_late = 3);
    let core = computer.core(&format!("--azure-auth managed --azure-client-id {CLIENT}"), &[]);
    assert_lists(&core).await;
    assert_eq!(computer.signed_in(), ["GET /metadata/identity/oauth2/token"; 4]);
    let other = Computer::new();
    other.simulator.behaves(|b| b.no_identity = true);
    let core = other.core("--azure-auth managed", &[]);
    refused(&core, Kind::Denied, "Identity not found", "az vm identity assign").await;
}

#[tokio::test]
async fn by_az_once_for_a_process_and_with_nothing_secret_in_what_it_is_told() {
    let mut computer = Computer::new();
    let token = computer.simulator.token();
    computer.az(&format!("echo '{{\"accessToken\": \"{token}\", \"expires_on\": 4102444800, \"tenant\": \"t\"}}'"));
    let core = computer.core("--azure-auth cli", &[("client-secret", SECRET)]);
    assert_lists(&core).await;
    assert_lists(&core).await;
    let told = "account get-access-token -o json --scope https://management.azure.com/.default";
    assert_eq!(computer.az_was_told(), format!("{told} --subscription {SUBSCRIPTION}\n"));
    assert_lists(&computer.core(&format!("--azure-tenant-id {TENANT}"), &[])).await;
    assert!(computer.az_was_told().ends_with(&format!("{told} --tenant {TENANT}\n")), "{}", computer.az_was_told());
}

#[tokio::test]
async fn an_az_that_gives_no_token_says_why() {
    let mut computer = Computer::new();
    refused(&computer.core("--azure-auth cli", &[]), Kind::Usage, "cannot run az", "aka.ms/azure-cli").await;
    computer.az("echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1");
    refused(&computer.core("", &[]), Kind::Denied, "Please run 'az login'", "`az login`").await;
    computer.az("echo 'accessToken: x'");
    refused(&computer.core("", &[]), Kind::Failure, "did not answer in JSON", "az version").await;
    computer.surroundings.az_limit = Duration::from_millis(100);
    computer.az("exec sleep 60");
    refused(&computer.core("", &[]), Kind::Timeout, "waited 0 s", "az account show").await;
}

#[tokio::test]
async fn by_a_code_on_a_terminal_and_never_again_without_need() {
    let computer = Computer::new();
    let words = ["authorization_pending", "slow_down", "authorization_pending"].map(str::to_owned);
    computer.simulator.behaves(|b| b.device_words = words.into());
    let mut core = computer.core("--azure-auth device", &[]);
    refused(&computer.core("--azure-auth device", &[]), Kind::Denied, "nobody is here", "on a terminal").await;
    assert!(computer.simulator.exchanges().is_empty());
    core.attended = true;
    assert_lists(&core).await;
    assert!(core.said().contains("enter the code ABCD-1234"), "{}", core.said());
    assert_eq!(computer.signed_in()[0], DEVICE);
    // What was kept for it serves a process in which nobody is there.
    let kept = core.kept.lock().unwrap()["refresh-token"].clone();
    let asked = computer.simulator.sent("POST", "/*/oauth2/v2.0/devicecode");
    let later = computer.core("--azure-auth device", &[("refresh-token", &kept)]);
    assert_lists(&later).await;
    assert_eq!(computer.simulator.sent("POST", "/*/oauth2/v2.0/devicecode"), asked);
    assert!(!format!("{:?}", computer.simulator.exchanges()).contains(&kept));
    // One that was taken back needs somebody.
    let mut late = computer.core("--azure-auth device", &[("refresh-token", &kept)]);
    let error = late.machines().await.unwrap_err();
    assert!(shown(&error).contains("refresh token has expired"), "{}", shown(&error));
    late.attended = true;
    assert_lists(&late).await;
    assert_eq!(computer.simulator.sent("POST", "/*/oauth2/v2.0/devicecode"), asked + 1);
}

#[tokio::test]
async fn a_code_that_is_declined_or_forgotten_ends_it() {
    let computer = Computer::new();
    let mut core = computer.core(&format!("--azure-auth device --azure-tenant-id {TENANT}"), &[]);
    core.attended = true;
    for (word, hint) in [("authorization_declined", "declined in the browser"), ("expired_token", "in time")] {
        computer.simulator.behaves(|b| b.device_words = vec![word.to_owned()]);
        refused(&core, Kind::Denied, word, hint).await;
    }
    computer
        .simulator
        .behaves(|b| (b.device_words, b.device_seconds) = (vec!["authorization_pending".to_owned(); 3], 0));
    refused(&core, Kind::Timeout, "you to sign in", "run the command again").await;
}

#[tokio::test]
async fn the_first_that_something_is_there_for_is_taken_in_one_order() {
    let mut computer = Computer::new();
    let (pem, registered) = certificate(&rsa());
    computer.simulator.register(registered);
    computer.simulator.behaves(|b| FEDERATED.clone_into(&mut b.federated));
    let (pem, token) = (computer.file("client.pem", pem), computer.file("token", FEDERATED));
    let given = computer.simulator.token();
    computer.az(&format!("echo '{{\"accessToken\": \"{given}\"}}'"));
    computer.surroundings.at_azure = || true;
    let certificate = format!("--azure-client-certificate-path {pem}");
    let federated = format!("--azure-federated-token-file {token}");
    let seen = async |flags: &str, secrets: &[(&str, &str)], computer: &Computer| {
        let before = computer.simulator.exchanges().len();
        computer.core(&format!("{flags} {}", application()), secrets).machines().await.unwrap();
        let first = computer.simulator.exchanges()[before].clone();
        let proof = ["client_secret", "client_assertion"].into_iter().find(|name| first.request[name].is_string());
        (first.path.split('/').nth(1).unwrap().to_owned(), proof)
    };
    let all = format!("{certificate} {federated}");
    let tenant = TENANT.to_owned();
    assert_eq!(seen(&all, &[("client-secret", SECRET)], &computer).await, (tenant.clone(), Some("client_secret")));
    computer.simulator.behaves(|b| b.federated.clear());
    assert_eq!(seen(&all, &[], &computer).await, (tenant.clone(), Some("client_assertion")), "by the certificate");
    computer.simulator.behaves(|b| FEDERATED.clone_into(&mut b.federated));
    assert_eq!(seen(&federated, &[], &computer).await, (tenant, Some("client_assertion")), "by the file");
    assert_eq!(seen("", &[], &computer).await, ("metadata".to_owned(), None));
    computer.surroundings.at_azure = || false;
    assert_eq!(seen("", &[], &computer).await, ("subscriptions".to_owned(), None), "by az, and by no code");
    assert!(!Path::new("/nowhere/az").exists() && computer.az_was_told().lines().count() == 1);
}
