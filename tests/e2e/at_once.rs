//! Many at once: one CA, every machine works, and what failed is finished by running it again (DESIGN §3.2, §3.7).

use std::time::Duration;

use machine_tests::{Env, HostOptions, Lab, LabHost};

fn hosts(lab: &Lab, count: usize) -> Vec<LabHost> {
    std::thread::scope(|scope| {
        let starts = (0..count).map(|_| scope.spawn(|| lab.host(HostOptions::default()))).collect::<Vec<_>>();
        starts.into_iter().map(|start| start.join().expect("a host")).collect()
    })
}

/// The engine answers, and every certificate is of the one CA.
#[track_caller]
fn works(env: &Env, name: &str) {
    let _ = env
        .sh(&format!("eval $(machine env --shell sh {name}) && docker version -f '{{{{.Server.Version}}}}'"))
        .success();
    let script = format!(
        "set -e; cd \"$MACHINE_STORAGE_PATH\"; cmp certs/ca.pem machines/{name}/ca.pem
         for cert in certs/cert.pem machines/{name}/cert.pem machines/{name}/server.pem; do
             openssl verify -CAfile certs/ca.pem $cert
         done
         test \"$(openssl x509 -in machines/{name}/cert.pem -noout -pubkey)\" = \"$(openssl pkey -in machines/{name}/key.pem -pubout)\""
    );
    let _ = env.sh(&script).success();
}

#[test]
fn ten_first_creates_make_one_ca_and_ten_machines() {
    let Some(lab) = Lab::open() else { return };
    let hosts = hosts(&lab, 10);
    let mut env = Env::new();
    env.use_cache(&lab.cache());
    let running = hosts.iter().enumerate().map(|(index, host)| {
        let (ip, key, name) = (host.ip().to_string(), host.key().display().to_string(), format!("web-{index}"));
        let seen = host.host_key_fingerprint();
        let mut args = vec!["create", &name, "-d", "generic", "--generic-ip-address", &ip, "--generic-ssh-key", &key];
        args.extend(["--generic-ssh-host-key", &seen]);
        env.machine(&args).spawn()
    });
    for create in running.collect::<Vec<_>>() {
        let _ = create.wait().success();
    }
    for index in 0..10 {
        works(&env, &format!("web-{index}"));
    }
    let keys = env.store_files().iter().filter(|file| file.ends_with("ca-key.pem")).count();
    assert_eq!(keys, 1, "one CA");
    let listed = env.run(&["ls", "-q"]).success().stdout;
    assert_eq!(listed.lines().collect::<Vec<_>>(), (0..10).map(|i| format!("web-{i}")).collect::<Vec<_>>());
    let strays = env.store_files().into_iter().filter(|file| file.contains("/.")).collect::<Vec<_>>();
    assert_eq!(strays, Vec::<String>::new());
}

#[test]
fn of_three_one_fails_and_running_it_again_finishes_the_rest() {
    let env = Env::new();
    let three = ["create", "a", "b", "c", "-d", "none", "--url", "tcp://192.0.2.7:2375", "--wait=0s"];
    // Somebody is at work on b.
    std::fs::create_dir_all(env.store().join("locks")).expect("a folder of our own");
    let hold = "exec flock -F \"$MACHINE_STORAGE_PATH/locks/m-b\" sh -c 'echo held; exec sleep 100'";
    let mut holder = env.command("sh", &["-c", hold]).spawn();
    holder.wait_for("held", Duration::from_secs(10));
    let first = env.run(&three).failure(3);
    let first =
        first.says(&["a: ready: ", "c: ready: ", "machine \"b\" is busy: ", "hint: try again when it has finished"]);
    assert!(!first.stderr.contains("b: ready"), "{first}");
    let _ = env.run(&["url", "a"]).success();
    let _ = env.run(&["url", "c"]).success();
    let _ = env.run(&["url", "b"]).failure(4);
    let _ = holder.kill();
    let again = env.run(&three).success().says(&["a: already so", "b: ready: ", "c: already so"]);
    assert!(!again.stderr.contains("error"), "{again}");
    let _ = env.run(&["url", "b"]).success();
}
