//! What every command starts from: global options, the store, and the names typed.
//!
//! The main type is [`Session`]. Nothing here starts a thread or a runtime.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use machine_base::Kind;
use machine_host::{HostName, MachinePaths, Record, Store};

use crate::cli::Global;
use crate::env_vars;
use crate::error::CommandError;
use crate::output::Stdout;

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Session {
    /// Options of every command.
    pub(crate) global: Global,
    /// The command line as typed, program included.
    pub(crate) argv: Vec<OsString>,
    /// Standard output.
    pub(crate) out: Stdout,
}

/// A machine of the store.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: HostName,
    pub(crate) record: Record,
    pub(crate) paths: MachinePaths,
}

/// Where the store is: as typed, else as the variable says, else in the platform's data folder.
pub(crate) fn storage_path(typed: Option<&Path>) -> Result<PathBuf, CommandError> {
    if let Some(path) = typed.map(Path::to_owned).or_else(|| env_vars::MACHINE_STORAGE_PATH.get_os().map(PathBuf::from))
    {
        return Ok(path);
    }
    data_dir()
}

/// This program's folder in the platform's data folder: where the store is when nobody names another.
pub(crate) fn data_dir() -> Result<PathBuf, CommandError> {
    use etcetera::BaseStrategy as _;
    let base = etcetera::choose_base_strategy().map_err(|e| {
        CommandError::failure("cannot tell where to keep machines")
            .caused_by(&e)
            .hint("set HOME, or name a folder with --storage-path or MACHINE_STORAGE_PATH")
    })?;
    Ok(base.data_dir().join("machine"))
}

impl Session {
    /// Called by docker-machine's name.
    pub(crate) fn is_docker_machine(&self) -> bool {
        self.argv
            .first()
            .is_some_and(|program| Path::new(program).file_stem().is_some_and(|stem| stem == "docker-machine"))
    }

    /// How the program was called, for hints: `machine` or `docker-machine`.
    pub(crate) fn program(&self) -> &'static str {
        if self.is_docker_machine() { "docker-machine" } else { "machine" }
    }

    /// The store, to read.
    pub(crate) fn store(&self) -> Result<Store, CommandError> {
        Ok(Store::open(storage_path(self.global.storage_path.as_deref())?)?)
    }

    /// The store, to write to.
    pub(crate) fn store_or_new(&self) -> Result<Store, CommandError> {
        Ok(Store::open_or_create(storage_path(self.global.storage_path.as_deref())?)?)
    }

    /// The machine typed, or `default`. It need not be readable.
    pub(crate) fn name(&self, store: &Store, typed: Option<&str>) -> Result<HostName, CommandError> {
        match typed {
            Some(name) => {
                let name = parse_name(name)?;
                if store.exists(&name) { Ok(name) } else { Err(machine_host::Error::NoMachine(name).into()) }
            }
            None => {
                let name = parse_name("default")?;
                if store.exists(&name) {
                    return Ok(name);
                }
                let error = CommandError::usage("no machine name(s) specified and no \"default\" machine exists");
                Err(error.hint(format!("`{} ls` lists the machines there are", self.program())))
            }
        }
    }

    /// The machines typed, each once, or `default`. Each is on its own: what is not there hinders nothing else.
    ///
    /// # Errors
    /// None of them is there.
    pub(crate) fn names(&self, store: &Store, typed: &[String]) -> Result<Names, CommandError> {
        if typed.is_empty() {
            return Ok(vec![self.name(store, None)?].into());
        }
        let mut names = self.each_name(store, typed);
        if !names.known.is_empty() {
            return Ok(names);
        }
        let not_there = |(_, error): &(String, CommandError)| error.kind() == Kind::NotFound;
        match names.unknown.len() {
            1 => Err(names.unknown.remove(0).1),
            _ if names.unknown.iter().all(not_there) => {
                let list: Vec<String> = names.unknown.iter().map(|(name, _)| format!("\"{name}\"")).collect();
                Err(CommandError::new(Kind::NotFound, format!("machines {} do not exist", list.join(", ")))
                    .hint("`machine ls` lists the machines there are"))
            }
            _ => Ok(names),
        }
    }

    /// The machines typed, each once.
    pub(crate) fn each_name(&self, store: &Store, typed: &[String]) -> Names {
        let mut names = Names::default();
        for text in typed {
            match self.name(store, Some(text)) {
                Ok(name) if names.known.contains(&name) => {}
                Ok(name) => names.known.push(name),
                Err(_) if names.unknown.iter().any(|(known, _)| known == text) => {}
                Err(error) => names.unknown.push((text.clone(), error)),
            }
        }
        names
    }

    /// The machine typed, or `default`, with its record.
    pub(crate) fn machine(&self, typed: Option<&str>) -> Result<Machine, CommandError> {
        let store = self.store()?;
        let name = self.name(&store, typed)?;
        Self::read(&store, name)
    }

    /// A machine with its record.
    pub(crate) fn read(store: &Store, name: HostName) -> Result<Machine, CommandError> {
        let record = store.read(&name)?;
        let paths = store.machine_paths(&name);
        Ok(Machine { name, record, paths })
    }
}

/// Machines as they were typed.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Those there are, each once.
    pub(crate) known: Vec<HostName>,
    /// The others, and what is wrong with each.
    pub(crate) unknown: Vec<(String, CommandError)>,
}

impl Names {
    /// Nobody must be told which one it is about.
    pub(crate) fn is_one(&self) -> bool {
        self.known.len() + self.unknown.len() == 1
    }
}

impl From<Vec<HostName>> for Names {
    fn from(known: Vec<HostName>) -> Self {
        Self { known, unknown: Vec::new() }
    }
}

/// A name as typed, judged.
pub(crate) fn parse_name(name: &str) -> Result<HostName, CommandError> {
    Ok(name.parse::<HostName>()?)
}

impl Machine {
    /// Refuses a machine whose record says that it is off, half-made or half-removed, for commands that go by the record.
    pub(crate) fn reachable(self) -> Result<Self, CommandError> {
        let name = &self.name;
        if self.record.removing {
            return Err(CommandError::failure(format!("machine \"{name}\" is being removed"))
                .hint(format!("`machine rm {name}` finishes that")));
        }
        // A driver that cannot tell says nothing of the kind.
        if let Some(power) = self.record.power.filter(|power| power.is_off()) {
            return Err(CommandError::failure(format!("machine \"{name}\" is {power}"))
                .hint(format!("`machine start {name}` starts it")));
        }
        Ok(self)
    }

    /// How clients reach its engine.
    pub(crate) fn url(&self) -> Result<String, CommandError> {
        match &self.record.endpoint {
            Some(endpoint) => Ok(endpoint.url()),
            None => Err(self.unfinished()),
        }
    }

    /// The error for a record that does not hold what is asked for yet.
    pub(crate) fn unfinished(&self) -> CommandError {
        let name = &self.name;
        CommandError::failure(format!("machine \"{name}\" is not finished"))
            .hint(format!("`machine create {name}` continues it, `machine rm {name}` removes it"))
    }
}
