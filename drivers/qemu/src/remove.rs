//! Takes away what this driver made for a machine: the process, then the files.

use machine_driver::{Context, Result};
use machine_guest::{base_disk, ports};

use crate::files::{Files, OURS, io};
use crate::process;
use crate::timing::Timing;

pub(crate) async fn remove(cx: &Context, timing: &Timing) -> Result<()> {
    let files = Files::new(cx);
    process::end(&files, cx, timing).await?;
    // The socket of the last QEMU may be elsewhere than the next one's would be.
    let sockets = [files.last_socket(), Some(files.socket.clone())].into_iter().flatten();
    for path in sockets.chain(OURS.iter().chain(base_disk::OURS).map(|name| files.dir().join(name))) {
        match std::fs::remove_file(&path) {
            Err(e) if !matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Err(io("remove", &path)(e));
            }
            _ => {}
        }
    }
    ports::release(cx).await
}
