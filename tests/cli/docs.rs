//! Every command shown in the documentation is one that the program takes.

use std::path::{Path, PathBuf};

use machine_tests::Env;

/// Every page: the one that people see first, and the folder.
fn pages(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join("docs")).expect("the documentation");
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.expect("a page").path()).collect();
    pages.push(root.join("README.md"));
    pages.sort();
    pages
}

#[test]
fn commands_in_the_documentation_parse() {
    let env = Env::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut seen = 0;
    for page in pages(root) {
        let text = std::fs::read_to_string(&page).expect("a page");
        for line in console_lines(&text) {
            for command in machine_commands(line) {
                // Help is printed only once everything before it was understood. What follows `ssh NAME` is not ours.
                let script = match command.strip_prefix("machine ssh") {
                    Some(rest) => format!("machine ssh --help {rest}"),
                    None => format!("{command} --help"),
                };
                let shown = env.sh(&script).success();
                assert!(shown.stdout.contains("Usage: machine "), "{}: {command}", page.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "only {seen} commands were found");
}

/// What stands behind `$ ` in ```console blocks.
fn console_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter_map(move |line| {
        if line.starts_with("```") {
            inside = line == "```console";
            return None;
        }
        line.strip_prefix("$ ").filter(|_| inside)
    })
}

/// The `machine …` of a line, also within `$(…)` and `<(…)`.
fn machine_commands(line: &str) -> Vec<&str> {
    let starts = line.match_indices("machine ").filter(|(at, _)| *at == 0 || line[..*at].ends_with('('));
    starts.map(|(at, _)| line[at..].split(')').next().unwrap_or_default()).collect()
}
