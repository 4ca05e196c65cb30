//! The suite, and the settings from the command line to the status.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use machine_driver::conformance::{World, assert_conforms, assert_conforms_behind_a_pipe, settings_round_trip};
use machine_driver::{
    AnyDriver, BoxFuture, Context, Diagnostic, Folders, InProcess, Kind, SshClient, SshIdentity, Status, Typed,
};
use machine_driver_generic::Generic;

struct Existing(tempfile::TempDir);

impl Existing {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        key(world.0.path(), "id", 0o600, PRIVATE);
        world
    }
}

const PRIVATE: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n";

fn key(folder: &Path, name: &str, mode: u32, text: &str) -> PathBuf {
    use std::io::Write as _;
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let path = folder.join(name);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

impl World for Existing {
    fn driver(&self) -> Box<dyn AnyDriver> {
        Box::new(InProcess::new(Generic))
    }
    fn arguments(&self) -> Vec<String> {
        args("--generic-ip-address 192.0.2.7 --generic-ssh-key id")
    }
    fn folder(&self) -> PathBuf {
        self.0.path().to_owned()
    }
    /// What it could touch: its folder and the key.
    fn things(&self) -> BoxFuture<'_, Vec<String>> {
        let found = std::fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().path());
        let found = found.map(|p| format!("{} {:?}", p.display(), std::fs::read(&p).unwrap())).collect();
        Box::pin(async { found })
    }
    fn machines<'a>(&'a self, _: &'a str) -> BoxFuture<'a, usize> {
        Box::pin(async { 0 })
    }
    fn changes(&self) -> Vec<String> {
        args("--generic-ssh-port=2222 --generic-ssh-user=me --generic-engine-port=2377 --generic-use-ssh-config")
    }
    fn fixed(&self) -> Vec<String> {
        args("--generic-ip-address=192.0.2.8 --generic-ssh-host-key=accept-new")
    }
    /// The contents of the user's key: used by reference, so nobody may ever have read it out.
    fn secrets(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("the key's contents".to_owned(), "b3BlbnNzaC1rZXktdjEA".to_owned())])
    }
}

fn args(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn generic_conforms() {
    assert_conforms(Existing::new).await;
}

#[tokio::test]
async fn generic_conforms_behind_a_pipe() {
    assert_conforms_behind_a_pipe(Existing::new).await;
}

fn context(folder: &Path) -> Context {
    Context::new("web-1", "id", "store").folders(Folders::all(folder))
}

fn parsed(line: &str, working_dir: &Path) -> Result<serde_json::Value, Diagnostic> {
    let typed = Typed { args: args(line), dir: working_dir.to_owned(), ..Typed::default() };
    Ok(serde_json::to_value(InProcess::new(Generic).settings(&typed)?).unwrap())
}

async fn status(line: &str) -> Status {
    let driver: &dyn AnyDriver = &InProcess::new(Generic);
    let settings = parsed(line, Path::new("/home/me")).unwrap();
    driver.inspect(&context(Path::new("/")), &settings, &serde_json::json!({})).await.unwrap()
}

#[test]
fn settings_round_trip_with_every_flag() {
    let sum = "SHA256:uNiVztksCsDhcc0u9e8BrJQXVUpKZIDTMCzCvj3tD2s";
    let line = format!(
        "--generic-ip-address [fd00::1] --generic-ssh-user debian --generic-ssh-key keys/id --generic-ssh-port 2222 \
         --generic-engine-port 3376 --generic-ssh-host-key {sum} --generic-jump-host me@bastion:22 --generic-use-ssh-config \
         --generic-ssh-transport openssh"
    );
    let value = settings_round_trip(&InProcess::new(Generic), &args(&line), Path::new("/home/me")).unwrap();
    insta::assert_snapshot!(value, @r#"{"ip-address":"fd00::1","ssh-user":"debian","ssh-key":"/home/me/keys/id","ssh-port":2222,"engine-port":3376,"ssh-host-key":"SHA256:uNiVztksCsDhcc0u9e8BrJQXVUpKZIDTMCzCvj3tD2s","jump-host":"me@bastion:22","use-ssh-config":true,"ssh-transport":"openssh"}"#);
    let value = settings_round_trip(&InProcess::new(Generic), &args("--generic-ip-address a"), Path::new("/")).unwrap();
    insta::assert_snapshot!(value, @r#"{"ip-address":"a","ssh-user":"root","ssh-port":22,"engine-port":2376,"use-ssh-config":false}"#);
}

#[tokio::test]
async fn the_status_says_how_to_get_in() {
    let plain = status("--generic-ip-address 192.0.2.7").await;
    let ssh = plain.ssh.unwrap();
    assert_eq!(
        (ssh.host.as_str(), ssh.port, ssh.user.as_str(), ssh.identity),
        ("192.0.2.7", 22, "root", SshIdentity::Agent)
    );
    let engine = plain.engine.unwrap();
    assert_eq!((engine.host.as_str(), engine.port, engine.host_port), ("192.0.2.7", 2376, 2376));

    let full = status("--generic-ip-address h --generic-ssh-key id --generic-jump-host j:2 --generic-ssh-host-key accept-new --generic-use-ssh-config --generic-ssh-transport openssh").await;
    let ssh = full.ssh.unwrap();
    assert_eq!(ssh.identity, SshIdentity::File("/home/me/id".to_owned()));
    assert_eq!(
        (ssh.jump_host.as_deref(), ssh.host_key.as_deref(), ssh.use_ssh_config, ssh.client),
        (Some("j:2"), Some("accept-new"), true, SshClient::OpenSsh)
    );
}

#[test]
fn what_contradicts_itself_is_refused_with_a_hint() {
    let refused = |line: &str| {
        let error = parsed(line, Path::new("/")).unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        format!("{error}\nhint: {}", error.hint.as_ref().unwrap())
    };
    insta::assert_snapshot!(refused(""), @r"
    driver generic requires the --generic-ip-address option
    hint: say which host, as in --generic-ip-address 192.0.2.7, or set GENERIC_IP_ADDRESS
    ");
    insta::assert_snapshot!(refused("--generic-ip-address a --generic-ssh-port 2376"), @r"
    SSH and the engine cannot both be at port 2376
    hint: choose another --generic-engine-port
    ");
    insta::assert_snapshot!(refused("--generic-ip-address a --generic-ssh-key ~/id"), @r#"
    the shell left "~/id" as it is
    hint: write --generic-ssh-key "$HOME/id"
    "#);
}

#[test]
fn malformed_flags_are_refused_while_parsing() {
    for line in [
        "--generic-ip-address tcp://a",
        "--generic-ip-address a --generic-ssh-port 0",
        "--generic-ip-address a --generic-ssh-port 65536",
        "--generic-ip-address a --generic-ssh-user a;b",
        "--generic-ip-address a --generic-ssh-host-key no",
        "--generic-ip-address a --generic-jump-host a,,b",
    ] {
        let error = parsed(line, Path::new("/")).unwrap_err();
        assert_eq!(error.kind, Kind::Usage, "{line}");
        assert!(error.message.starts_with("invalid value"), "{line}: {error}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_open_anything_is_refused_before_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    key(folder.path(), "good", 0o600, PRIVATE);
    key(folder.path(), "open", 0o644, PRIVATE);
    key(folder.path(), "good.pub", 0o600, "ssh-ed25519 AAAA me\n");
    key(folder.path(), "text", 0o600, "hello\n");
    let driver: &dyn AnyDriver = &InProcess::new(Generic);
    let check = async |name: &str| {
        let settings = parsed(&format!("--generic-ip-address a --generic-ssh-key {name}"), folder.path()).unwrap();
        driver.check(&context(folder.path()), &settings).await
    };
    check("good").await.unwrap();
    let mut shown = String::new();
    for name in ["missing", ".", "open", "good.pub", "text"] {
        let error = check(name).await.unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        shown = format!("{shown}{error}\n  hint: {}\n", error.hint.as_ref().unwrap())
            .replace(folder.path().to_str().unwrap(), "DIR");
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn help_is_docker_machine_s_and_more() {
    let driver: &dyn AnyDriver = &InProcess::new(Generic);
    insta::assert_snapshot!(driver.description().command().term_width(100).render_help());
}
