//! Driver `none`: a Docker engine that somebody else runs, known only by its URL. Nothing is made, reached or removed.

use std::path::Path;
use std::str::FromStr;

use machine_driver::{
    Context, Diagnostic, Driver, EngineEndpoint, HostKeySupport, Kind, Origin, Power, Result, Status,
};
use serde::{Deserialize, Serialize};

/// The driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDriver;

/// What the user may set.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[group(skip)]
pub struct Settings {
    /// URL of an existing Docker engine
    ///
    /// tcp://HOST:PORT, http(s)://HOST:PORT, unix:///PATH, npipe:////./pipe/NAME or ssh://USER@HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub url: Option<EngineUrl>,
}

/// There is nothing to remember.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// There are no stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoStage {}

/// An engine's address as the docker client takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EngineUrl {
    text: String,
    host: String,
    port: u16,
}

impl EngineUrl {
    /// The URL as typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it leads: host without brackets and port; empty and 0 for a socket or pipe.
    pub fn endpoint(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

impl FromStr for EngineUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("a URL has a scheme, as in tcp://10.0.0.5:2376")?;
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("a URL has no blanks".to_owned());
        }
        let default_port = match scheme {
            "unix" | "npipe" | "fd" => {
                if scheme == "fd" || !rest.starts_with('/') {
                    return Err(format!("{scheme}:// needs an absolute path, as in unix:///run/docker.sock"));
                }
                return Ok(Self { text: text.to_owned(), host: String::new(), port: 0 });
            }
            // The docker client's own defaults: its TLS port, its plain port, ssh.
            "tcp" => 2375,
            "http" => 80,
            "https" => 443,
            "ssh" => 22,
            _ => {
                return Err(format!(
                    "a docker client knows no {scheme}:// (it knows tcp, http, https, unix, npipe, ssh)"
                ));
            }
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let (user, address) = authority.rsplit_once('@').map_or((None, authority), |(u, a)| (Some(u), a));
        match user {
            Some(_) if scheme != "ssh" => {
                return Err("the URL of an engine has no user name: TLS certificates authenticate".to_owned());
            }
            Some(user) if user.contains(':') => {
                return Err("a password does not belong into a URL: ssh uses keys".to_owned());
            }
            Some("") => return Err("the user before @ is empty".to_owned()),
            _ => {}
        }
        let (host, port) = if let Some(rest) = address.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or("an IPv6 address ends with ]")?;
            host.split('%')
                .next()
                .unwrap_or_default()
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| format!("[{host}] is not an IPv6 address"))?;
            (host, port)
        } else {
            let at = address.find(':').unwrap_or(address.len());
            address.split_at(at)
        };
        let plain =
            |c: char| c.is_ascii_alphanumeric() || "-._".contains(c) || (address.starts_with('[') && ":%".contains(c));
        if host.is_empty() || !host.chars().all(plain) || host.starts_with('-') {
            return Err(format!("{host:?} is not a host"));
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => default_port,
            Some(digits) => {
                digits.parse().ok().filter(|&p| p != 0).ok_or_else(|| format!("{digits:?} is not a port"))?
            }
            None => return Err("an IPv6 address stands in brackets, as in tcp://[fd00::1]:2376".to_owned()),
        };
        Ok(Self { text: text.to_owned(), host: host.to_owned(), port })
    }
}

impl TryFrom<String> for EngineUrl {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<EngineUrl> for String {
    fn from(url: EngineUrl) -> Self {
        url.text
    }
}

impl Settings {
    fn url(&self) -> Result<&EngineUrl> {
        self.url.as_ref().ok_or_else(|| {
            Diagnostic::new(Kind::Usage, "driver none requires the --url option")
                .hint("say where the engine is, as in --url tcp://10.0.0.5:2376; to make a new host name another driver with -d")
        })
    }
}

impl Driver for NoDriver {
    type Settings = Settings;
    type Machine = Nothing;
    type Stage = NoStage;

    const NAME: &'static str = "none";
    const ABOUT: &'static str = "A Docker engine that is already there, known by its URL";
    const STAGES: &'static [NoStage] = &[];
    const ORIGIN: Origin = Origin::UrlOnly;
    const HOST_KEY: HostKeySupport = HostKeySupport::FirstUse;
    // `--url` has been there without a name in front since docker-machine.
    const PREFIX: &'static str = "";

    fn normalize(&self, s: Settings, _: &Path) -> Result<Settings> {
        s.url()?;
        Ok(s)
    }

    async fn check(&self, _: &Context, s: &Settings) -> Result<()> {
        s.url().map(|_| ())
    }

    async fn advance(&self, stage: NoStage, _: &Context, _: &Settings, _: &mut Nothing) -> Result<()> {
        match stage {}
    }

    async fn inspect(&self, _: &Context, s: &Settings, _: &Nothing) -> Result<Status> {
        let url = s.url()?;
        let (host, port) = url.endpoint();
        let engine =
            EngineEndpoint { host: host.to_owned(), port, host_port: port, url: Some(url.as_str().to_owned()) };
        Ok(Status { power: Power::Unknown, ssh: None, engine: Some(engine), detail: None })
    }

    async fn remove(&self, _: &Context, _: &Settings, _: &Nothing) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_a_docker_client_takes() {
        for (text, host, port) in [
            ("tcp://10.0.0.5:2376", "10.0.0.5", 2376),
            ("tcp://docker.example.com", "docker.example.com", 2375),
            ("tcp://[fd00::1]:2376", "fd00::1", 2376),
            ("https://docker.example.com/prefix", "docker.example.com", 443),
            ("ssh://me@box:2222", "box", 2222),
            ("unix:///run/docker.sock", "", 0),
            ("npipe:////./pipe/docker_engine", "", 0),
        ] {
            let url: EngineUrl = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(url.endpoint(), (host, port), "{text}");
            assert_eq!(url.as_str(), text);
        }
    }

    #[test]
    fn urls_it_does_not() {
        for text in [
            "",
            "10.0.0.5:2376",
            "tcp://",
            "tcp://:2376",
            "tcp://a b",
            "tcp://a:0",
            "tcp://a:99999",
            "tcp://fd00::1:2376",
            "tcp://me@a:2376",
            "ssh://me:secret@a",
            "ssh://@a",
            "ftp://a",
            "unix://relative",
            "fd://",
            "tcp://[zz]:1",
            "tcp://-a",
        ] {
            assert!(text.parse::<EngineUrl>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_missing_url_is_refused_in_our_own_words() {
        let error = NoDriver.normalize(Settings { url: None }, Path::new("/")).unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert_eq!(error.message, "driver none requires the --url option");
        assert!(error.hint.is_some());
    }
}
