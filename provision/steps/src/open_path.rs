//! Whether connections to the engine's port arrive at its host at all, found out while the engine starts. Main item:
//! [`OpenPath`].

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

/// For a firewall that swallows everything: a lost first packet is sent again after 1 s, and after 3.
const LONGEST: Duration = Duration::from_secs(4);

/// A look that goes on beside other work. Where the path is open and nothing listens yet, the host's kernel refuses at once.
pub(crate) struct OpenPath(JoinHandle<bool>);

impl OpenPath {
    /// Begins to look.
    pub(crate) fn look(host: String, port: u16) -> Self {
        Self(tokio::spawn(async move { answered(LONGEST, || TcpStream::connect((host.as_str(), port))).await }))
    }

    /// Whether anything has answered, if only by refusing. Waits for what is left of the 4 s since the look began.
    pub(crate) async fn answers(mut self) -> bool {
        // A look that broke off says nothing.
        (&mut self.0).await.unwrap_or(true)
    }
}

impl Drop for OpenPath {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// `false` once `longest` has passed and nothing but silence, or a router's word, has come back.
async fn answered<T, F>(longest: Duration, connect: impl Fn() -> F) -> bool
where
    F: Future<Output = io::Result<T>>,
{
    let end = Instant::now() + longest;
    loop {
        match timeout_at(end, connect()).await {
            Ok(Ok(_)) => return true,
            Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => return true,
            // Perhaps only until a firewall's new rule is in force.
            Ok(Err(_)) => sleep_until(end.min(Instant::now() + Duration::from_millis(150))).await,
            Err(_) => return false,
        }
        if Instant::now() >= end {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn p5_only_silence_means_that_nothing_arrives() {
        assert!(!answered(SHORT, pending::<io::Result<()>>).await);
        let refuses = || ready(Err::<(), _>(io::ErrorKind::ConnectionRefused.into()));
        assert!(answered(HOUR, refuses).await, "a host that refuses is reached, and at once");
        let router = || ready(Err::<(), _>(io::ErrorKind::HostUnreachable.into()));
        assert!(!answered(SHORT, router).await);
        let asked = Cell::new(0);
        let later = || {
            asked.set(asked.get() + 1);
            ready(if asked.get() < 3 { Err(io::ErrorKind::HostUnreachable.into()) } else { Ok(()) })
        };
        assert!(answered(HOUR, later).await, "a firewall's rule may come into force late");
    }

    #[tokio::test]
    async fn p5_the_look_goes_on_beside_other_work() {
        // Nobody listens there: the port was given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(OpenPath::look("127.0.0.1".to_owned(), port).answers().await);
    }
}
