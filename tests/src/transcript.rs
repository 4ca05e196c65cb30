//! A command and what came of it, as people read it and as a snapshot keeps it.

use std::sync::LazyLock;

use regex_lite::Regex;

use crate::Output;

/// What is another each time, and the word that stands for it in a snapshot. The first that matches counts.
static CHANGING: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let table = [
        // The folder of one test's user, of one test's lab.
        (r#"(/[^\s"'=:]*)?/machine-test-\w{6}"#, "<ROOT>"),
        (r#"(/[^\s"'=:]*)?/machine-lab-\w{6}"#, "<LAB>"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<UUID>"),
        (r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<TIME>"),
        (r"\b\d+\.\ds\b", "<TIME>"),
        // In events.
        (r#""seconds":[0-9.e-]+"#, r#""seconds":0"#),
        (r"/work-\w{6}\b", "/work-<RANDOM>"),
        // Simulated providers listen where there is room, and their tokens are made for each.
        (r"\bhttp://127\.0\.0\.1:\d+", "http://127.0.0.1:<PORT>"),
        (r"\bdop_v1_[0-9a-f]{64}\b", "<TOKEN>"),
        // The lab's networks.
        (r"\b10\.213\.\d+\.\d+\b", "<ADDRESS>"),
        (r"\bSHA256:[A-Za-z0-9+/]{43}", "SHA256:<KEY>"),
    ];
    table.into_iter().map(|(pattern, word)| (Regex::new(pattern).expect("a pattern"), word)).collect()
});

/// The text with everything that is another each time replaced, the same in all snapshots.
pub fn without_changing(text: &str) -> String {
    CHANGING.iter().fold(text.to_owned(), |text, (pattern, word)| pattern.replace_all(&text, *word).into_owned())
}

/// The lines without those of a step that takes its time, which a fast computer does not say: `web-1: await-ssh: …`
/// before `web-1: await-ssh … done`.
fn without_waiting(text: &str) -> impl Iterator<Item = &str> {
    let ended = text.lines().filter_map(|line| line.split_once(" … "));
    let ended: Vec<String> = ended.map(|(step, _)| format!("{step}: ")).collect();
    text.lines().filter(move |line| !ended.iter().any(|step| line.starts_with(step)))
}

impl Output {
    /// The command, what it wrote (stderr behind `!`), and how it ended unless that was well; for a snapshot.
    pub fn transcript(&self) -> String {
        let mut lines = vec![format!("$ {}", self.command)];
        lines.extend(self.stdout.lines().map(|line| line.trim_end().to_owned()));
        lines.extend(without_waiting(&self.stderr).map(|line| format!("! {line}").trim_end().to_owned()));
        match (self.signal, self.code) {
            (Some(signal), _) => lines.push(format!("[signal {signal}]")),
            (None, 0) => {}
            (None, code) => lines.push(format!("[exit code {code}]")),
        }
        without_changing(&(lines.join("\n") + "\n"))
    }
}

/// Asserts what a command said and how it ended, as a snapshot beside it: `assert_output!(env.run(&["ls"]), @"…")`.
///
/// `cargo insta accept` writes what it says now, after `INSTA_UPDATE=new`.
#[macro_export]
macro_rules! assert_output {
    ($output:expr, @$expected:literal) => {
        $crate::insta::assert_snapshot!($output.transcript(), @$expected)
    };
}

/// The same for several commands in a row.
#[macro_export]
macro_rules! assert_outputs {
    ($outputs:expr, @$expected:literal) => {
        $crate::insta::assert_snapshot!($outputs.iter().map($crate::Output::transcript).collect::<String>(), @$expected)
    };
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_differs_each_time_has_a_word_for_it() {
        let talk = "web-1: await-ssh: connecting by SSH\nweb-1: await-ssh … done (1.2s)\nweb-1: ready\n\
                    web-1: /tmp/machine-test-a1B2c3/store of 6f1f2f0e-8a36-4f0c-9a53-2f8d5b0f2a11\n";
        let status = ExitStatus::from_raw(3 << 8);
        let output = Output::new("machine x".into(), status, b"data \n", talk.as_bytes(), Duration::ZERO);
        let expected = "$ machine x\ndata\n! web-1: await-ssh … done (<TIME>)\n! web-1: ready\n\
                        ! web-1: <ROOT>/store of <UUID>\n[exit code 3]\n";
        assert_eq!(output.transcript(), expected);
    }
}
