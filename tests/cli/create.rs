//! `machine create` from outside, as far as it goes without a host: driver none, refusals, config.yaml.

use std::os::unix::fs::PermissionsExt as _;

use machine_tests::Env;
use serde_json::Value;

const URL: &[&str] = &["-d", "none", "--url", "tcp://127.0.0.1:9"];

#[test]
fn create_makes_says_and_repeats() {
    let env = Env::new();
    let create = |name: &str, rest: &[&str]| env.run(&[&["create", name], rest].concat());
    let made = create("x", URL).success().says(&["x: ready: eval $(machine env x)"]);
    assert_eq!(made.stdout, "", "talk goes to stderr");
    assert_eq!(env.run(&["url", "x"]).success().stdout, "tcp://127.0.0.1:9\n");
    let _ = create("x", URL).success().says(&["x: already so"]);
    let _ = create("x", &[]).success().says(&["x: already so"]);
    let _ = create("x", &["-d", "none"]).success().says(&["x: already so"]);
    let _ = create("x", &["-d", "none", "--url", "tcp://127.0.0.1:10"]).failure(3).says(&["hint: "]);
    assert_eq!(env.run(&["url", "x"]).success().stdout, "tcp://127.0.0.1:9\n");
}

#[test]
fn under_docker_machines_name_a_taken_name_is_refused() {
    let env = Env::new();
    let _ = env.run(&[&["create", "x"], URL].concat()).success();
    let _ = env
        .machine(&[&["create", "x"], URL].concat())
        .arg0("docker-machine")
        .run()
        .failure(1)
        .says(&["already exists"]);
    let help = env.machine(&["create", "--help"]).arg0("docker-machine").run().success();
    assert!(help.stdout.contains("Usage: docker-machine create"), "{}", help.stdout);
}

#[test]
fn several_names_are_all_tried() {
    let env = Env::new();
    let _ = env.run(&[&["create", "a", "b", "a", "c"], URL].concat()).success();
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "a\nb\nc\n");
    // One differs: the others are made all the same.
    let mixed = [&["create", "c", "d"], &["-d", "none", "--url", "tcp://127.0.0.1:10"][..]].concat();
    let _ = env.run(&mixed).failure(3).says(&["c: error:", "d: ready"]);
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "a\nb\nc\nd\n");
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_made() {
    let env = Env::new();
    let long = "x".repeat(64);
    for (args, text) in [
        // With no -d it is a VM on this computer.
        (vec!["create", "x", "--qemu-program", "/nowhere/qemu"], "cannot start /nowhere/qemu"),
        (vec!["create", "x", "-d", "teleport"], "there is no driver \"teleport\" here"),
        (vec!["create", "under_score", "-d", "none", "--url", "tcp://127.0.0.1:9"], "under_score"),
        (vec!["create", &long, "-d", "none", "--url", "tcp://127.0.0.1:9"], "63"),
        (vec!["create", "x", "-d", "none"], "--url"),
        (vec!["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:9", "--swarm"], "classic Swarm"),
        (vec!["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:9", "--engine-registry-ca", "r"], "HOST=FILE"),
    ] {
        let _ = env
            .run(&args)
            .failure(3)
            .says(&["error: ", text, "hint: "].map(|t| if args.contains(&"r") && t == "hint: " { "" } else { t }));
        assert_eq!(env.run(&["ls", "-q"]).success().stdout, "", "{args:?}");
    }
    let _ = env.run(&["create"]).failure(2).says(&["required arguments"]);
    let _ = env
        .run(&["create", "x", "--url", "tcp://127.0.0.1:9"])
        .failure(2)
        .says(&["error: unexpected argument '--url'", "hint: it is a flag of driver none: add `-d none` to use it"]);
    let _ = env
        .run(&["create", "x", "-d", "none", "--generic-ip-address", "h"])
        .failure(2)
        .says(&["flag of driver generic"]);
}

#[test]
fn help_shows_the_chosen_drivers_flags_only() {
    let env = Env::new();
    let help = |args: &[&str]| env.run(&[&["create", "--help"], args].concat()).success().stdout;
    assert!(help(&["-d", "generic"]).contains("Options of driver generic"));
    assert!(help(&["-d", "generic"]).contains("--generic-ssh-host-key"));
    assert!(!help(&["-d", "none"]).contains("--generic-ip-address"));
    assert!(help(&["-dnone"]).contains("--url"));
}

#[test]
fn flags_beat_variables_beat_the_file_beats_what_is_built_in() {
    let mut env = Env::new();
    let engine = |env: &Env, name: &str| {
        let text = env.run(&["inspect", name]).success().stdout;
        serde_json::from_str::<Value>(&text).expect("JSON")["engine"].clone()
    };
    env.write(
        ".config/machine/config.yaml",
        "driver: none\ndrivers:\n  none:\n    url: tcp://127.0.0.1:7\nengine:\n  registry-mirror: http://file\n  label: [from=file, more=file]\n",
    );
    let _ = env.run(&["create", "file"]).success();
    assert_eq!(env.run(&["url", "file"]).success().stdout, "tcp://127.0.0.1:7\n");
    assert_eq!(engine(&env, "file")["registry_mirrors"], serde_json::json!(["http://file"]));
    assert_eq!(engine(&env, "file")["labels"], serde_json::json!(["from=file", "more=file"]));
    env.set("ENGINE_REGISTRY_MIRROR", "http://variable, http://second");
    let _ = env.run(&["create", "variable"]).success();
    assert_eq!(engine(&env, "variable")["registry_mirrors"], serde_json::json!(["http://variable", "http://second"]));
    let _ = env
        .run(&["create", "flag", "--engine-registry-mirror", "http://flag", "--engine-label", "from=flag"])
        .success();
    assert_eq!(engine(&env, "flag")["registry_mirrors"], serde_json::json!(["http://flag"]));
    assert_eq!(engine(&env, "flag")["labels"], serde_json::json!(["from=flag"]));
    env.set("MACHINE_DRIVER", "teleport");
    let _ = env.run(&["create", "other"]).failure(3).says(&["there is no driver \"teleport\" here"]);
}

#[test]
fn a_config_file_that_is_wrong_is_refused_with_its_line() {
    let env = Env::new();
    for (text, place) in [
        ("drivr: none\n", "config.yaml:1: unknown field `drivr`"),
        ("engine:\n  lable: x\n", "config.yaml:2: engine: unknown field `lable`"),
        ("driver: none\ndrivers:\n  none:\n    ulr: x\n", "config.yaml:4: unknown key `ulr` of driver none"),
        ("driver: none\ndrivers:\n  none:\n    url: [a, b]\n", "config.yaml:4: `drivers.none.url`: wants one value"),
        ("tls:\n  key: dsa\n", "config.yaml:2: `tls.key`: invalid value 'dsa'"),
        ("a: b: c\n", "config.yaml:1: "),
    ] {
        env.write(".config/machine/config.yaml", text);
        let _ = env.run(&[&["create", "x"], URL].concat()).failure(2).says(&[place]);
        // Commands that need none of it go on.
        let _ = env.run(&["ls", "-q"]).success();
    }
    let _ = env.run(&["ls", "-q"]).success();
    let _ = env
        .machine(&["create", "x"])
        .env("MACHINE_CONFIG", "/nowhere/config.yaml")
        .run()
        .failure(2)
        .says(&["cannot read /nowhere"]);
}

#[test]
fn progress_for_programs_is_json_on_stdout_alone() {
    let env = Env::new();
    let made = env.run(&[&["create", "x", "--progress", "json"], URL].concat()).success();
    let events: Vec<Value> =
        made.stdout.lines().map(|line| serde_json::from_str(line).expect("a document a line")).collect();
    assert!(events.iter().all(|event| event["machine"] == "x"), "{events:?}");
    assert!(events.iter().any(|event| event["event"] == "finished" && event["outcome"] == "done"));
    assert_eq!(made.stderr, "");
    let refused =
        env.run(&["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:10", "--progress", "json"]).failure(3);
    let last: Value =
        refused.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).expect("an error document");
    assert_eq!(last["event"], "error");
    assert_eq!(last["exit_code"], 3);
    assert_eq!(last["refused"], true);
}

#[test]
fn timings_and_quiet() {
    let env = Env::new();
    let _ =
        env.run(&[&["create", "x", "--timings"], URL].concat()).success().says(&["MACHINE", "choose-identity", "all"]);
    let quiet = env.run(&[&["create", "y", "-q"], URL].concat()).success();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn the_store_is_private_and_nothing_is_left_elsewhere() {
    let env = Env::new();
    let seen = env.run(&[&["create", "x", "-D"], URL].concat()).success();
    assert!(!seen.stderr.contains("PRIVATE KEY"), "no key is traced");
    for folder in ["", "machines", "machines/x", "certs", "locks"] {
        let path = env.store().join(folder);
        let mode = path.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", path.display());
    }
    assert_eq!(std::fs::read_dir(env.tmp()).expect("a folder").count(), 0, "nothing in the folder for temporary files");
}
