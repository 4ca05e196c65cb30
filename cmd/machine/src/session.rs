//! What every command starts from: global options, the store, and the names typed.
//!
//! The main type is [`Session`]. Nothing here starts a thread or a runtime.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use machine_host::{HostName, MachinePaths, Record, Store};

use crate::cli::Global;
use crate::env_vars;
use crate::error::{CommandError, Kind};
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
    use etcetera::BaseStrategy as _;
    if let Some(path) = typed.map(Path::to_owned).or_else(|| env_vars::MACHINE_STORAGE_PATH.get_os().map(PathBuf::from))
    {
        return Ok(path);
    }
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

    /// The machines typed, each once, or `default`. All must exist: nothing is begun otherwise.
    pub(crate) fn names(&self, store: &Store, typed: &[String]) -> Result<Vec<HostName>, CommandError> {
        if typed.is_empty() {
            return Ok(vec![self.name(store, None)?]);
        }
        let mut names = Vec::new();
        let mut unknown = Vec::new();
        for name in typed {
            let name = parse_name(name)?;
            if !store.exists(&name) {
                unknown.push(name);
            } else if !names.contains(&name) {
                names.push(name);
            }
        }
        match unknown.as_slice() {
            [] => Ok(names),
            [one] => Err(machine_host::Error::NoMachine(one.clone()).into()),
            several => {
                let list: Vec<String> = several.iter().map(|name| format!("\"{name}\"")).collect();
                Err(CommandError::new(Kind::NotFound, format!("machines {} do not exist", list.join(", ")))
                    .hint("`machine ls` lists the machines there are"))
            }
        }
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
        let off = ["stopped", "stopping", "paused", "saved", "gone"];
        if let Some(power) = self.record.power.as_deref().filter(|power| off.contains(power)) {
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
            .hint(format!("`machine create {name}` goes on, `machine rm {name}` gives up"))
    }
}
