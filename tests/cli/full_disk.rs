//! A full disk: what frees it, and what costs money, can still be removed.

use machine_tests::skipped;

use crate::cloud::{cloud, kinds, make};

#[test]
fn a6_a_full_disk_keeps_nobody_from_removing_machines() {
    if !rustix::process::geteuid().is_root() {
        skipped("only root may mount a small file system to fill");
        return;
    }
    let cloud = cloud();
    let env = cloud.env();
    make(env, "asked", &["--digitalocean-firewall", "80"]);
    make(env, "forced", &[]);
    let _ = env.run(&["create", "url", "-d", "none", "--url", "tcp://127.0.0.1:9"]).success();
    let store = env.store();
    // The store, as it is, on a disk of its own without one free byte.
    let script = r#"store=$1 kept=$1.kept
        cp -a "$store" "$kept" && mount -t tmpfs -o size=1m small "$store" && cp -a "$kept"/. "$store"/ || exit 99
        cat /dev/zero >"$store/filled" 2>/dev/null
        if echo x >"$store/more" 2>/dev/null; then echo "the disk is not full"; exit 98; fi
        rm -f "$store/more"
        machine rm -y asked && machine rm -f forced && machine rm -y url
        code=$?
        machine ls -q
        exit $code"#;
    let store = store.to_str().expect("a path of our own is Unicode");
    let full = env.command("unshare", &["--mount", "sh", "-c", script, "sh", store]).run().success();
    assert_eq!(full.stdout, "", "{full}");
    let _ = full.says(&["asked: removed", "forced: removed", "url: removed"]);
    assert_eq!(kinds(&cloud), Vec::<String>::new());
    cloud.end();
}
