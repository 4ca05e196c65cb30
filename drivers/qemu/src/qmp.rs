//! QEMU's control protocol: one JSON document a line, answers among events. Main type: [`Qmp`].
//!
//! Facts: <https://www.qemu.org/docs/master/interop/qmp-spec.html>. One client is served at a time; others wait for the
//! greeting until it has gone.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};

use crate::platform;

/// A line longer than this is not QEMU's.
const LINE: u64 = 1 << 20;

/// Why QEMU did not do what it was told.
#[derive(Debug)]
pub(crate) enum QmpError {
    /// Nobody listens.
    Nobody(std::io::Error),
    /// No answer in time: another client is being served, or QEMU hangs.
    Silent,
    /// The connection ended, as it does when QEMU ends.
    Ended,
    /// QEMU refuses, in its words.
    Refused(String),
    /// Another machine's QEMU.
    Stranger(String),
}

impl fmt::Display for QmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody(e) => write!(f, "nobody answers on QEMU's control socket: {e}"),
            Self::Silent => f.write_str("QEMU does not answer on its control socket"),
            Self::Ended => f.write_str("QEMU closed its control socket"),
            Self::Refused(why) => write!(f, "QEMU refuses: {why}"),
            Self::Stranger(id) => write!(f, "the QEMU of another machine answers ({id})"),
        }
    }
}

impl std::error::Error for QmpError {}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to one QEMU.
pub(crate) struct Qmp {
    stream: BufReader<Box<dyn Stream>>,
    limit: Duration,
}

impl Qmp {
    /// Connects, and makes sure that it is the QEMU of this machine. `limit` is for each answer.
    pub(crate) async fn open(socket: &Path, machine_id: &str, limit: Duration) -> Result<Self, QmpError> {
        let connected = tokio::time::timeout(limit, platform::connect(socket)).await.map_err(|_| QmpError::Silent)?;
        let stream: Box<dyn Stream> = Box::new(connected.map_err(QmpError::Nobody)?);
        let mut qmp = Self { stream: BufReader::new(stream), limit };
        let greeting = qmp.line().await?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Refused("what answers does not speak QMP".to_owned()));
        }
        qmp.run("qmp_capabilities").await?;
        let answer = qmp.run("query-uuid").await?;
        let id = answer["UUID"].as_str().unwrap_or_default();
        if !id.eq_ignore_ascii_case(machine_id) {
            return Err(QmpError::Stranger(id.to_owned()));
        }
        Ok(qmp)
    }

    /// What the VM does, in QEMU's words: `running`, `paused`, `io-error`, …
    pub(crate) async fn status(&mut self) -> Result<String, QmpError> {
        Ok(self.run("query-status").await?["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Presses the power button.
    pub(crate) async fn power_button(&mut self) -> Result<(), QmpError> {
        self.run("system_powerdown").await.map(drop)
    }

    /// Makes the machine's disk larger.
    pub(crate) async fn grow_disk(&mut self, size: u64) -> Result<(), QmpError> {
        self.run_with("block_resize", json!({ "node-name": "disk", "size": size })).await.map(drop)
    }

    /// Says something to QEMU's monitor for people, and returns what it says: some things can be done nowhere else.
    pub(crate) async fn monitor(&mut self, line: &str) -> Result<String, QmpError> {
        let said = self.run_with("human-monitor-command", json!({ "command-line": line })).await?;
        Ok(said.as_str().unwrap_or_default().trim().to_owned())
    }

    /// Lets a paused VM go on.
    pub(crate) async fn go_on(&mut self) -> Result<(), QmpError> {
        self.run("cont").await.map(drop)
    }

    /// Ends QEMU at once.
    pub(crate) async fn quit(&mut self) -> Result<(), QmpError> {
        match self.run("quit").await {
            Ok(_) | Err(QmpError::Ended) => Ok(()),
            Err(e) => Err(e),
        }
    }

    async fn run(&mut self, command: &str) -> Result<Value, QmpError> {
        self.run_with(command, json!({})).await
    }

    async fn run_with(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.stream.write_all(line.as_bytes()).await.map_err(|_| QmpError::Ended)?;
        loop {
            let mut answer = self.line().await?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(QmpError::Refused(error["desc"].as_str().unwrap_or("it does not say why").to_owned()));
            }
            // An event, of no interest here.
        }
    }

    async fn line(&mut self) -> Result<Value, QmpError> {
        use tokio::io::AsyncReadExt as _;
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(LINE);
        let read = tokio::time::timeout(self.limit, limited.read_until(b'\n', &mut line)).await;
        match read {
            Err(_) => Err(QmpError::Silent),
            Ok(Ok(0) | Err(_)) => Err(QmpError::Ended),
            Ok(Ok(_)) => {
                serde_json::from_slice(&line).map_err(|_| QmpError::Refused("it does not speak QMP".to_owned()))
            }
        }
    }
}
