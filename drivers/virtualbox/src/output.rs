//! What VBoxManage prints, as values. Nothing here runs anything.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::vbox::{Attached, Medium, Rule, State, Version, Vm};

/// `7.2.22_Debianr175245`: the last line, for Debian's own start script puts warnings in front.
pub(crate) fn version(text: &str) -> Option<Version> {
    let last = text.lines().rfind(|line| !line.trim().is_empty())?.trim();
    let (whole, revision) = last.rsplit_once('r')?;
    revision.parse::<u32>().ok()?;
    let mut numbers = whole.splitn(3, '.');
    let (major, minor) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    // `0_RC1`, `22_Debian`.
    numbers.next().filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(Version { major, minor, text: last.to_owned() })
}

/// `"NAME" {UUID}`, a line each; quotes in names are not escaped. Name and id.
pub(crate) fn vms(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let (name, id) = line.rsplit_once(" {")?;
        let name = name.strip_prefix('"')?.strip_suffix('"')?;
        Some((name.to_owned(), id.strip_suffix('}')?.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// Blocks of `Key:   value`, each of which begins with `UUID`.
pub(crate) fn media(text: &str) -> Vec<Medium> {
    let mut found: Vec<Medium> = Vec::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match (key, found.last_mut()) {
            ("UUID", _) => found.push(Medium { uuid: value.to_owned(), location: PathBuf::new() }),
            ("Location", Some(medium)) => medium.location = PathBuf::from(value),
            _ => {}
        }
    }
    found
}

/// `Key: machine-id, Value: …`, a line each.
pub(crate) fn extra_data(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (key, value) = line.strip_prefix("Key: ")?.split_once(", Value: ")?;
        Some((key.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// A number in `Memory size: 24064 MByte`.
pub(crate) fn memory(hostinfo: &str) -> Option<u64> {
    let line = hostinfo.lines().find_map(|line| line.strip_prefix("Memory size:"))?;
    line.trim().strip_suffix("MByte")?.trim().parse().ok()
}

/// Whether the processor is said to have no virtualisation, or none that is free.
pub(crate) fn no_virtualisation(hostinfo: &str) -> bool {
    hostinfo
        .lines()
        .filter_map(|line| line.strip_prefix("Processor supports HW virtualization:"))
        .any(|v| v.trim() == "no")
}

/// `showvminfo --machinereadable`. `None`: it is not whole.
pub(crate) fn vm(text: &str) -> Option<Vm> {
    let fields = fields(text);
    let field = |key: &str| fields.get(key).map(String::as_str);
    let controllers: Vec<&str> =
        (0..).map_while(|n| field(&format!("storagecontrollername{n}"))).filter(|name| !name.is_empty()).collect();
    let attached = fields.iter().filter_map(|(key, medium)| {
        let (controller, rest) =
            controllers.iter().find_map(|c| Some((*c, key.strip_prefix(c)?.strip_prefix('-')?)))?;
        let (port, device) = rest.split_once('-')?;
        let (port, device) = (port.parse().ok()?, device.parse().ok()?);
        (medium != "none" && medium != "emptydrive").then(|| Attached {
            controller: controller.to_owned(),
            port,
            device,
            medium: PathBuf::from(medium),
        })
    });
    let rules = fields.iter().filter(|(key, _)| key.starts_with("Forwarding(")).filter_map(|(_, value)| rule(value));
    Some(Vm {
        uuid: field("UUID")?.to_owned(),
        name: field("name")?.to_owned(),
        state: state(field("VMState")?),
        session: field("SessionName").is_some_and(|name| !name.is_empty()),
        settings_file: PathBuf::from(field("CfgFile")?),
        logs: PathBuf::from(field("LogFldr")?),
        attached: attached.collect(),
        controllers: controllers.into_iter().map(str::to_owned).collect(),
        rules: rules.collect(),
    })
}

/// `ssh,tcp,127.0.0.1,2201,,22`
fn rule(value: &str) -> Option<Rule> {
    let parts: Vec<&str> = value.split(',').collect();
    let [name, "tcp", address, port, _, to] = parts[..] else { return None };
    Some(Rule { name: name.to_owned(), address: address.to_owned(), port: port.parse().ok()?, to: to.parse().ok()? })
}

/// `key="value"`, `"key"="value"`, `key=value`; what is no such line is left out.
fn fields(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        // A quoted key may hold `=`: the name of a controller is the user's.
        let (key, value) = match line.strip_prefix('"') {
            Some(rest) => rest.split_once("\"=")?,
            None => line.split_once('=')?,
        };
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"')?.replace("\\\"", "\""),
            None => value.to_owned(),
        };
        Some((key.to_owned(), value))
    };
    // What ends in the middle of a line says nothing.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(pair).collect()
}

fn state(word: &str) -> State {
    match word {
        "running" | "livesnapshotting" | "onlinesnapshotting" | "deletingsnapshotlive" | "teleporting" => {
            State::Running
        }
        "starting" | "restoring" | "teleportingin" => State::Starting,
        "paused" | "teleportingpausedvm" | "deletingsnapshotlivepaused" => State::Paused,
        "saved" | "aborted-saved" => State::Saved,
        "poweroff" | "aborted" | "teleported" => State::Off,
        "stopping" | "saving" => State::Stopping,
        "gurumeditation" => State::Stuck,
        other => State::Other(other.to_owned()),
    }
}

#[cfg(test)]
#[path = "output/tests.rs"]
mod tests;
