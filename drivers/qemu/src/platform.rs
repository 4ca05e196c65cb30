//! What only one system has, in one place. Only the Linux half has been run.

use std::path::Path;

use crate::settings::Accel;

/// The accelerator of this system.
pub(crate) fn accelerator() -> Option<Accel> {
    if cfg!(target_os = "linux") {
        Some(Accel::Kvm)
    } else if cfg!(target_os = "macos") {
        Some(Accel::Hvf)
    } else if cfg!(windows) {
        Some(Accel::Whpx)
    } else {
        None
    }
}

/// Whether KVM's device can be opened: without that nothing needs to be tried.
pub(crate) fn kvm_opens() -> Result<(), String> {
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err("there is no /dev/kvm".to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            Err("you may not open /dev/kvm; `sudo usermod -aG kvm $USER` and a new login let you".to_owned())
        }
        Err(e) => Err(format!("/dev/kvm does not open: {e}")),
    }
}

/// What an accelerator's answer depends on besides QEMU: the kernel as it booted, and its device.
#[cfg(unix)]
pub(crate) fn identity() -> String {
    use std::os::unix::fs::MetadataExt as _;
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let device = std::fs::metadata("/dev/kvm").map_or_else(
        |_| String::new(),
        |meta| format!("{:x}:{:o}:{}:{}", meta.rdev(), meta.mode(), meta.uid(), meta.gid()),
    );
    let user = rustix::process::geteuid().as_raw();
    format!("{release} {} {device} {user}", boot.trim())
}

#[cfg(not(unix))]
pub(crate) fn identity() -> String {
    String::new()
}

#[cfg(unix)]
pub(crate) fn symlink(to: &Path, at: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(windows)]
pub(crate) fn symlink(to: &Path, at: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(to, at)
}

/// UEFI for guests of 64-bit ARM, which have no firmware built in: where distributions put it, else QEMU's own copy,
/// which QEMU finds by itself.
pub(crate) fn aarch64_firmware() -> &'static str {
    const KNOWN: &[&str] = &[
        "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
        "/usr/share/edk2/aarch64/QEMU_EFI.fd",
        "/usr/share/edk2-armvirt/aarch64/QEMU_EFI.fd",
        "/usr/share/AAVMF/AAVMF_CODE.fd",
    ];
    KNOWN.iter().find(|path| Path::new(path).is_file()).copied().unwrap_or("edk2-aarch64-code.fd")
}

/// How QEMU gets onto a computer of this kind.
pub(crate) fn install_hint(program: &str) -> String {
    let package = if program.ends_with("aarch64") { "qemu-system-arm" } else { "qemu-system-x86" };
    if cfg!(target_os = "linux") {
        format!("install it, on Debian or Ubuntu: sudo apt-get install --no-install-recommends {package}")
    } else if cfg!(target_os = "macos") {
        "install it: brew install qemu".to_owned()
    } else {
        "install it from https://www.qemu.org/download, or name it with --qemu-program".to_owned()
    }
}

/// How many bytes of memory this computer has, where it says so: `MemTotal:`, `MemAvailable:`.
pub(crate) fn memory(which: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(which))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
}

/// How many bytes are free for us on a folder's file system.
#[cfg(unix)]
pub(crate) fn room(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

#[cfg(not(unix))]
pub(crate) fn room(_: &Path) -> Option<u64> {
    None
}

/// QEMU's control socket.
#[cfg(unix)]
pub(crate) async fn connect(socket: &Path) -> std::io::Result<tokio::net::UnixStream> {
    tokio::net::UnixStream::connect(socket).await
}

/// QEMU on Windows has Unix sockets too, but tokio does not: a port with a password would be the way.
#[cfg(not(unix))]
pub(crate) async fn connect(_: &Path) -> std::io::Result<tokio::net::TcpStream> {
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "no control socket on this system yet"))
}

/// Processes whose standard input is this very file.
#[cfg(target_os = "linux")]
pub(crate) fn readers(file: &Path) -> Vec<rustix::process::Pid> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(rustix::process::Pid::from_raw).filter(|pid| reads(*pid, file)).collect()
}

#[cfg(target_os = "linux")]
fn reads(pid: rustix::process::Pid, file: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let stdin = std::fs::metadata(format!("/proc/{}/fd/0", pid.as_raw_nonzero()));
    match (std::fs::metadata(file), stdin) {
        (Ok(file), Ok(stdin)) => (file.dev(), file.ino()) == (stdin.dev(), stdin.ino()),
        _ => false,
    }
}

/// Ends with SIGKILL what reads this file. The process is held by a descriptor before it is looked at once more, so that
/// a number that has changed hands meanwhile is never signalled.
#[cfg(target_os = "linux")]
pub(crate) async fn kill(lock: &Path, _socket: Option<&Path>) -> std::io::Result<()> {
    use rustix::io::Errno;
    use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
    for pid in readers(lock) {
        let sent = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) if reads(pid, lock) => pidfd_send_signal(&process, Signal::KILL),
            // A kernel before 5.3, or a sandbox.
            Err(Errno::NOSYS | Errno::PERM) if reads(pid, lock) => kill_process(pid, Signal::KILL),
            _ => Ok(()),
        };
        match sent {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Ends with SIGKILL what listens on the control socket. Unrun.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) async fn kill(_lock: &Path, socket: Option<&Path>) -> std::io::Result<()> {
    let Some(socket) = socket else { return Ok(()) };
    let stream = connect(socket).await?;
    if let Some(pid) = stream.peer_cred()?.pid().and_then(rustix::process::Pid::from_raw) {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) async fn kill(_: &Path, _: Option<&Path>) -> std::io::Result<()> {
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "end it with the task manager"))
}
