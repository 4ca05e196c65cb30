//! Tests that cannot run here say so, once, where `./check` collects it. Main item: [`skipped`].

use std::io::Write as _;

/// Notes that the running test is skipped, and why; the test then returns.
///
/// The line goes to stderr and into the file `MACHINE_SKIP_LOG`, which `./check` prints at its end. Under CI a line
/// whose test is not in `tests/allowed-skips.txt` fails the run.
///
/// # Panics
/// When the file cannot be written: a skip that nobody sees looks like a test that passed.
#[expect(clippy::print_stderr, reason = "libtest shows it with the test")]
pub fn skipped(reason: &str) {
    let line = format!("SKIPPED: {}: {}\n", test_name(), reason.trim().replace('\n', " / "));
    eprint!("{line}");
    if let Some(log) = std::env::var_os("MACHINE_SKIP_LOG") {
        let written = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            panic!("cannot note a skip in {}: {error}", log.display());
        }
    }
}

/// The name of the running test: nextest says it, libtest names the thread after it.
fn test_name() -> String {
    std::env::var("NEXTEST_TEST_NAME")
        .ok()
        .or_else(|| std::thread::current().name().map(str::to_owned))
        .unwrap_or_else(|| "a test".to_owned())
}
