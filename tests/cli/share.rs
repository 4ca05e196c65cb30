//! `machine share` where no VM is needed: what it refuses, and its list.

use machine_tests::Env;
use serde_json::json;

use crate::record;

#[test]
fn a_driver_without_folders_says_so() {
    let env = Env::new();
    let _ = env.run(&["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:9"]).success();
    for args in [&["share", "x"][..], &["share", "x", ".:/src"], &["share", "x", "--remove", "/src"]] {
        let refused = env.run(args).failure(2);
        let _ = refused.says(&["driver none shares no folders of this computer", "hint: copy them: machine scp -r"]);
    }
    let _ = env.run(&["share", "y"]).failure(4).says(&["machine \"y\" does not exist"]);
    let wrong = env.run(&["share", "x", "/src"]).failure(2);
    let _ = wrong.says(&["\"/src\" is no share: give FOLDER:FOLDER-IN-VM, with :ro behind it for reading only"]);
    let _ = env.run(&["share", "x", ".:/src", "--remove", "/src"]).failure(2).says(&["cannot be used with"]);
}

#[test]
fn what_cannot_be_shared_is_refused_and_what_is_is_listed() {
    let env = Env::new();
    let settings = json!({
        "memory": 2048, "cpu-count": 1, "disk-size": 20480, "network": "user", "accel": "auto", "ssh-user": "root",
        "share": ["/srv:/data:ro"],
    });
    let vm = json!({"name": "qemu", "settings": settings, "machine": {}});
    let _ = record::put(&env, &record::with(record::running("dev"), &json!({"driver": vm})));
    assert_eq!(env.run(&["share", "dev"]).success().stdout, "/srv:/data:ro\n");
    let _ = env.run(&["share", "dev", "nowhere:/src"]).failure(2).says(&["there is no folder ", "/home/nowhere\n"]);
    let twice = env.run(&["share", "dev", ".:/data"]).failure(2);
    let _ =
        twice.says(&["/srv is shared at /data already", "hint: remove that first: machine share dev --remove /data"]);
    let gone = env.run(&["share", "dev", "--remove", "/src"]).failure(4);
    let _ = gone.says(&["nothing is shared at /src in \"dev\"", "hint: `machine share dev` lists what is"]);
    let off = env.run(&["share", "dev", ".:/src"]).failure(1);
    let _ = off.says(&["\"dev\" does not run", "hint: switch it on first: machine start dev"]);
    assert_eq!(env.run(&["share", "dev"]).success().stdout, "/srv:/data:ro\n", "nothing was kept");
}
