//! A host as if it were far away. Main type: [`DelayedLink`].

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::poll;

/// What may be under way in one direction: 256 chunks of 16 KiB, 4 MiB, as a kernel's own window grows to.
const IN_FLIGHT: usize = 256;
const CHUNK: usize = 16 * 1024;

/// A port on loopback that leads to a host, each way taking half of a given round trip. Dropped, it takes no more
/// connections; those under way last until either end closes.
///
/// Bytes are held, not slowed: as much as the window allows is under way at once, as on a real long line. (`tc netem`
/// would do this in the kernel, where the kernel has it.)
#[derive(Debug)]
pub struct DelayedLink {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
}

impl DelayedLink {
    /// A link to `host` with this round trip.
    pub fn to(host: SocketAddr, round_trip: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let address = listener.local_addr().expect("a bound port");
        let closed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&closed);
        std::thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                if seen.load(Ordering::SeqCst) {
                    return;
                }
                // A host that does not answer looks like one that hangs up: that is near enough to a refusal.
                let Ok(far) = TcpStream::connect(host) else { continue };
                for stream in [&near, &far] {
                    stream.set_nodelay(true).expect("an option every socket has");
                }
                let copy = |stream: &TcpStream| stream.try_clone().expect("a copy of a socket");
                carry(copy(&near), copy(&far), round_trip / 2);
                carry(far, near, round_trip / 2);
            }
        });
        Self { address, closed }
    }

    /// Where it is reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for DelayedLink {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees it.
        drop(TcpStream::connect(self.address));
    }
}

/// One direction: read at once, written when its time has come.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(IN_FLIGHT);
    std::thread::spawn(move || {
        let mut chunk = [0; CHUNK];
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            if sender.send((Instant::now() + delay, chunk[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, bytes) in receiver {
            poll::rest_until(due);
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        to.shutdown(Shutdown::Write).ok();
    });
}
