//! From a reference to the secret. The main function is [`resolve`].

use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::access::KeeperError;
use super::{Access, Credentials, Reference, Secret, command};
use crate::error::Result;

/// The longest secret, in bytes: nothing of the kind is longer, and a wrong file may be.
pub(super) const LONGEST: u64 = 64 * 1024;

/// Looks an environment variable up.
pub type Variables = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// What resolving may use. Cheap to make and to clone.
#[derive(Clone)]
pub struct ResolveEnv {
    /// The caller's environment: `env:` looks here.
    pub var: Variables,
    /// Where `keyring:` looks.
    pub credentials: Credentials,
    /// Whether people may be asked.
    pub access: Access,
    /// Variables that a `command:` does not get: other secrets.
    pub withhold: Vec<String>,
}

impl fmt::Debug for ResolveEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolveEnv").field("access", &self.access).finish_non_exhaustive()
    }
}

/// Fetches the secret, without blanks and line breaks around it. Blocks.
///
/// # Errors
/// [`crate::Error::Credential`], which names the reference and never holds the secret: nothing there, empty, not text,
/// readable by everybody, too late, or somebody would have to be asked and must not be.
pub fn resolve(reference: &Reference, env: &ResolveEnv) -> Result<Secret> {
    let found = match reference {
        Reference::Keyring(name) => return env.credentials.get(name, &env.access),
        Reference::Env(name) => from_variable(name, (env.var)(name)),
        Reference::File(path) => from_file(path),
        Reference::Command(line) => command::run(line, &env.access, &env.withhold),
    };
    found.map_err(|error| error.of("read", reference))
}

fn from_variable(name: &str, value: Option<OsString>) -> Result<Secret, KeeperError> {
    let value = value.filter(|value| !value.is_empty());
    let value = value.ok_or_else(|| KeeperError::new("the variable is not set").hint(format!("set {name}")))?;
    text(value.into_encoded_bytes())
}

fn from_file(path: &Path) -> Result<Secret, KeeperError> {
    if path.is_relative() {
        return Err(KeeperError::new("the path is relative").hint("give the whole path"));
    }
    let mut options = OpenOptions::new();
    options.read(true);
    // A pipe without a writer would hold us.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path).map_err(|e| KeeperError::new(e.to_string()))?;
    let about = file.metadata().map_err(|e| KeeperError::new(e.to_string()))?;
    if !about.is_file() {
        return Err(KeeperError::new("it is not a plain file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = about.permissions().mode() & 0o777;
        let fix = || format!("`chmod 600 {}`", path.display());
        if mode & 0o007 != 0 {
            return Err(
                KeeperError::new(format!("everybody on this computer may use the file (mode {mode:04o})")).hint(fix())
            );
        }
        if mode & 0o020 != 0 {
            return Err(KeeperError::new(format!("its group may change the file (mode {mode:04o})")).hint(fix()));
        }
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|e| KeeperError::new(e.to_string()))?;
    text(bytes)
}

/// Bytes as a secret: text, not empty, not endless, no blanks around it.
pub(super) fn text(bytes: Vec<u8>) -> Result<Secret, KeeperError> {
    if bytes.len() as u64 > LONGEST {
        return Err(KeeperError::new(format!("it is longer than {} KiB", LONGEST / 1024)));
    }
    // Neither error may carry the bytes.
    let text = String::from_utf8(bytes).map_err(|_| KeeperError::new("it is not text (UTF-8)"))?;
    let whole = Secret::new(text);
    let trimmed = whole.expose().trim();
    if trimmed.is_empty() {
        return Err(KeeperError::new("it is empty"));
    }
    if trimmed.contains('\0') {
        return Err(KeeperError::new("it is not text (it holds a zero byte)"));
    }
    Ok(Secret::new(trimmed))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{Kind, StorePaths};

    const TOKEN: &str = "dop_v1_5ecre7";

    fn env(folder: &Path) -> ResolveEnv {
        ResolveEnv {
            var: Arc::new(|name| match name {
                "TOKEN" => Some(format!("{TOKEN}\n").into()),
                "EMPTY" => Some("".into()),
                "BLANK" => Some(" \n".into()),
                _ => None,
            }),
            credentials: Credentials::new(&StorePaths::new(folder)),
            access: Access::quiet(),
            withhold: vec!["PATH".into()],
        }
    }

    fn get(text: &str) -> Result<Secret> {
        let folder = tempfile::tempdir().unwrap();
        resolve(&text.parse().unwrap(), &env(folder.path()))
    }

    /// The error's text, after looking that the token is nowhere in it.
    fn refusal(text: &str) -> String {
        let error = get(text).unwrap_err();
        let all = format!("{error} {error:?} {:?}", error.hint());
        assert!(!all.contains(TOKEN), "{all}");
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        error.to_string()
    }

    fn file(folder: &Path, text: impl AsRef<[u8]>, mode: u32) -> String {
        let path = folder.join("token");
        machine_base::files::write(&path, text, machine_base::files::Mode::Private).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        format!("file:{}", path.display())
    }

    #[test]
    fn variables() {
        assert_eq!(get("env:TOKEN").unwrap().expose(), TOKEN);
        assert_eq!(refusal("env:NONE"), "cannot read env:NONE: the variable is not set");
        assert_eq!(refusal("env:EMPTY"), "cannot read env:EMPTY: the variable is not set");
        assert_eq!(refusal("env:BLANK"), "cannot read env:BLANK: it is empty");
    }

    #[test]
    fn files_by_mode_and_content() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o400, 0o640, 0o440] {
            let reference = file(folder.path(), format!(" {TOKEN}\r\n"), mode);
            assert_eq!(get(&reference).unwrap().expose(), TOKEN, "{mode:o}");
        }
        for (mode, why) in [
            (0o644, "everybody on this computer may use the file (mode 0644)"),
            (0o604, "everybody on this computer may use the file (mode 0604)"),
            (0o602, "everybody on this computer may use the file (mode 0602)"),
            (0o660, "its group may change the file (mode 0660)"),
        ] {
            let reference = file(folder.path(), TOKEN, mode);
            assert_eq!(refusal(&reference), format!("cannot read {reference}: {why}"));
        }
        for (bytes, why) in [
            (&b"\n"[..], "it is empty"),
            (b"dop_v1_5ecre7\xff", "it is not text (UTF-8)"),
            (b"dop_v1_5ecre7\0x", "it is not text (it holds a zero byte)"),
            (&[b'x'; 70_000], "it is longer than 64 KiB"),
        ] {
            let reference = file(folder.path(), bytes, 0o600);
            assert_eq!(refusal(&reference), format!("cannot read {reference}: {why}"));
        }
        let reference = format!("file:{}", folder.path().display());
        assert_eq!(refusal(&reference), format!("cannot read {reference}: it is not a plain file"));
        assert!(refusal("file:/no/such").ends_with("No such file or directory (os error 2)"));
        assert_eq!(refusal("file:token"), "cannot read file:token: the path is relative");
    }

    #[test]
    fn a_pipe_does_not_hold_us() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
        assert!(refusal(&format!("file:{}", pipe.display())).ends_with("it is not a plain file"));
    }

    #[test]
    fn commands() {
        // Words are split, and nothing in them is expanded.
        assert_eq!(get("command:/bin/echo 'a  b' $HOME").unwrap().expose(), "a  b $HOME");
        assert_eq!(get("command:/bin/sh -c 'echo $0-$#' x 'y z'").unwrap().expose(), "x-1");
        // Standard input is empty, and the variables withheld are not there.
        assert_eq!(get("command:/bin/sh -c 'read x; echo \"[$x]\"'").unwrap().expose(), "[]");
        assert_eq!(get("command:/usr/bin/env -u X /bin/sh -c 'echo ok'").unwrap().expose(), "ok");
        let path = get("command:/usr/bin/printenv PATH").unwrap_err().to_string();
        assert!(path.ends_with("the program ended with exit status: 1"), "{path}");
        assert_eq!(refusal("command:true"), "cannot read command:true: it is empty");
        let missing = refusal("command:/no/such thing");
        assert!(missing.contains("cannot run /no/such: No such file"), "{missing}");
        // What a program says when it fails is told; what it wrote as the secret is not.
        let failed = refusal("command:/bin/sh -c 'echo dop_v1_$0; echo no dop_v1_$0 for you >&2; exit 3' 5ecre7");
        assert!(failed.ends_with("the program ended with exit status: 3: no [redacted] for you"), "{failed}");
        let long = refusal("command:/usr/bin/head -c 70000 /dev/zero");
        assert!(long.ends_with("it is longer than 64 KiB"), "{long}");
    }

    #[test]
    fn a_command_that_is_late_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let mut env = env(folder.path());
        env.access.deadline = Duration::from_millis(300);
        let line = format!("command:/bin/sh -c 'sleep 60 & echo $! > {}; wait'", pid.display());
        let started = Instant::now();
        let error = resolve(&line.parse().unwrap(), &env).unwrap_err();
        assert!(error.to_string().ends_with("no answer within 0.3 s"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
        let child: i32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        // Gone, or a zombie that nobody here has to reap.
        let gone = || match std::fs::read_to_string(format!("/proc/{child}/stat")) {
            Ok(stat) => stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'),
            Err(_) => true,
        };
        while !gone() {
            assert!(Instant::now() < deadline, "the sleep outlives the command's deadline");
            std::thread::yield_now();
        }
    }
}
