//! What a host says of itself, and what about it cannot work. Support is by capability, not by distribution.

use std::time::Duration;

use machine_host::record::{Facts, Foreign};
use machine_templates::remote::Answer;
use serde_json::Value;
use time::OffsetDateTime;

use crate::script::{run_script, said};
use crate::ssh::{Connection, Input};
use crate::{Error, Kind, Result};

/// More than this and TLS, apt and cron lie to their users; certificates are back-dated by an hour.
const CLOCK_SLACK: Duration = Duration::from_secs(3000);
/// Room that dockerd itself wants, in bytes.
const ROOM: u64 = 64 << 20;

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
            Some(text) => serde_json::from_str(text).map_err(|e| {
                Error::new(Kind::Usage, "/etc/docker/daemon.json on the host is not JSON")
                    .caused_by(&e)
                    .hint("mend it on the host, or move it away")
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

    /// What the record keeps.
    pub(crate) fn to_record(&self, root: bool) -> Facts {
        Facts {
            arch: machine_engine::Arch::from_uname(self.machine())
                .map_or_else(|_| self.machine().to_owned(), |a| a.to_string()),
            os: self.get("os_name").to_owned(),
            kernel: self.get("kernel").to_owned(),
            glibc: self.get("glibc").to_owned(),
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
        let refuse = |what: &str, hint: &str| Err(Error::failure(what.to_owned()).hint(hint.to_owned()));
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
            return Err(Error::failure(format!(
                "the host's clock is {} {direction}",
                words(self.clock_ahead.unsigned_abs())
            ))
            .cause("its certificates would not be valid yet, or no longer")
            .hint("set it on the host, for example: timedatectl set-ntp true"));
        }
        Ok(())
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
        Err(Error::new(Kind::Denied, format!("the host belongs to {whose}"))
            .cause(format!("/opt/machine/owner names machine id {owner}"))
            .hint("remove it there first (`machine rm`), or take the host over with --replace"))
    }

    /// Nobody else's engine is on the host, unless the user said what to do with it.
    pub(crate) fn check_foreign_engine(&self, foreign: Option<Foreign>) -> Result<()> {
        let found = [self.get("foreign_dockerd"), self.get("foreign_unit")].into_iter().find(|f| !f.is_empty());
        match (found, foreign) {
            (Some(found), None) => Err(Error::failure("the host has an engine that machine did not install")
                .cause(format!("found {found}"))
                .hint("--adopt keeps it and adds TLS; --replace puts the bundled engine in its place")),
            (None, Some(Foreign::Adopt)) => Err(Error::new(Kind::Usage, "there is no engine on the host to adopt")
                .hint("leave out --adopt, and machine installs the bundled engine")),
            _ => Ok(()),
        }
    }

    /// The packaged engine's program.
    pub(crate) fn foreign_dockerd(&self) -> Option<&str> {
        self.answer.get("foreign_dockerd")
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
        Err(Error::failure(format!("the host's glibc {have} is older than engine bundle {bundle} needs ({floor})"))
            .hint("use a newer host, or a bundle made for older ones: --engine-bundle debian:bookworm"))
    }

    /// There is room for the engine.
    pub(crate) fn check_space(&self, needed: u64) -> Result<()> {
        let (free, data) = (self.number("free_opt"), self.number("free_var_lib"));
        if free < needed + ROOM {
            return Err(Error::new(
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
            return Err(Error::new(
                Kind::Quota,
                format!("no room for containers in /var/lib on the host: {} free", mib(data)),
            )
            .hint("free some space on the host, or mount a larger file system at /var/lib/docker"));
        }
        Ok(())
    }

    /// Something that works, worse than it could.
    pub(crate) fn warning(&self) -> Option<String> {
        (self.get("overlay") != "true")
            .then(|| "the host's kernel has no overlay file system: the engine will copy every layer (vfs)".to_owned())
    }
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
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn facts(changes: &[(&str, &str)]) -> HostFacts {
        let base = format!(
            "clock={NOW}\narch=x86_64\nkernel=6.1\nglibc=2.36\nsystemd_running=true\nsystemd=252\ncgroup=2\noverlay=true\nfree_opt=9000000000\nfree_var_lib=9000000000\n"
        );
        let mut answer = Answer::parse(&base);
        for (key, value) in changes {
            answer.facts.insert((*key).to_owned(), (*value).to_owned());
        }
        HostFacts::from_answer(answer, NOW).unwrap()
    }

    #[test]
    fn a_plain_host_is_fine() {
        let host = facts(&[]);
        host.check_basics().unwrap();
        host.check_owner("id", "store", None).unwrap();
        host.check_foreign_engine(None).unwrap();
        host.check_libc("2.34", "b").unwrap();
        host.check_space(300 << 20).unwrap();
        assert_eq!(host.warning(), None);
    }

    #[test]
    fn refusals_name_the_thing_and_have_a_hint() {
        let year = (NOW + 31_536_000).to_string();
        let cases: [(&str, &[(&str, &str)]); 6] = [
            ("systemd", &[("systemd_running", "false")]),
            ("lacks gzip", &[("tools_missing", "gzip")]),
            ("not glibc", &[("glibc", "")]),
            ("control groups", &[("cgroup", "0")]),
            ("365 days ahead", &[("clock", &year)]),
            ("namespaces: net", &[("namespaces_missing", "net")]),
        ];
        for (word, changes) in cases {
            let error = facts(changes).check_basics().unwrap_err();
            assert!(error.message.contains(word), "{word}: {}", error.message);
            assert!(error.hint.is_some(), "{word}");
        }
    }

    #[test]
    fn owners() {
        let host = facts(&[("owner", "machine-id=other\nstore-id=store\n")]);
        assert!(host.check_owner("id", "store", None).unwrap_err().message.contains("another machine of this store"));
        assert!(host.check_owner("id", "elsewhere", None).unwrap_err().message.contains("another store"));
        host.check_owner("other", "store", None).unwrap();
        host.check_owner("id", "store", Some(Foreign::Replace)).unwrap();
        host.check_owner("id", "store", Some(Foreign::Adopt)).unwrap_err();
    }

    #[test]
    fn engines_of_others() {
        let host = facts(&[("foreign_dockerd", "/usr/sbin/dockerd")]);
        assert!(host.check_foreign_engine(None).unwrap_err().hint.unwrap().contains("--adopt"));
        host.check_foreign_engine(Some(Foreign::Adopt)).unwrap();
        facts(&[]).check_foreign_engine(Some(Foreign::Adopt)).unwrap_err();
    }

    #[test]
    fn old_libc_and_full_disks() {
        assert!(facts(&[("glibc", "2.31")]).check_libc("2.34", "b").unwrap_err().message.contains("2.31"));
        let full = facts(&[("free_opt", "1000")]).check_space(300 << 20).unwrap_err();
        assert_eq!(full.kind, Kind::Quota);
        assert_eq!(facts(&[("free_var_lib", "1000")]).check_space(0).unwrap_err().kind, Kind::Quota);
    }

    #[test]
    fn a_broken_daemon_json_is_said() {
        let answer = Answer::parse(&format!("clock={NOW}\ndaemon_json=nonsense\n"));
        assert!(HostFacts::from_answer(answer, NOW).unwrap_err().hint.is_some());
    }
}
