//! What of ours a program must not inherit. VirtualBox's service is started by the first call and keeps for its whole life what
//! that call had open: the lock of a script's `flock 9`, for one, would never be let go of.
#![expect(unsafe_code, reason = "a descriptor by its number is beyond the compiler; here it is only given a flag")]

/// Has all open files but the first three end with this process. Those that Rust opened do so already.
#[cfg(unix)]
pub(crate) fn keep() {
    use std::os::fd::{BorrowedFd, RawFd};
    let entries = std::fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    for number in numbers.filter(|number| *number > 2).collect::<Vec<_>>() {
        // SAFETY: nothing is read, written or closed through it. A number that is free by now is refused by the kernel, and
        // one that has another file by now belongs to a file of Rust's, which has the flag already.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        // What is closed meanwhile needs no flag.
        rustix::io::fcntl_setfd(file, rustix::io::FdFlags::CLOEXEC).ok();
    }
}

/// Handles of Windows are inherited only where it is said.
#[cfg(not(unix))]
pub(crate) fn keep() {}
