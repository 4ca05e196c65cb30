//! `machine env`: what points a docker client at a machine, in the words of each shell.

use std::fmt;
use std::str::FromStr;

use askama::Template;

use crate::{Result, TemplateError, TextFile};

/// A shell we write settings for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// bash, zsh, sh, dash, ksh and the like.
    Posix,
    /// fish
    Fish,
    /// Windows PowerShell and pwsh.
    Powershell,
    /// Windows' command prompt.
    Cmd,
    /// tcsh and csh.
    Tcsh,
    /// Emacs Lisp.
    Emacs,
    /// Nushell.
    Nushell,
}

impl Shell {
    /// The shells by the names `--shell` takes, for help and completions.
    pub const NAMES: &'static [&'static str] =
        &["bash", "zsh", "sh", "fish", "powershell", "cmd", "tcsh", "emacs", "nushell"];

    /// Guesses from `$SHELL` or the path of the parent program: `/usr/bin/fish`, `C:\…\pwsh.exe`. A shell nobody
    /// knows is taken for a POSIX one only if its name ends in `sh`.
    ///
    /// # Errors
    /// [`TemplateError::UnknownShell`]
    pub fn detect(shell_path: &str) -> Result<Self> {
        let name = shell_path.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
        let name = name.strip_suffix(".exe").unwrap_or(&name).trim_start_matches('-');
        name.parse().or_else(|e| if name.ends_with("sh") { Ok(Self::Posix) } else { Err(e) })
    }
}

impl FromStr for Shell {
    type Err = TemplateError;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "bash" | "zsh" | "sh" | "dash" | "ash" | "ksh" | "mksh" | "posix" => Self::Posix,
            "fish" => Self::Fish,
            "powershell" | "pwsh" => Self::Powershell,
            "cmd" => Self::Cmd,
            "tcsh" | "csh" => Self::Tcsh,
            "emacs" => Self::Emacs,
            "nushell" | "nu" => Self::Nushell,
            _ => return Err(TemplateError::UnknownShell(name.to_owned())),
        })
    }
}

impl fmt::Display for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Posix => "sh",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
            Self::Cmd => "cmd",
            Self::Tcsh => "tcsh",
            Self::Emacs => "emacs",
            Self::Nushell => "nushell",
        })
    }
}

/// The variables to set, in order: `DOCKER_TLS_VERIFY`, `DOCKER_HOST`, `DOCKER_CERT_PATH`, `DOCKER_MACHINE_NAME`, and
/// where wanted `COMPOSE_CONVERT_WINDOWS_PATHS` and `NO_PROXY`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvVars {
    /// Name and value.
    pub set: Vec<(String, String)>,
    /// Names to take away before, such as the TLS variables for a URL without TLS.
    pub unset: Vec<String>,
}

/// What `machine env --unset` takes away.
pub const VARIABLES: &[&str] =
    &["DOCKER_TLS_VERIFY", "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_MACHINE_NAME", "COMPOSE_CONVERT_WINDOWS_PATHS"];

macro_rules! env_files {
    ($($set:ident / $unset:ident: $set_path:literal, $unset_path:literal;)*) => { $(
        #[doc = concat!("`", $set_path, "`")]
        #[derive(Debug, Clone, Copy, Template)]
        #[template(path = $set_path)]
        pub struct $set<'a> {
            /// Name and value.
            pub set: &'a [(String, String)],
            /// Names to take away.
            pub unset: &'a [String],
            /// What configures the shell, as text for the last comment line.
            pub command: &'a str,
        }

        #[doc = concat!("`", $unset_path, "`")]
        #[derive(Debug, Clone, Copy, Template)]
        #[template(path = $unset_path)]
        pub struct $unset<'a> {
            /// Names to take away.
            pub unset: &'a [String],
            /// What configures the shell, as text for the last comment line.
            pub command: &'a str,
        }
    )* };
}

env_files! {
    PosixSet / PosixUnset: "env/posix.sh", "env/posix-unset.sh";
    FishSet / FishUnset: "env/fish.fish", "env/fish-unset.fish";
    PowershellSet / PowershellUnset: "env/powershell.ps1", "env/powershell-unset.ps1";
    CmdSet / CmdUnset: "env/cmd.bat", "env/cmd-unset.bat";
    TcshSet / TcshUnset: "env/tcsh.csh", "env/tcsh-unset.csh";
    EmacsSet / EmacsUnset: "env/emacs.el", "env/emacs-unset.el";
    NushellSet / NushellUnset: "env/nushell.nuon", "env/nushell-unset.nuon";
}

/// Returns what sets the variables in `shell`; `command` is how the user got here (`machine env dev`).
///
/// # Errors
/// A value that the shell cannot hold, or a variable name or command that is none.
pub fn render_env(shell: Shell, vars: &EnvVars, command: &str) -> Result<String> {
    let EnvVars { set, unset } = vars;
    let command = &hint(shell, command)?;
    for name in set.iter().map(|(name, _)| name).chain(unset) {
        check_name(shell, name)?;
    }
    // One by one first, so that the error can name the variable.
    for variable in set {
        text(shell, std::slice::from_ref(variable), unset, command).map_err(|e| match e {
            TemplateError::Unquotable { file, why, .. } => {
                TemplateError::Unquotable { file, what: variable.0.clone(), why }
            }
            e => e,
        })?;
    }
    text(shell, set, unset, command)
}

fn text(shell: Shell, set: &[(String, String)], unset: &[String], command: &str) -> Result<String> {
    match shell {
        Shell::Posix => PosixSet { set, unset, command }.text(),
        Shell::Fish => FishSet { set, unset, command }.text(),
        Shell::Powershell => PowershellSet { set, unset, command }.text(),
        Shell::Cmd => CmdSet { set, unset, command }.text(),
        Shell::Tcsh => TcshSet { set, unset, command }.text(),
        Shell::Emacs => EmacsSet { set, unset, command }.text(),
        Shell::Nushell => NushellSet { set, unset, command }.text(),
    }
}

/// Returns what takes the variables `names` away in `shell`.
///
/// # Errors
/// A variable name or command that is none.
pub fn render_unset(shell: Shell, names: &[String], command: &str) -> Result<String> {
    let command = &hint(shell, command)?;
    for name in names {
        check_name(shell, name)?;
    }
    let unset = names;
    match shell {
        Shell::Posix => PosixUnset { unset, command }.text(),
        Shell::Fish => FishUnset { unset, command }.text(),
        Shell::Powershell => PowershellUnset { unset, command }.text(),
        Shell::Cmd => CmdUnset { unset, command }.text(),
        Shell::Tcsh => TcshUnset { unset, command }.text(),
        Shell::Emacs => EmacsUnset { unset, command }.text(),
        Shell::Nushell => NushellUnset { unset, command }.text(),
    }
}

/// The command stands in a comment: a line break in it would be read by the shell.
fn hint(shell: Shell, command: &str) -> Result<String> {
    if command.contains(char::is_control) {
        return Err(TemplateError::Unquotable {
            file: file_of(shell),
            what: "the command to configure the shell".to_owned(),
            why: "it holds a line break",
        });
    }
    Ok(match shell {
        // csh has no comments in an `eval`; unquoted, `:` would run the command once more.
        Shell::Tcsh => format!("eval `{command}`"),
        _ => command.to_owned(),
    })
}

fn check_name(shell: Shell, name: &str) -> Result<()> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit()) {
        return Ok(());
    }
    Err(TemplateError::Unquotable {
        file: file_of(shell),
        what: format!("variable {name:?}"),
        why: "that is not a variable's name",
    })
}

fn file_of(shell: Shell) -> &'static str {
    match shell {
        Shell::Posix => PosixSet::FILE,
        Shell::Fish => FishSet::FILE,
        Shell::Powershell => PowershellSet::FILE,
        Shell::Cmd => CmdSet::FILE,
        Shell::Tcsh => TcshSet::FILE,
        Shell::Emacs => EmacsSet::FILE,
        Shell::Nushell => NushellSet::FILE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_are_found_by_the_base_name_of_their_program() {
        for (path, shell) in [
            ("/bin/bash", Shell::Posix),
            ("/usr/bin/zsh", Shell::Posix),
            ("-zsh", Shell::Posix),
            ("/usr/bin/yash", Shell::Posix),
            ("/usr/bin/fish", Shell::Fish),
            (r"C:\Program Files\PowerShell\7\pwsh.exe", Shell::Powershell),
            (r"C:\Windows\System32\CMD.EXE", Shell::Cmd),
            ("/bin/tcsh", Shell::Tcsh),
            ("/usr/bin/nu", Shell::Nushell),
            ("/usr/bin/emacs", Shell::Emacs),
        ] {
            assert_eq!(Shell::detect(path), Ok(shell), "{path}");
        }
        for path in ["", "/usr/bin/python3", "/usr/bin/xonsh.py"] {
            assert!(matches!(Shell::detect(path), Err(TemplateError::UnknownShell(_))), "{path}");
        }
        for name in Shell::NAMES {
            assert!(name.parse::<Shell>().is_ok(), "{name}");
        }
    }

    #[test]
    fn a_name_or_command_cannot_smuggle_in_a_line() {
        let vars = EnvVars { set: vec![("A=1\nevil".to_owned(), String::new())], unset: Vec::new() };
        assert!(render_env(Shell::Posix, &vars, "machine env dev").is_err());
        assert!(render_unset(Shell::Posix, &["A".to_owned()], "machine\nevil").is_err());
    }

    #[test]
    fn the_error_names_the_variable_and_not_its_value() {
        let vars = EnvVars { set: vec![("DOCKER_CERT_PATH".to_owned(), r"C:\100%".to_owned())], unset: Vec::new() };
        let error = render_env(Shell::Cmd, &vars, "machine env dev").unwrap_err().to_string();
        assert!(error.contains("DOCKER_CERT_PATH") && !error.contains("100"), "{error}");
    }
}
