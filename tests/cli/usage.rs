//! Command lines that cannot be used, and their exit codes.

use machine_tests::Env;

use crate::record;

#[test]
fn what_is_typed_wrong_is_2() {
    let env = Env::new();
    record::put(&env, &record::running("web-1"));
    let _ = env.run(&["frobnicate"]).failure(2).says(&["unrecognized subcommand 'frobnicate'"]);
    let _ = env.run(&["ls", "--bogus"]).failure(2).says(&["unexpected argument '--bogus'"]);
    let _ = env.run(&["url", "a", "b"]).failure(2).says(&["unexpected argument 'b'"]);
    let _ = env.run(&["url", "under_score"]).failure(2).says(&["under_score"]);
    let _ = env.run(&["env", "-u", "web-1"]).failure(2).says(&["cannot be used with"]);
    let _ = env.run(&["set", "web-1"]).failure(2).says(&["nothing to set", "hint: "]);
    let _ = env.run(&["scp", "a", "b"]).failure(2).says(&["neither side is a machine", "hint: "]);
    let _ = env.run(&["bundle", "build", "tape:x"]).failure(2).says(&["tape", "hint: "]);
}

#[test]
fn help_and_version_are_data() {
    let env = Env::new();
    for args in [&["--help"][..], &["help"], &["help", "create"], &["create", "--help"], &[]] {
        let seen = env.run(args).success();
        assert!(seen.stdout.contains("Usage:"), "{args:?}");
        assert_eq!(seen.stderr, "", "{args:?}");
    }
    let version = env.run(&["version"]).success().stdout;
    assert!(version.starts_with("machine version "), "{version}");
    for flag in ["-v", "--version", "-V"] {
        assert!(env.run(&[flag]).success().stdout.starts_with("machine "), "{flag}");
    }
}

#[test]
fn flags_may_follow_names_and_globals_may_follow_commands() {
    let env = Env::new();
    record::put(&env, &record::running("web-1"));
    let store = env.store().display().to_string();
    assert_eq!(env.run(&["url", "web-1", "-s", &store]).success().stdout, "tcp://10.0.0.7:2376\n");
    assert_eq!(env.run(&["--native-ssh", "-s", &store, "url", "web-1"]).success().stdout, "tcp://10.0.0.7:2376\n");
    assert!(env.run(&["env", "web-1", "--shell", "sh"]).success().stdout.contains("DOCKER_HOST"));
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let mut env = Env::new();
    env.set("MACHINE_PROGRESS", "");
    env.set("MACHINE_STORAGE_PATH", "");
    let _ = env.run(&["ls", "-q"]).success();
    let _ = env.run(&["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:1"]).success();
    assert!(env.home().join(".local/share/machine/machines/x").exists(), "the data folder is used");
}

#[test]
fn rm_asks_a_person_or_needs_to_be_told() {
    let env = Env::new();
    let _ = env.run(&["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:1"]).success();
    let _ = env.run(&["rm"]).failure(2).says(&["required arguments"]);
    let _ = env.run(&["rm", "x"]).failure(2).says(&["nobody is there to ask whether x shall be removed", "hint: `-y`"]);
    let _ = env.run(&["ls", "-q"]).success();
    let _ = env.run(&["rm", "-y", "x", "nobody"]).failure(4).says(&["machine \"nobody\" does not exist"]);
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "x\n", "all names are judged before anything is removed");
    let _ = env.run(&["rm", "-y", "x"]).success().says(&["x: removed"]);
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "");
    let _ = env.run(&["rm", "-y", "x"]).failure(4);
    let _ = env.run(&["rm", "-f", "x"]).success().says(&["x: machine \"x\" does not exist"]);
}

#[test]
fn ssh_fails_with_255_for_reasons_of_its_own() {
    let env = Env::new();
    let _ = env.run(&["ssh", "nobody", "true"]).failure(255).says(&["machine \"nobody\" does not exist"]);
    let _ = env.run(&["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:1"]).success();
    let _ = env.run(&["ssh", "x", "true"]).failure(255).says(&["no SSH address"]);
}

#[test]
fn regenerate_certs_asks_a_person_or_needs_to_be_told() {
    let env = Env::new();
    record::put(&env, &record::running("web-1"));
    let _ = env.run(&["regenerate-certs", "web-1"]).failure(2).says(&["nobody is there to ask", "hint: `-f`"]);
}

#[test]
fn completions_know_commands_and_machines() {
    let env = Env::new();
    record::put(&env, &record::running("web-1"));
    record::put(&env, &record::running("web-2"));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(!env.run(&["completions", shell]).success().stdout.is_empty(), "{shell}");
        assert!(env.run(&["completions", shell, "--static"]).success().stdout.contains("regenerate-certs"), "{shell}");
    }
    let complete = |words: &[&str], index: &str| {
        let args: Vec<&str> = ["--", "machine"].iter().chain(words).copied().collect();
        let cmd = env.machine(&args).env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index).env("_CLAP_IFS", "\n");
        cmd.run().success().stdout
    };
    assert_eq!(complete(&["ssh", "web"], "2"), "web-1\nweb-2");
    assert!(complete(&["regen"], "1").contains("regenerate-certs"));
}
