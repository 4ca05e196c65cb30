//! What shells read of our texts: values come out of them as they went in, and no other shell runs our scripts.

use super::*;

/// What a shell has in its variable after sourcing the text.
fn round_trip(shell: Shell, program: &str, extension: &str, print: &str, value: &str) {
    if !present(program) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(format!("env.{extension}"));
    let mut text = render_env(shell, &vars(value), "machine env dev").unwrap();
    text += print;
    text.push('\n');
    write(&file, &text);
    let mut command = Command::new(program);
    if program == "tcsh" || program == "csh" {
        command.arg("-f");
    }
    let out = command.arg(&file).env("NO_PROXY", "left over").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    let expected = format!("1\ntcp://[fd00::1]:2376\n{value}\ndev\n");
    assert_eq!(said, expected, "{program}: {}", String::from_utf8_lossy(&out.stderr));
    let unset = render_unset(shell, &["DOCKER_HOST".to_owned()], "machine env -u").unwrap();
    write(&file, &format!("{unset}\nprintenv DOCKER_HOST\n"));
    let out = Command::new(program).arg(&file).env("DOCKER_HOST", "tcp://old").stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "", "{program}");
}

const PRINT: &str = "printenv DOCKER_TLS_VERIFY\nprintenv DOCKER_HOST\nprintenv DOCKER_CERT_PATH\nprintenv DOCKER_MACHINE_NAME\nprintenv NO_PROXY";

#[test]
fn what_a_shell_reads_is_what_we_meant() {
    for program in ["sh", "bash", "dash", "zsh"] {
        round_trip(Shell::Posix, program, "sh", PRINT, AWKWARD);
    }
    round_trip(Shell::Fish, "fish", "fish", PRINT, AWKWARD);
    round_trip(Shell::Tcsh, "tcsh", "csh", PRINT, AWKWARD);
    for program in ["pwsh", "nu", "emacs"] {
        if on_path(program) {
            eprintln!("SKIPPED: {program} is installed here, and nobody has written its round trip");
        }
    }
}

/// The way users do it: `eval` of a command's output.
#[test]
fn eval_configures_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    for (shell, program, eval) in [
        (Shell::Posix, "bash", "eval $(cat FILE); printenv DOCKER_CERT_PATH"),
        (Shell::Posix, "sh", "eval $(cat FILE); printenv DOCKER_CERT_PATH"),
        (Shell::Fish, "fish", "eval (cat FILE); printenv DOCKER_CERT_PATH"),
        (Shell::Tcsh, "tcsh", "eval `cat FILE`; printenv DOCKER_CERT_PATH"),
    ] {
        if !present(program) {
            continue;
        }
        let file = dir.path().join("text");
        let value = "/home/o'neill/a $b   `touch evil` \"c\"  [d] *";
        write(&file, &render_env(shell, &vars(value), "false").unwrap());
        let line = eval.replace("FILE", file.to_str().unwrap());
        let (ok, out) = run(program, &["-c", &line]);
        assert!(ok, "{program}: {out}");
        assert_eq!(out, format!("{value}\n"), "{program}");
    }
}

#[test]
fn a10_what_tcsh_would_expand_whatever_its_quotes_is_refused() {
    for value in ["/x/{a,b}", "/x/${HOME}", "/x/a}"] {
        let refused = render_env(Shell::Tcsh, &vars(value), "false").unwrap_err().to_string();
        assert!(refused.contains("DOCKER_CERT_PATH"), "{refused}");
        render_env(Shell::Posix, &vars(value), "false").unwrap();
    }
}

mod quoting {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
        #[test]
        fn any_text_survives_sh(value in "[^\0\r]{0,60}") {
            let claim = CheckFiles { files: &value }.text().unwrap();
            let hole: String = claim.split("\n\nprintf ").next().unwrap().to_owned();
            let script = format!("ROOT=\n{hole}\nprintf %s \"$FILES\"");
            let (ok, out) = run("sh", &["-c", &script]);
            prop_assert!(ok);
            prop_assert_eq!(out, value);
        }
    }
}

#[test]
fn a_remote_command_runs_under_any_login_shell() {
    let script = "printf '%s' 'it'\\''s \\ here: '; cat; exit 7";
    let sent = send(script, Privilege::Root);
    for shell in ["sh", "bash", "fish", "tcsh"] {
        if !present(shell) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("in");
        write(&input, &format!("{}data for stdin", String::from_utf8(sent.bytes.clone()).unwrap()));
        let stdin = std::fs::File::open(&input).unwrap();
        let out = Command::new(shell).args(["-c", &sent.command]).stdin(stdin).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        assert_eq!(said, format!("{BEGINS}\nit's \\ here: data for stdin"), "{shell}");
        assert_eq!(out.status.code(), Some(7), "{shell}");
    }
    assert!(send(script, Privilege::Sudo).command.starts_with("sudo -n -- sh -c "));
}

/// The bytes of a script that leaves a file behind, in a folder of its own.
fn traced() -> (tempfile::TempDir, Sent, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let line = format!("echo ran >>{}", trace.display());
    // Many lines: one of them may be whole in any reader's hands.
    let sent = send(&format!("set -e\n{}", format!("{line}\n").repeat(40)), Privilege::Root);
    (dir, sent, trace)
}

#[test]
fn s16_no_other_shell_runs_a_line_of_a_script() {
    let interactive: [&[&str]; 3] = [&["bash", "-i"], &["zsh", "-i"], &["fish", "-i"]];
    // Loops that mend the one thing which ends a shell: the lines behind it must be harmless too.
    let loops: [&[&str]; 2] =
        [&["bash", "-c", "while read -r l; do (eval \"$l\"); done"], &["sh", "-c", "read -r l; exec sh"]];
    let plain: [&[&str]; 10] = [
        &["sh"],
        &["bash"],
        &["zsh"],
        &["fish"],
        &["tcsh"],
        &["csh"],
        &["busybox", "sh"],
        &["python3"],
        &["perl"],
        &["cat"],
    ];
    for words in plain.iter().chain(&interactive).chain(&loops) {
        if !present(words[0]) {
            continue;
        }
        let (dir, sent, trace) = traced();
        let input = dir.path().join("in");
        write(&input, &String::from_utf8(sent.bytes).unwrap());
        let stdin = std::fs::File::open(&input).unwrap();
        let out = Command::new(words[0]).args(&words[1..]).env("HOME", dir.path()).stdin(stdin).output().unwrap();
        assert!(!trace.exists(), "{words:?} ran it");
        assert!(!String::from_utf8_lossy(&out.stdout).contains(BEGINS), "{words:?}");
    }
}

#[test]
fn s16_a_script_that_did_not_arrive_whole_does_not_run() {
    let (dir, sent, trace) = traced();
    let input = dir.path().join("in");
    let text = String::from_utf8(sent.bytes).unwrap();
    let run = |text: &str| {
        write(&input, text);
        let stdin = std::fs::File::open(&input).unwrap();
        Command::new("sh").args(["-c", &sent.command]).stdin(stdin).output().unwrap().status.code()
    };
    // Cut off behind, by a lost connection; in front, by a start-up file that reads.
    for at in (0..text.len() - 1).step_by(53).chain([text.len() - 2]) {
        assert_eq!(run(&text[..at]), Some(NOT_OUR_SHELL.try_into().unwrap()), "{at}");
    }
    for at in [1, 2, 7, 8, 9, 500, text.len() - 1] {
        let code = run(&format!("{}{}", &text[at..], "more\n".repeat(text.len())));
        assert_eq!(code, Some(NOT_OUR_SHELL.try_into().unwrap()), "{at}");
    }
    assert!(!trace.exists());
    assert_eq!(run(&text), Some(0));
    assert!(trace.exists());
}
