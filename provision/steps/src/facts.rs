//! What a host says of itself, and what about it cannot work. Support is by capability, not by distribution.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machine_engine::Arch;
use machine_engine::layout::{self, Layout};
use machine_host::record::Facts;
use machine_host::spec::Foreign;
use machine_templates::remote::Answer;
use serde_json::Value;
use time::OffsetDateTime;

use crate::adopted::{PackagedUnit, UnitFile};
use crate::script::{run_script, said};
use crate::ssh::{Connection, Input};
use crate::{Diagnostic, Kind, Result};

/// More than this and TLS, apt and cron lie to their users; certificates are back-dated by an hour.
const CLOCK_SLACK: Duration = Duration::from_secs(3000);
/// Room that dockerd itself wants, in bytes.
const ROOM: u64 = 64 << 20;

/// Characters of a name that a host gives itself.
const WORDS: usize = 200;

/// Files that a bundle has, and some more.
const FILES: u64 = 1500;

/// What a host says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostFacts {
    answer: Answer,
    /// Seconds the host's clock is ahead of ours.
    pub(crate) clock_ahead: i64,
    /// Digests of the engines of ours that are there.
    pub(crate) engines: Vec<String>,
    /// daemon.json as it is now; `Null` where there is none.
    pub(crate) daemon_json: Value,
    /// What of it we asked for when it was last written: the base of the next three-way merge.
    pub(crate) daemon_wanted: Option<Value>,
}

impl HostFacts {
    /// Asks the host; waits there for the end of a change that an earlier, cut-off connection began.
    pub(crate) async fn read(remote: &Connection) -> Result<Self> {
        let answer =
            run_script(remote, &machine_templates::remote::Facts, Input::Empty, Duration::from_secs(240)).await?;
        Self::from_answer(answer, OffsetDateTime::now_utc().unix_timestamp())
    }

    fn from_answer(answer: Answer, now: i64) -> Result<Self> {
        let clock: i64 = said(&answer, "clock")?.parse().unwrap_or(now);
        let daemon_json = match answer.get("daemon_json") {
            Some(text) => daemon_json_of(text).map_err(|e| {
                Diagnostic::new(Kind::Usage, "/etc/docker/daemon.json on the host is not JSON")
                    .caused_by(&e)
                    .hint("correct it on the host, or move it away")
            })?,
            None => Value::Null,
        };
        Ok(Self {
            clock_ahead: clock - now,
            engines: answer.get("engines").unwrap_or("").split_whitespace().map(str::to_owned).collect(),
            daemon_json,
            daemon_wanted: answer.get("daemon_wanted").and_then(|text| serde_json::from_str(text).ok()),
            answer,
        })
    }

    /// The layout that our engine has or is to have here; `None` where there has been none yet.
    ///
    /// # Errors
    /// A newer program's.
    pub(crate) fn layout(&self) -> Result<Option<Layout>> {
        let Some(number) = self.answer.get("layout") else { return Ok(None) };
        match number.parse().ok().and_then(Layout::of) {
            Some(layout) => Ok(Some(layout)),
            None => Err(Diagnostic::failure("the host was set up by a newer version of machine")
                .cause(format!("/opt/machine/owner names layout {number}, and this version knows {}", Layout::NEWEST))
                .hint("use that version; `ls`, `env`, `ssh` and `rm` work with this one, too")),
        }
    }

    /// Whether there is an engine that is not ours.
    pub(crate) fn has_foreign_engine(&self) -> bool {
        !self.get("foreign_dockerd").is_empty() || !self.get("foreign_unit").is_empty()
    }

    /// Who else has the usual socket's name on the host.
    pub(crate) fn socket_of(&self) -> Option<&str> {
        self.answer.get("socket_of")
    }

    /// The sum of the file of the engine's variables, where there is one.
    pub(crate) fn environment_sum(&self) -> Option<&str> {
        self.answer.get("environment_sum")
    }

    /// daemon.json as it was before us, byte for byte.
    pub(crate) fn daemon_before(&self) -> Option<&str> {
        self.answer.get("daemon_before")
    }

    fn get(&self, key: &str) -> &str {
        self.answer.get(key).unwrap_or("")
    }

    fn number(&self, key: &str) -> u64 {
        self.get(key).parse().unwrap_or(0)
    }

    /// The engine that is current, by digest.
    pub(crate) fn current(&self) -> Option<&str> {
        self.answer.get("engine")
    }

    /// The architecture in `uname -m`'s words.
    pub(crate) fn machine(&self) -> &str {
        self.get("arch")
    }

    /// The architecture, where engines are known for it.
    pub(crate) fn arch(&self) -> Result<Arch> {
        Ok(self.machine().parse::<Arch>().map_err(machine_engine::Error::from)?)
    }

    /// What the record keeps.
    pub(crate) fn to_record(&self, root: bool) -> Facts {
        // What a host calls itself stands in every record and every list.
        let words = |key: &str| self.get(key).chars().take(WORDS).collect::<String>();
        Facts {
            arch: self.arch().map_or_else(|_| words("arch"), |arch| arch.to_string()),
            os: words("os_name"),
            kernel: words("kernel"),
            glibc: words("glibc"),
            systemd: self.systemd(),
            iptables: !self.get("iptables").is_empty(),
            cgroup: u8::try_from(self.number("cgroup")).unwrap_or(0),
            root,
            unknown: std::collections::BTreeMap::new(),
        }
    }

    fn systemd(&self) -> u32 {
        if self.get("systemd_running") == "true" { self.get("systemd").parse().unwrap_or(0) } else { 0 }
    }

    /// The host can carry an engine at all.
    pub(crate) fn check_basics(&self) -> Result<()> {
        let refuse = |what: &str, hint: &str| Err(Diagnostic::failure(what.to_owned()).hint(hint.to_owned()));
        if self.systemd() == 0 {
            return refuse(
                "the host does not run systemd",
                "machine starts the engine as systemd units; use a host whose PID 1 is systemd",
            );
        }
        let missing = self.get("tools_missing");
        if !missing.is_empty() {
            return refuse(
                &format!("the host lacks {missing}"),
                "install them on the host; nothing else is needed there",
            );
        }
        if self.get("glibc").is_empty() {
            return refuse(
                "the host's C library is not glibc",
                "the bundled engine is linked against glibc; use a host with it (Debian, Ubuntu, RHEL, SUSE, …)",
            );
        }
        if self.number("cgroup") == 0 {
            return refuse("the host's kernel has no control groups", "containers need cgroups: use another kernel");
        }
        let namespaces = self.get("namespaces_missing");
        if !namespaces.is_empty() {
            return refuse(
                &format!("the host's kernel lacks namespaces: {namespaces}"),
                "containers need them: use another kernel",
            );
        }
        if self.clock_ahead.unsigned_abs() > CLOCK_SLACK.as_secs() {
            let direction = if self.clock_ahead > 0 { "ahead" } else { "behind" };
            return Err(Diagnostic::failure(format!(
                "the host's clock is {} {direction}",
                words(self.clock_ahead.unsigned_abs())
            ))
            .cause("its certificates would not be valid yet, or no longer")
            .hint("set it on the host, for example: timedatectl set-ntp true"));
        }
        Ok(())
    }

    /// The machine that claimed the host.
    pub(crate) fn owner(&self) -> Option<String> {
        let owner = self.get("owner").lines().find_map(|line| line.strip_prefix("machine-id="));
        owner.filter(|owner| !owner.is_empty()).map(str::to_owned)
    }

    /// The host is nobody else's.
    pub(crate) fn check_owner(&self, machine_id: &str, store_id: &str, foreign: Option<Foreign>) -> Result<()> {
        let field = |key: &str| {
            self.get("owner").lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=')).unwrap_or("").to_owned()
        };
        let owner = field("machine-id");
        if owner.is_empty() || owner == machine_id || foreign == Some(Foreign::Replace) {
            return Ok(());
        }
        let whose =
            if field("store-id") == store_id { "another machine of this store" } else { "a machine of another store" };
        Err(Diagnostic::new(Kind::Denied, format!("the host belongs to {whose}"))
            .cause(format!("/opt/machine/owner names machine id {owner}"))
            .hint("remove it there first (`machine rm`), or take the host over with --replace"))
    }

    /// Nobody else's engine is on the host, unless the user said what to do with it.
    pub(crate) fn check_foreign_engine(&self, foreign: Option<Foreign>) -> Result<()> {
        let found = [self.get("foreign_dockerd"), self.get("foreign_unit")].into_iter().find(|f| !f.is_empty());
        match (found, foreign) {
            (Some(found), None) => Err(Diagnostic::failure("the host has an engine that machine did not install")
                .cause(format!("found {found}"))
                .hint("--adopt keeps it and adds TLS; --replace puts the bundled engine in its place")),
            (Some(_), Some(Foreign::Replace)) if !self.get("neighbours").is_empty() && self.layout()?.is_none() => {
                Err(Diagnostic::failure("the host's containerd is not the engine's alone")
                    .cause(format!("it has the namespaces {}, which --replace would take away", self.get("neighbours")))
                    .hint("--adopt keeps the engine and its containerd, and adds TLS"))
            }
            (None, Some(Foreign::Adopt)) => {
                Err(Diagnostic::new(Kind::Usage, "there is no engine on the host to adopt")
                    .hint("leave out --adopt, and machine installs the bundled engine"))
            }
            _ => Ok(()),
        }
    }

    /// No unit whose name ours has is switched off for good by the host's owner.
    pub(crate) fn check_masked(&self) -> Result<()> {
        let masked = self.get("masked");
        if masked.is_empty() {
            return Ok(());
        }
        Err(Diagnostic::failure(format!("masked on the host: {masked}"))
            .cause("whoever masks a unit wants it never to start")
            .hint(format!("if that is over: machine ssh NAME sudo systemctl unmask {masked}")))
    }

    /// The packaged engine's unit, ours aside.
    pub(crate) fn packaged_unit(&self) -> PackagedUnit {
        let files = |key: &str| {
            let lines = self.get(key).lines();
            let file = |line: &str| {
                let (path, content) = line.rsplit_once(' ')?;
                let text = String::from_utf8_lossy(&STANDARD.decode(content).ok()?).into_owned();
                Some(UnitFile { path: path.to_owned(), text })
            };
            lines.filter_map(file).collect()
        };
        PackagedUnit { files: files("unit"), environment: files("unit_environment") }
    }

    /// The host's glibc is new enough.
    pub(crate) fn check_libc(&self, floor: &str, bundle: &str) -> Result<()> {
        let parse = |text: &str| {
            let mut parts = text.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
            (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
        };
        let have = self.get("glibc");
        if parse(have) >= parse(floor) {
            return Ok(());
        }
        Err(Diagnostic::failure(format!(
            "the host's glibc {have} is older than engine bundle {bundle} needs ({floor})"
        ))
        .hint("use a newer host, or a bundle made for older ones: --engine-bundle debian:bookworm"))
    }

    /// Where the engine goes, programs may be written and run.
    pub(crate) fn check_mounts(&self) -> Result<()> {
        let refuse = |what: String, why: &str, hint: &str| {
            Err(Diagnostic::new(Kind::Usage, what).cause(why.to_owned()).hint(hint.to_owned()))
        };
        let read_only = self.get("read_only");
        if !read_only.is_empty() {
            return refuse(
                format!("the host cannot be written to: {read_only}"),
                "the file system there is mounted read-only",
                "mount it read-write; a host whose root stays read-only cannot carry this engine",
            );
        }
        if self.get("options_opt").split(',').any(|option| option == "noexec") {
            return refuse(
                "no program can run from /opt on the host".to_owned(),
                "the file system there is mounted noexec, and the engine lies in /opt/machine",
                "mount it with exec, or another file system at /opt/machine",
            );
        }
        Ok(())
    }

    /// There is room for the engine.
    pub(crate) fn check_space(&self, needed: u64) -> Result<()> {
        if let Some(left) = self.answer.get("inodes_opt").and_then(|n| n.parse::<u64>().ok())
            && left < FILES
        {
            return Err(Diagnostic::new(
                Kind::Quota,
                format!("no room for the engine in /opt on the host: {left} more files can be made, {FILES} needed"),
            )
            .hint(
                "delete some files there (df -i says how many it has), or mount a larger file system at /opt/machine",
            ));
        }
        let (free, data) = (self.number("free_opt"), self.number("free_var_lib"));
        if free < needed + ROOM {
            return Err(Diagnostic::new(
                Kind::Quota,
                format!(
                    "no room for the engine in /opt on the host: {} free, {} needed",
                    mib(free),
                    mib(needed + ROOM)
                ),
            )
            .hint("free some space on the host, or mount a larger file system at /opt/machine"));
        }
        if data < ROOM {
            return Err(Diagnostic::new(
                Kind::Quota,
                format!("no room for containers in /var/lib on the host: {} free", mib(data)),
            )
            .hint("free some space on the host, or mount a larger file system at /var/lib/docker"));
        }
        Ok(())
    }

    /// What works worse than it could.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.get("overlay") != "true" {
            all.push("the host's kernel has no overlay file system: the engine will copy every layer (vfs)".to_owned());
        }
        if let Some(whose) = self.socket_of().filter(|_| !self.has_foreign_engine()) {
            all.push(format!(
                "{} on the host is somebody else's ({whose}) and stays so: on the host itself use docker -H unix://{}",
                layout::SOCKET,
                layout::OWN_SOCKET
            ));
        }
        all
    }
}

/// dockerd reads a file that begins with a byte order mark.
pub(crate) fn daemon_json_of(text: &str) -> Result<Value, serde_json::Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // An empty file is one that says nothing.
    if text.trim().is_empty() { Ok(Value::Object(serde_json::Map::new())) } else { serde_json::from_str(text) }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// Seconds as a person would say them.
fn words(seconds: u64) -> String {
    match seconds {
        s if s >= 2 * 86_400 => format!("{} days", s / 86_400),
        s if s >= 2 * 3600 => format!("{} hours", s / 3600),
        s => format!("{} minutes", s / 60),
    }
}

#[cfg(test)]
mod tests;
