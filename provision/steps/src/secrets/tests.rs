use std::ffi::OsString;
use std::sync::atomic::{AtomicUsize, Ordering};

use machine_driver::{HostKeySupport, Origin};
use machine_host::{Access, Credentials, Store};

use super::*;

const TOKEN: &str = "dop_v1_5ecre7";

/// A user with a store, and the variables named here.
struct User {
    folder: tempfile::TempDir,
    vars: Vec<(&'static str, String)>,
    /// How often a variable was looked at.
    looks: Arc<AtomicUsize>,
}

impl User {
    fn new(vars: &[(&'static str, &str)]) -> Self {
        let vars = vars.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { folder: tempfile::tempdir().unwrap(), vars, looks: Arc::default() }
    }

    fn secrets(&self) -> Secrets {
        let store = Store::open_or_create(self.folder.path().join("store")).unwrap();
        let (vars, looks) = (self.vars.clone(), Arc::clone(&self.looks));
        let var = move |wanted: &str| {
            looks.fetch_add(1, Ordering::SeqCst);
            vars.iter().find(|(name, _)| *name == wanted).map(|(_, value)| OsString::from(value))
        };
        let env = ResolveEnv {
            var: Arc::new(var),
            credentials: Credentials::new(store.paths()),
            access: Access::quiet(),
            withhold: Vec::new(),
        };
        Secrets::new(env.clone(), env, self.folder.path().to_owned(), None)
    }
}

fn driver() -> Description {
    let note = SecretNote {
        name: "access-token".into(),
        flag: "cloud-access-token".into(),
        env: vec!["CLOUD_ACCESS_TOKEN".into(), "CLOUD_TOKEN".into()],
        value_name: "TOKEN".into(),
        about: String::new(),
    };
    Description {
        name: "cloud".into(),
        about: String::new(),
        flags: Vec::new(),
        stages: Vec::new(),
        abilities: Vec::new(),
        host_gateway: None,
        runs_here: false,
        host_key_flag: None,
        key_flag: None,
        origin: Origin::Made,
        host_key: HostKeySupport::FirstUse,
        secrets: vec![note],
    }
}

fn typed(text: &str) -> GivenSecrets {
    GivenSecrets::from([("access-token".to_owned(), GivenSecret::Typed(Secret::new(text)))])
}

fn default(text: &str) -> GivenSecrets {
    GivenSecrets::from([("access-token".to_owned(), GivenSecret::Default(Secret::new(text)))])
}

fn recorded(text: &str) -> References {
    References::from([("access-token".to_owned(), text.to_owned())])
}

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// What the driver would get.
fn token(user: &User, recorded: &References, given: &GivenSecrets) -> Result<Option<String>> {
    let fetched = now(user.secrets().fetch(&driver(), recorded, given, Asking::Never))?;
    Ok(fetched.get("access-token").map(|secret| secret.expose_secret().to_owned()))
}

#[test]
fn the_nearest_wins() {
    let user = User::new(&[("CLOUD_TOKEN", "by variable"), ("OTHER", " by record\n")]);
    let (none, record, config) = (GivenSecrets::new(), recorded("env:OTHER"), default("env:OTHER"));
    assert_eq!(token(&user, &record, &typed(TOKEN)).unwrap().as_deref(), Some(TOKEN));
    assert_eq!(token(&user, &record, &none).unwrap().as_deref(), Some("by record"));
    assert_eq!(token(&user, &References::new(), &config).unwrap().as_deref(), Some("by variable"));
    let bare = User::new(&[("OTHER", "by config")]);
    assert_eq!(token(&bare, &References::new(), &config).unwrap().as_deref(), Some("by config"));
    assert_eq!(token(&bare, &References::new(), &none).unwrap(), None);
}

#[test]
fn a_variable_or_a_flag_may_hold_a_reference() {
    let user = User::new(&[("CLOUD_TOKEN", "env:OTHER"), ("OTHER", "the other")]);
    let none = References::new();
    assert_eq!(token(&user, &none, &GivenSecrets::new()).unwrap().as_deref(), Some("the other"));
    assert_eq!(token(&user, &none, &typed("env:OTHER")).unwrap().as_deref(), Some("the other"));
    let missing = token(&user, &none, &typed("file:token")).unwrap_err();
    assert_eq!(missing.kind, crate::Kind::Denied);
    assert!(missing.message.contains(user.folder.path().to_str().unwrap()), "{missing}");
}

#[test]
fn what_cannot_be_read_is_asked_once_for_all_machines() {
    let user = User::new(&[]);
    let secrets = user.secrets();
    let (driver, gone, none) = (driver(), recorded("env:GONE"), GivenSecrets::new());
    for _ in 0..3 {
        let error = now(secrets.fetch(&driver, &gone, &none, Asking::Never)).unwrap_err();
        assert_eq!(error.message, "cannot read env:GONE: the variable is not set");
    }
    assert_eq!(user.looks.load(Ordering::SeqCst), 1);
}

/// What the record holds afterwards, and what is said.
fn stored(user: &User, before: &References, given: &GivenSecrets) -> (Option<String>, Vec<String>) {
    let mut references = before.clone();
    let told = now(user.secrets().store(&driver(), &mut references, given)).unwrap();
    (references.remove("access-token"), told)
}

#[test]
fn the_record_gets_references_only() {
    let user = User::new(&[("CLOUD_TOKEN", TOKEN)]);
    let (nothing, none) = (References::new(), GivenSecrets::new());
    assert_eq!(stored(&user, &nothing, &none).0.as_deref(), Some("env:CLOUD_TOKEN"));
    assert_eq!(stored(&user, &recorded("keyring:a"), &none).0.as_deref(), Some("keyring:a"));
    assert_eq!(stored(&user, &recorded("keyring:a"), &typed("keyring:b")).0.as_deref(), Some("keyring:b"));
    let bare = User::new(&[]);
    assert_eq!(stored(&bare, &nothing, &default("keyring:a")).0.as_deref(), Some("keyring:a"));
    assert_eq!(stored(&bare, &nothing, &none), (None, Vec::new()));
}

#[test]
fn several_secrets_of_one_driver_have_names_of_their_own() {
    let mut two = driver();
    let name = |driver: &Description, n: usize| credential_name(driver, &driver.secrets[n]).unwrap().to_string();
    assert_eq!(name(&two, 0), "cloud");
    two.secrets.push(SecretNote { name: "other".into(), ..two.secrets[0].clone() });
    assert_eq!((name(&two, 0), name(&two, 1)), ("cloud".to_owned(), "cloud/other".to_owned()));
}

#[test]
fn what_a_driver_is_given_serves_this_run_and_is_in_the_record_only_as_a_reference() {
    let user = User::new(&[]);
    let secrets = user.secrets();
    let keep = |machine: &str, name: &str| {
        let value = SecretString::from(TOKEN);
        now(secrets.keep(&driver(), machine, name, value, &References::new()))
    };
    // There is no keyring here.
    assert_eq!(keep("one", "access-token").unwrap(), None);
    let kept = |machine: &str| {
        let kept = secrets.kept(machine);
        kept.get("access-token").map(|secret| secret.expose_secret().to_owned())
    };
    assert_eq!((kept("one").as_deref(), kept("other")), (Some(TOKEN), None));
    let unknown = keep("one", "refresh-token").unwrap_err();
    assert_eq!(unknown.message, "driver cloud has no secret refresh-token");
}
