//! The command of a packaged engine (`--adopt`): all that its owner put into the unit, its drop-ins and the files of its
//! environment, but for listeners and TLS, which daemon.json holds for us.
//!
//! Everything is read from the files that systemd reads, ours left out: so it is the same before and after we wrote our
//! drop-in, and what the owner changes later counts from the next `provision` on. Words stay as they are written, quotes
//! and `$NAMES` included.

use machine_engine::{daemon, layout};
use machine_templates::host::{ADOPT_DROP_IN, Word};

use crate::{Diagnostic, Kind, Result};

/// One file of the unit, or of its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitFile {
    /// Where it lies on the host.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
}

/// What makes up a packaged `docker.service`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PackagedUnit {
    /// Its file and drop-ins, in the order in which they are read; none of ours.
    pub(crate) files: Vec<UnitFile>,
    /// Its `EnvironmentFile`s.
    pub(crate) environment: Vec<UnitFile>,
}

/// Flags of listeners and TLS: daemon.json holds them for us, and dockerd refuses what stands in both.
const OURS: &[&str] = &["H", "host", "tls", "tlsverify", "tlscacert", "tlscert", "tlskey", "containerd"];

impl PackagedUnit {
    /// The command line to run the engine with: the program first. `wanted` is our part of daemon.json.
    ///
    /// # Errors
    /// What cannot be kept, naming the file in which it stands.
    pub(crate) fn command(&self, wanted: &serde_json::Value) -> Result<Vec<Word>> {
        let Some((line, file)) = self.in_force() else {
            return Err(refused(
                "the host's docker.service starts no program",
                "unit docker.service",
                "has no ExecStart",
            ));
        };
        let mut words = split(&line).ok_or_else(|| unreadable(file, &line))?.into_iter();
        let program = words.next().ok_or_else(|| unreadable(file, &line))?;
        let name = plain(&program).trim_start_matches(['-', ':', '+', '!']).rsplit('/').next().map(str::to_owned);
        if !name.is_some_and(|name| name.starts_with("dockerd")) {
            return Err(refused(
                "the host's docker.service does not start dockerd itself",
                file,
                &format!("has ExecStart={line}"),
            ));
        }
        let mut flags = Vec::new();
        for word in words {
            self.push(word, &mut flags, file, wanted)?;
        }
        let mut command = vec![Word::AsWritten(program)];
        command.extend(keep(flags, wanted)?);
        Ok(command)
    }

    /// The `ExecStart` that systemd would take without us, and the file in which it stands.
    fn in_force(&self) -> Option<(String, &str)> {
        let mut found = None;
        for file in &self.files {
            for value in assignments(&file.text, "ExecStart") {
                found = Some((value, file.path.as_str())).filter(|(value, _)| !value.is_empty());
            }
        }
        found
    }

    /// A file that is read after ours and would put its own command in the place of ours.
    pub(crate) fn check_order(&self) -> Result<()> {
        let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let (ours, drop_ins) = (name(ADOPT_DROP_IN), self.files.get(1..).unwrap_or_default());
        match drop_ins.iter().find(|f| name(&f.path) > ours && !assignments(&f.text, "ExecStart").is_empty()) {
            Some(late) => {
                let what = "a drop-in of docker.service on the host is read after machine's own";
                Err(Diagnostic::new(Kind::Usage, what)
                    .cause(format!("{} sets ExecStart", late.path))
                    .hint(format!("give it a name that sorts before {ours}")))
            }
            None => Ok(()),
        }
    }

    /// The value of a variable as the unit's command line sees it, and the file in which it stands.
    fn variable(&self, name: &str) -> Option<(String, &str)> {
        let mut found = None;
        for file in &self.files {
            for words in assignments(&file.text, "Environment").iter().filter_map(|value| split(value)) {
                for word in words.iter().map(|word| plain(word)) {
                    if let Some((_, value)) = word.split_once('=').filter(|(key, _)| *key == name) {
                        found = Some((value.to_owned(), file.path.as_str()));
                    }
                }
            }
        }
        // These count before Environment=.
        for file in &self.environment {
            for line in file.text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
                if let Some((_, value)) = line.split_once('=').filter(|(key, _)| key.trim() == name) {
                    found = Some((plain(value.trim()), file.path.as_str()));
                }
            }
        }
        found
    }

    /// Adds a word, or the words that its variable stands for where one of them is ours.
    fn push<'a>(
        &'a self,
        word: String,
        flags: &mut Vec<Flag<'a>>,
        file: &'a str,
        wanted: &serde_json::Value,
    ) -> Result<()> {
        let text = plain(&word);
        let Some(name) = text.strip_prefix('$').filter(|name| is_name(name)) else {
            let text = self.expand(&text);
            flags.push(Flag { word: Word::AsWritten(word), text, file });
            return Ok(());
        };
        let Some((value, from)) = self.variable(name) else {
            // Nothing today; what its owner sets later is theirs.
            flags.push(Flag { word: Word::AsWritten(word), text: String::new(), file });
            return Ok(());
        };
        let values = split(&value).ok_or_else(|| unreadable(from, &value))?;
        let values: Vec<String> = values.iter().map(|value| plain(value)).collect();
        if values.iter().any(|value| flag_of(value).is_some_and(|name| OURS.contains(&name))) {
            flags.extend(values.into_iter().map(|v| Flag { word: Word::Literal(v.clone()), text: v, file: from }));
            return Ok(());
        }
        for value in &values {
            if let Some(name) = flag_of(value) {
                check(name, value, from, wanted)?;
            }
        }
        flags.push(Flag { word: Word::AsWritten(word), text: String::new(), file: from });
        Ok(())
    }

    /// `${NAME}` inside a word.
    fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else { break };
            out.push_str(before);
            out.push_str(&self.variable(name).map(|(value, _)| value).unwrap_or_default());
            rest = behind;
        }
        out + rest
    }
}

/// A word of the command line, and what it says once variables are in place.
struct Flag<'a> {
    word: Word,
    text: String,
    file: &'a str,
}

/// The name of the flag that a word begins, without dashes and value.
fn flag_of(word: &str) -> Option<&str> {
    let bare = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    let name = bare.split('=').next().unwrap_or(bare);
    // -Hfd://
    if !word.starts_with("--") && name.starts_with('H') { Some("H") } else { Some(name).filter(|n| !n.is_empty()) }
}

/// Drops what is ours, refuses what daemon.json will say too.
fn keep(flags: Vec<Flag<'_>>, wanted: &serde_json::Value) -> Result<Vec<Word>> {
    let mut kept = Vec::new();
    let mut flags = flags.into_iter().peekable();
    while let Some(flag) = flags.next() {
        let Some(name) = flag_of(&flag.text).map(str::to_owned) else {
            kept.push(flag.word);
            continue;
        };
        if OURS.contains(&name.as_str()) {
            let mut value = flag.text.split_once('=').map(|(_, value)| value.to_owned());
            // `-Hfd://` has its value in itself, `--tls` and `--tlsverify` need none.
            let has_none = matches!(name.as_str(), "tls" | "tlsverify") || (name == "H" && flag.text.len() > 2);
            if value.is_none() && !has_none {
                value = flags.next().map(|next| next.text);
            }
            if name == "containerd" && value.as_deref() != Some(layout::PACKAGED_CONTAINERD_SOCKET) {
                let why = format!("has --containerd {}", value.unwrap_or_default());
                return Err(refused("the host's engine uses a containerd of its own", flag.file, &why));
            }
        } else {
            check(&name, &flag.text, flag.file, wanted)?;
            kept.push(flag.word);
        }
    }
    Ok(kept)
}

/// Refuses a flag that would keep our daemon.json from being read, or stands in it too.
fn check(name: &str, text: &str, file: &str, wanted: &serde_json::Value) -> Result<()> {
    let key = daemon::key_of_flag(name);
    if name == "config-file" {
        let what = format!("the host's engine does not read {}", layout::DAEMON_JSON);
        return Err(refused(&what, file, &format!("has {text}")));
    }
    // Ours for the span of each restart.
    if key == Some("live-restore") || key.is_some_and(|key| wanted.get(key).is_some()) {
        return Err(Diagnostic::new(
            Kind::Usage,
            format!("--{name} of the host's engine stands where machine sets it too"),
        )
        .cause(format!("{file} has {text}, and dockerd refuses what is in daemon.json as well"))
        .hint(format!("move it to {}, where both are merged", layout::DAEMON_JSON)));
    }
    Ok(())
}

fn refused(what: &str, file: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Kind::Usage, what.to_owned())
        .cause(format!("{file} {why}"))
        .hint("change it there, or have the bundled engine put in its place: --replace")
}

fn unreadable(file: &str, line: &str) -> Diagnostic {
    refused("the command of the host's engine cannot be understood", file, &format!("has {line}"))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// The values of `key` in `[Service]`, in order; lines that go on are joined.
fn assignments(text: &str, key: &str) -> Vec<String> {
    let mut values = Vec::new();
    let (mut service, mut open) = (false, String::new());
    for line in text.lines() {
        let line = line.trim();
        // Also between the lines of one that goes on.
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(begun) = line.strip_suffix('\\') {
            open = format!("{open}{begun} ");
            continue;
        }
        let line = std::mem::take(&mut open) + line;
        if line.starts_with('[') {
            service = line == "[Service]";
        } else if let Some((_, value)) = line.split_once('=').filter(|(k, _)| service && k.trim() == key) {
            values.push(value.trim().to_owned());
        }
    }
    values
}

/// The words of a line, as they are written; `None` where a quote is not closed or there is more than one command.
fn split(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _) => {
                word.push(c);
                word.push(chars.next()?);
            }
            (c, Some(open)) => {
                word.push(c);
                if c == open {
                    quote = None;
                }
            }
            ('"' | '\'', None) => {
                word.push(c);
                quote = Some(c);
            }
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (c, None) => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    (quote.is_none() && !words.iter().any(|word| word == ";")).then_some(words)
}

/// What a word says, its quotes taken off.
fn plain(word: &str) -> String {
    let (mut out, mut quote) = (String::new(), None);
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _) => out.extend(chars.next()),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, _) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
