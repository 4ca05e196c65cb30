//! Ports at which containers with the host's own network listen: the engine publishes none of them and tells of none, so the
//! host is looked at. Main type: [`HostNetwork`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use machine_templates::remote::{Answer, HostListeners};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::state::Forward;
use crate::script::run_script;
use crate::ssh::{Connection, Input};

/// From the first look to the second: programs begin to listen soon after they have started.
const SOON: Duration = Duration::from_secs(1);
/// The longest rest between two looks.
const LONGEST_REST: Duration = Duration::from_secs(20);

/// Looks again and again, less and less often, and tells what it sees.
#[derive(Debug)]
pub(super) struct HostNetwork {
    seen: mpsc::Receiver<Vec<Forward>>,
    task: JoinHandle<()>,
}

impl HostNetwork {
    /// Begins; `containers` are ids and names.
    pub(super) fn start(connection: &Connection, containers: Vec<(String, String)>) -> Self {
        let (tell, seen) = mpsc::channel(1);
        let connection = connection.clone();
        let task = tokio::spawn(async move {
            let ids: Vec<&str> = containers.iter().map(|(id, _)| id.as_str()).collect();
            let ids = ids.join(" ");
            let mut rest = SOON;
            loop {
                let look = HostListeners { ids: &ids };
                match run_script(&connection, &look, Input::Empty, Duration::from_secs(60)).await {
                    Ok(answer) if tell.send(listeners(&answer, &containers)).await.is_err() => return,
                    Ok(_) => {}
                    Err(e) => tracing::debug!("containers with the host's network are not looked at: {e}"),
                }
                tokio::time::sleep(rest).await;
                rest = (rest * 2).min(LONGEST_REST);
            }
        });
        Self { seen, task }
    }

    /// What is seen next.
    pub(super) async fn next(&mut self) -> Option<Vec<Forward>> {
        self.seen.recv().await
    }
}

impl Drop for HostNetwork {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the host said, one for each port. It is foreign: what is strange is left out.
fn listeners(answer: &Answer, containers: &[(String, String)]) -> Vec<Forward> {
    let said = answer.all.iter().filter(|(key, _)| key == "listener");
    let mut all: Vec<Forward> = said.filter_map(|(_, text)| listener(text, containers)).collect();
    all.sort();
    // By IPv4 and IPv6 it is one.
    all.dedup_by(|later, first| later.port == first.port);
    all
}

fn listener(text: &str, containers: &[(String, String)]) -> Option<Forward> {
    let (id, at) = text.split_once(' ')?;
    let (_, name) = containers.iter().find(|(known, _)| known == id)?;
    let (address, port) = at.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok().filter(|port| *port > 0)?;
    let host = match address_of(address)? {
        all if all.is_unspecified() && all.is_ipv4() => IpAddr::from(Ipv4Addr::LOCALHOST),
        all if all.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one => one,
    };
    Some(Forward { port, container: name.clone(), host: host.to_string(), host_port: port, udp: false })
}

/// An address in the kernel's words: 32 bits at a time, each as the processor has them.
fn address_of(hex: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> = hex
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok().map(u32::to_le_bytes))
        .collect();
    let bytes = words?.concat();
    match hex.len() {
        8 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        32 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l10_listeners_of_the_host_s_network_are_told_apart_by_their_container() {
        let said = "listener=aaaaaaaaaaaa 0100007F:1F90\nlistener=aaaaaaaaaaaa 00000000:1F91\n\
                    listener=aaaaaaaaaaaa 00000000000000000000000000000000:1F91\n\
                    listener=bbbbbbbbbbbb 00000000000000000000000001000000:1F92\nlistener=bbbbbbbbbbbb 0F02000A:1F93\n\
                    listener=cccccccccccc 00000000:0016\nlistener=aaaaaaaaaaaa nonsense\nlistener=aaaaaaaaaaaa 00:1\n\
                    listener=aaaaaaaaaaaa 00000000:0000\ndone\n";
        let containers = [("aaaaaaaaaaaa", "web"), ("bbbbbbbbbbbb", "six")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let seen = listeners(&Answer::parse(said), &containers);
        let shown: Vec<String> = seen.iter().map(|f| format!("{} {} {}", f.port, f.container, f.host)).collect();
        assert_eq!(shown, ["8080 web 127.0.0.1", "8081 web 127.0.0.1", "8082 six ::1", "8083 six 10.0.2.15"]);
    }
}
