//! `machine credentials`: tokens and passwords of providers, kept under names.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Subcommand, ValueEnum};
use machine_base::Kind;
use machine_host::secrets::{Access, Credential, Keeper, Variables};
use machine_host::{CredentialName, Credentials, Reference, ResolveEnv, Secret, Store, resolve};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::output;
use crate::output::document::{self, Column, DocumentFormat, format_rows};
use crate::report::Report;
use crate::session::Session;
use crate::terminal::Raw;
use crate::{env_vars, secret_vars};

/// The longest secret, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Keep tokens and passwords of providers under names, in the keyring
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Wherever a driver takes a secret it also takes a reference to one: keyring:NAME, env:VAR, file:PATH or command:PROGRAM ARGS…"
)]
pub(crate) struct CredentialsArgs {
    #[command(subcommand)]
    command: CredentialsCommand,
}

#[derive(Debug, Subcommand)]
enum CredentialsCommand {
    /// Keep a secret, read from the terminal without echo or from standard input; prints the reference to it
    Set {
        /// Its name, e.g. the provider's
        name: String,
        /// Where it is kept
        #[arg(long, value_enum, value_name = "WHERE", default_value = "keyring")]
        keep_in: KeepIn,
    },
    /// List them; no keyring is opened
    Ls {
        /// Names only
        #[arg(short, long)]
        quiet: bool,
        /// A line for each through a Go template; begin with "table" for columns
        #[arg(short, long, value_name = "TEMPLATE", conflicts_with_all = ["quiet", "output"])]
        format: Option<String>,
        /// A document for programs
        #[arg(short, long, value_enum, conflicts_with = "quiet")]
        output: Option<DocumentFormat>,
    },
    /// Remove them
    Rm {
        /// Names
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// Even if machines use them, or the keyring cannot be reached
        #[arg(short, long)]
        force: bool,
    },
    /// Check whether they can be read; none is shown
    Test {
        /// Names, or references [default: all, and the keyring itself]
        #[arg(value_name = "NAME|REFERENCE")]
        which: Vec<String>,
    },
}

/// `--keep-in`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum KeepIn {
    /// The system's keyring
    Keyring,
    /// The Linux kernel's keyring: lost at the end of the session
    Kernel,
    /// A file in the store, encrypted under a passphrase
    File,
}

impl From<KeepIn> for Keeper {
    fn from(keep_in: KeepIn) -> Self {
        match keep_in {
            KeepIn::Keyring => Self::Keyring,
            KeepIn::Kernel => Self::Kernel,
            KeepIn::File => Self::File,
        }
    }
}

/// What `--format` may name.
const COLUMNS: &[Column] = &[
    Column { field: "Name", title: "NAME" },
    Column { field: "Reference", title: "REFERENCE" },
    Column { field: "KeptIn", title: "KEPT IN" },
    Column { field: "Set", title: "SET" },
    Column { field: "Machines", title: "MACHINES" },
];

const TABLE: &str = "table {{.Name}}\t{{.KeptIn}}\t{{.Set}}\t{{join .Machines \",\"}}";

pub(crate) fn run(session: &Session, args: CredentialsArgs) -> Result<(), CommandError> {
    match args.command {
        CredentialsCommand::Set { name, keep_in } => set(session, &name, keep_in.into()),
        CredentialsCommand::Ls { quiet, format, output } => ls(session, quiet, format.as_deref(), output),
        CredentialsCommand::Rm { names, force } => rm(session, &names, force),
        CredentialsCommand::Test { which } => test(session, &which),
    }
}

/// What resolving may use in this run: people are asked only where there is a terminal, and with nothing moving on it.
pub(crate) fn resolve_env(store: &Store, may_prompt: bool, report: Option<&Report>) -> ResolveEnv {
    let credentials = Credentials::new(store.paths());
    let access = match may_prompt {
        true if has_terminal() => Access::asking(),
        true => Access::unattended(),
        false => Access::quiet(),
    };
    let var: Variables = Arc::new(secret_vars::get);
    let withhold = vec![env_vars::MACHINE_CREDENTIALS_PASSPHRASE.name.to_owned()];
    let env = ResolveEnv { var, credentials, access, withhold };
    let known: Mutex<Option<Secret>> = Mutex::new(None);
    let inner = env.clone();
    let asking = env.access.may_prompt;
    let report = report.cloned();
    let ask = move |new: bool| match &report {
        Some(report) => report.suspend(|| ask_passphrase(new)).transpose(),
        None => ask_passphrase(new).map(Some),
    };
    let passphrase = move |new: bool| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = match env_vars::MACHINE_CREDENTIALS_PASSPHRASE.get() {
                Some(reference) => Some(resolve(&reference.parse()?, &inner)?),
                None if asking => ask(new)?,
                None => None,
            };
        }
        Ok(known.clone())
    };
    ResolveEnv { access: env.access.clone().with_passphrase(Arc::new(passphrase)), ..env }
}

fn has_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn set(session: &Session, name: &str, keeper: Keeper) -> Result<(), CommandError> {
    let name: CredentialName = name.parse()?;
    let secret = if has_terminal() { typed(&format!("Secret for {name} (not shown): "))? } else { piped()? };
    if secret.expose().is_empty() {
        return Err(CommandError::usage("the secret is empty"));
    }
    let store = session.store_or_new()?;
    let env = resolve_env(&store, true, None);
    env.credentials.set(&name, &secret, keeper, &env.access)?;
    output::say(&format!("{name}: kept in {keeper}"));
    session.out.line(&Reference::Keyring(name).to_string())
}

fn ls(
    session: &Session,
    quiet: bool,
    format: Option<&str>,
    output: Option<DocumentFormat>,
) -> Result<(), CommandError> {
    let store = session.store()?;
    let list = Credentials::new(store.paths()).list()?;
    if quiet {
        return session.out.text(&list.iter().map(|credential| format!("{}\n", credential.name)).collect::<String>());
    }
    let users = users(&store)?;
    session.out.text(&if let Some(output) = output {
        let all: Vec<Value> = list.iter().map(|credential| document(credential, &users)).collect();
        document::render(output, &Value::from(all))?
    } else {
        let rows: Vec<Value> = list.iter().map(|credential| fields(credential, &users)).collect();
        format_rows(format.unwrap_or(TABLE), COLUMNS, &rows)?
    })
}

type Users = BTreeMap<String, Vec<String>>;

/// Machines by the references in their records, wherever they stand. A record that cannot be read is `ls`'s affair.
fn users(store: &Store) -> Result<Users, CommandError> {
    let mut users = Users::new();
    for name in store.names()? {
        let Ok(record) = store.read(&name) else { continue };
        let mut found = Vec::new();
        references(&serde_json::to_value(&record).unwrap_or_default(), &mut found);
        for reference in found {
            users.entry(reference).or_default().push(name.to_string());
        }
    }
    Ok(users)
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with("keyring:") && !found.contains(text) => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn machines(credential: &Credential, users: &Users) -> Vec<String> {
    users.get(&format!("keyring:{}", credential.name)).cloned().unwrap_or_default()
}

fn fields(credential: &Credential, users: &Users) -> Value {
    json!({
        "Name": credential.name.as_str(),
        "Reference": format!("keyring:{}", credential.name),
        "KeptIn": credential.keeper.to_string(),
        "Set": credential.set,
        "Machines": machines(credential, users),
    })
}

fn document(credential: &Credential, users: &Users) -> Value {
    json!({
        "name": credential.name.as_str(),
        "reference": format!("keyring:{}", credential.name),
        "kept_in": serde_json::to_value(credential.keeper).unwrap_or_default(),
        "set": credential.set,
        "machines": machines(credential, users),
    })
}

fn rm(session: &Session, names: &[String], force: bool) -> Result<(), CommandError> {
    let store = session.store()?;
    let names = names.iter().map(|name| name.parse()).collect::<Result<Vec<CredentialName>, _>>()?;
    let users = users(&store)?;
    let env = resolve_env(&store, true, None);
    let mut codes = Vec::new();
    for name in names {
        let used = users.get(&format!("keyring:{name}")).filter(|_| !force);
        let result = match used {
            Some(machines) => {
                Err(CommandError::failure(format!("credential \"{name}\" is used by {}", machines.join(", ")))
                    .hint("`-f` removes it anyway"))
            }
            None => remove(&env, &name, force),
        };
        match result {
            Ok(()) => output::say(&format!("{name}: removed")),
            Err(error) => tell(name.as_str(), &error, &mut codes),
        }
    }
    ended(&codes)
}

fn remove(env: &ResolveEnv, name: &CredentialName, force: bool) -> Result<(), CommandError> {
    match env.credentials.remove(name, &env.access) {
        Ok(true) => Ok(()),
        Ok(false) if force => Ok(()),
        Ok(false) => Err(CommandError::new(Kind::NotFound, format!("there is no credential \"{name}\""))
            .hint("`machine credentials ls` lists them")),
        Err(error) if force && env.credentials.forget(name)? => {
            output::say(&format!("{name}: no longer listed; its keeper may still have it: {error}"));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn test(session: &Session, which: &[String]) -> Result<(), CommandError> {
    let store = session.store()?;
    let env = resolve_env(&store, true, None);
    let mut codes = Vec::new();
    let references: Vec<Reference> = if which.is_empty() {
        match env.credentials.probe(&env.access) {
            Ok(keyring) => output::say(&format!("{keyring}: works")),
            Err(error) => tell("keyring", &error.into(), &mut codes),
        }
        env.credentials.list()?.into_iter().map(|credential| Reference::Keyring(credential.name)).collect()
    } else {
        let here = crate::world::working_dir()?;
        let home = crate::world::home().ok();
        let parse = |text: &String| match Reference::is_one(text) {
            true => text.parse().map(|reference: Reference| reference.anchored(&here, home.as_deref())),
            false => text.parse().map(Reference::Keyring),
        };
        which.iter().map(parse).collect::<Result<_, _>>()?
    };
    for reference in references {
        match resolve(&reference, &env) {
            Ok(secret) => {
                output::say(&format!("{reference}: can be read ({} characters)", secret.expose().chars().count()))
            }
            Err(error) => tell(&reference.to_string(), &error.into(), &mut codes),
        }
    }
    ended(&codes)
}

fn tell(name: &str, error: &CommandError, codes: &mut Vec<u8>) {
    output::say(&format!("{name}: {}", error.report().trim_end()));
    codes.push(error.exit_code());
}

fn ended(codes: &[u8]) -> Result<(), CommandError> {
    if codes.is_empty() { Ok(()) } else { Err(CommandError::several(codes)) }
}

/// Standard input to its end.
fn piped() -> Result<Secret, CommandError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes);
    read.map_err(|e| CommandError::failure("cannot read standard input").caused_by(&e))?;
    if bytes.len() as u64 > LONGEST {
        return Err(CommandError::usage(format!("the secret is longer than {} KiB", LONGEST / 1024)));
    }
    let text = String::from_utf8(bytes).map_err(|_| CommandError::usage("the secret is not text (UTF-8)"))?;
    let whole = Secret::new(text);
    let secret = Secret::new(whole.expose().trim());
    if secret.expose().is_empty() {
        return Err(CommandError::usage("no secret was given")
            .hint("type it on a terminal, or pipe it in: `machine credentials set NAME <FILE`"));
    }
    Ok(secret)
}

fn ask_passphrase(new: bool) -> Result<Secret, machine_host::Error> {
    let invalid = |why: String| machine_host::Error::Invalid { what: "passphrase".into(), why, hint: None };
    let ask = |question: &str| typed(question).map_err(|e| invalid(e.to_string()));
    let first = ask("Passphrase of the encrypted file (not shown): ")?;
    if new && ask("The same again: ")?.expose() != first.expose() {
        return Err(invalid("the two differ".into()));
    }
    Ok(first)
}

/// One line typed on the terminal, which shows nothing of it.
fn typed(question: &str) -> Result<Secret, CommandError> {
    // Before the question: who answers at once, a program perhaps, would see the answer echoed.
    let raw = Raw::start()?;
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(question.as_bytes()).and_then(|()| err.flush());
    let line = read_line(&mut std::io::stdin().lock());
    drop(raw);
    let _ = err.write_all(b"\n");
    let text = String::from_utf8(line?).map_err(|_| CommandError::usage("the secret is not text (UTF-8)"))?;
    Ok(Secret::new(Secret::new(text).expose().trim()))
}

/// Keys as a terminal in raw mode sends them, to the return key; Ctrl-C ends the program.
fn read_line(keys: &mut impl std::io::Read) -> Result<Vec<u8>, CommandError> {
    let mut line = Vec::new();
    let mut key = [0];
    loop {
        let read = keys.read(&mut key).map_err(|e| CommandError::failure("cannot read the terminal").caused_by(&e))?;
        match key[0] {
            _ if read == 0 => return Ok(line),
            b'\r' | b'\n' | 0x04 => return Ok(line),
            0x03 => return Err(CommandError::new(Kind::Interrupted, "stopped; nothing was kept")),
            // Back over one whole letter.
            0x08 | 0x7f => while line.pop().is_some_and(|byte: u8| byte & 0xc0 == 0x80) {},
            0x15 => line.clear(),
            byte if (line.len() as u64) < LONGEST => line.push(byte),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_make_a_line() {
        let line = |keys: &[u8]| read_line(&mut &*keys).map(|line| String::from_utf8(line).unwrap());
        assert_eq!(line(b"token\rrest").unwrap(), "token");
        assert_eq!(line("aé\x7fb\x15to\x08oken\n".as_bytes()).unwrap(), "token");
        assert_eq!(line(b"token").unwrap(), "token");
        assert_eq!(line(b"tok\x03").unwrap_err().kind(), Kind::Interrupted);
    }

    #[test]
    fn references_are_found_anywhere_in_settings() {
        let mut found = Vec::new();
        references(&json!({"a": "keyring:x", "b": [{"c": "keyring:y"}, "keyring:x"], "d": "env:Z"}), &mut found);
        assert_eq!(found, ["keyring:x", "keyring:y"]);
    }
}
