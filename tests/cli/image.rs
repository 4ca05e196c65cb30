//! `machine image`: what is kept, what stands on it, what is refused. Nothing is built here.

use std::path::PathBuf;
use std::time::Duration;

use machine_tests::{Env, assert_output, assert_outputs, skipped};
use serde_json::{Value, json};

use crate::record;

/// A raw disk, as far as can be seen, in the home folder.
fn raw(env: &Env, name: &str) -> PathBuf {
    let mut bytes = vec![0; 1 << 20];
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let path = env.home().join(name);
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(&path, bytes).expect("a file of our own");
    path
}

const SUM: &str = "sha256:0f6d7f4dc5f4c5b7c0a5cc4e9b3b22a1d7b3c1b2c0f1e2d3c4b5a69788796a5b";

#[test]
fn an_image_is_taken_in_listed_checked_and_removed() {
    let env = Env::new();
    assert_eq!(env.run(&["image", "ls"]).success().stdout, "NAME   DIGEST   ARCH   SOURCE   SIZE   MACHINES\n");
    let path = raw(&env, "small.img").display().to_string();
    let taken = env.run(&["image", "import", &path, "--arch", "amd64"]);
    assert_output!(taken, @"
    $ machine image import <ROOT>/home/small.img --arch amd64
    small.img
    ! <ROOT>/home/small.img: prepare-image … done (<TIME>)
    ");
    assert_eq!(taken.stdout, "small.img\n");
    env.run(&["image", "import", &path, "--arch", "amd64"]).success();

    let all: Value = serde_json::from_str(&env.run(&["image", "ls", "-o", "json"]).success().stdout).unwrap();
    let digest = env.run(&["image", "ls", "-q"]).success().stdout.trim().to_owned();
    assert_eq!(digest.len(), 64);
    let wanted = json!([{
        "name": "small.img", "digest": digest, "arch": "amd64", "format": "raw", "virtual_size": 1 << 20, "size": 1 << 20,
        "source": path, "verified": "none: a file of this computer", "engine": null, "made": all[0]["made"], "cloud_init": true, "machines": [],
    }]);
    assert_eq!(all, wanted);
    let row = env.run(&["image", "ls", "--format", "{{.Name}} {{.Disk}} {{.CloudInit}}"]).success();
    assert_eq!(row.stdout, "small.img 1 MB true\n");
    assert_output!(env.run(&["image", "verify"]), @"
    $ machine image verify
    ! small.img: as it was imported (none: a file of this computer)
    ");

    // One that a machine stands on stays.
    record::put(
        &env,
        &record::with(
            record::running("web-1"),
            &json!({ "driver": { "name": "qemu", "settings": {}, "machine": { "digest": digest } } }),
        ),
    );
    assert_eq!(env.run(&["image", "ls", "--format", "{{.Machines}}"]).success().stdout, "[web-1]\n");
    assert_output!(env.run(&["image", "rm", "small.img"]), @"
    $ machine image rm small.img
    ! error: machines use small.img: web-1
    ! hint: `machine rm` them first; with --force they are kept, but cannot start again
    [exit code 1]
    ");
    assert_output!(env.run(&["image", "rm", "-f", &digest[..8]]), @"
    $ machine image rm -f e35f60cd
    ! small.img: removed
    ");
    assert_output!(env.run(&["image", "rm", "small.img"]), @r#"
    $ machine image rm small.img
    ! error: no image "small.img" is kept here
    ! hint: `machine image ls` lists them; a file is named with a slash, as in ./disk.qcow2
    [exit code 4]
    "#);
    assert_eq!(env.run(&["image", "ls", "-q"]).success().stdout, "");
}

#[test]
fn l17_what_nothing_needs_is_pruned_and_whatever_is_kept_is_listed() {
    let env = Env::new();
    let nothing = env.run(&["doctor", "--space"]).success().stdout;
    assert_eq!(nothing, "Nothing is kept on this computer yet.\n");
    for name in ["used.img", "spare.img"] {
        let path = raw(&env, name);
        env.sh(&format!("printf {name} | dd of={} conv=notrunc 2>/dev/null", path.display())).success();
        env.run(&["image", "import", &path.display().to_string(), "--arch", "amd64"]).success();
    }
    let digest = |name: &str| {
        let all = env.run(&["image", "ls", "--format", "{{.Name}} {{.Digest}}"]).success().stdout;
        let found = all.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
        found.expect("it was imported")
    };
    let uses = json!({ "driver": { "name": "qemu", "settings": {}, "machine": { "digest": digest("used.img") } } });
    record::put(&env, &record::with(record::running("web-1"), &uses));
    // What a build that was stopped had downloaded.
    env.sh(
        "mkdir -p $XDG_CACHE_HOME/machine/disks/packages && echo deb >$XDG_CACHE_HOME/machine/disks/packages/x_1.deb",
    )
    .success();

    let listed = env.run(&["doctor", "--space"]).success().stdout;
    let line = |begin: &str| listed.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{listed}"));
    assert!(line("image used.img, of web-1 ").trim_end().ends_with(&digest("used.img")), "no command: {listed}");
    assert!(
        line("image spare.img ").ends_with(&format!("machine image rm {}", &digest("spare.img")[..12])),
        "{listed}"
    );
    assert!(line("machine web-1 ").ends_with("machine rm web-1"), "{listed}");
    assert!(line("downloads, locks ").ends_with("machine image prune"), "{listed}");
    assert!(line("In all: ").ends_with(" MB"), "{listed}");
    let all: Value = serde_json::from_str(&env.run(&["doctor", "--space", "-o", "json"]).success().stdout).unwrap();
    assert!(all.as_array().unwrap().iter().all(|one| one["bytes"].is_u64() && one["path"].is_string()), "{all}");

    assert_output!(env.run(&["image", "prune"]), @"
    $ machine image prune
    ! error: cannot ask for confirmation to remove spare.img (2 MB), downloads (1 MB): not a terminal
    ! hint: `-y` removes without asking
    [exit code 2]
    ");
    assert_output!(env.run(&["image", "prune", "-y"]), @"
    $ machine image prune -y
    ! removed spare.img (2 MB)
    ! removed downloads (1 MB)
    ");
    assert_eq!(env.run(&["image", "ls", "--format", "{{.Name}}"]).success().stdout, "used.img\n");
    assert_output!(env.run(&["image", "prune", "-y", "--all"]), @"
    $ machine image prune -y --all
    ! nothing to remove
    ");
}

/// In place of mmdebstrap: it runs its hooks, has downloaded one package, and works until it is told to end.
const MMDEBSTRAP: &str = r#"#!/bin/sh
root=$TMPDIR/mmdebstrap.root
mkdir -p "$root"
trap 'rm -rf "$root"; exit 1' TERM
for arg; do
  case $arg in
    "--setup-hook=sync-in "*) eval "set -- ${arg#--setup-hook=sync-in }"; cp -R "$1/." "$root$2" ;;
    --setup-hook=*) sh -c "${arg#--setup-hook=}" exec "$root" ;;
  esac
done
ls "$root/var/cache/apt/archives" >>"$HOME/there"
echo package >"$root/var/cache/apt/archives/a_1%3a2_amd64.deb"
echo "I: extracting archives..." >&2
tail -f /dev/null &
wait
"#;

#[test]
fn l15_ctrl_c_in_a_build_says_what_is_kept_and_the_next_begins_with_it() {
    if !rustix::process::geteuid().is_root() || !std::path::Path::new("/usr/bin/mmdebstrap").exists() {
        skipped("a stand-in takes mmdebstrap's place in a namespace that root makes");
        return;
    }
    let env = Env::new();
    let stand_in = env.write("mmdebstrap", MMDEBSTRAP);
    env.sh(&format!("chmod 755 {}", stand_in.display())).success();
    let script =
        format!("mount --bind {} /usr/bin/mmdebstrap && exec machine image build --no-engine", stand_in.display());
    for round in ["", "a_1%3a2_amd64.deb\n"] {
        let mut running = env.command("unshare", &["--mount", "sh", "-c", &script]).spawn();
        running.wait_for("debian: prepare-image: extracting archives", Duration::from_secs(60));
        running.signal(rustix::process::Signal::INT);
        running.wait().failure(130).says(&[
            "stopping: keeping what was downloaded (interrupt again to stop at once)",
            "error: interrupted: debian is not ready",
            "hint: the same command again goes on with what was downloaded",
        ]);
        assert_eq!(std::fs::read_to_string(env.home().join("there")).unwrap(), round);
        assert_eq!(env.run(&["image", "ls", "-q"]).success().stdout, "");
    }
    let kept = env.sh("cat $XDG_CACHE_HOME/machine/disks/packages/*_a_1%3a2_amd64.deb").success().stdout;
    assert_eq!(kept, "package\n");
}

#[test]
fn what_is_damaged_is_named() {
    let env = Env::new();
    let path = raw(&env, "small.img").display().to_string();
    env.run(&["image", "import", &path, "--arch", "arm64"]).success();
    let digest = env.run(&["image", "ls", "-q"]).success().stdout.trim().to_owned();
    let kept = env.sh(&format!("echo \"$XDG_CACHE_HOME/machine/disks/{digest}/disk.raw\"")).success().stdout;
    env.sh(&format!("printf x | dd of={} conv=notrunc 2>/dev/null", kept.trim())).success();
    assert_output!(env.run(&["image", "verify"]), @"
    $ machine image verify
    ! small.img: error: the image in <ROOT>/cache/machine/disks/e35f60cdb04ae834629f908bf7c3817791155dba12f3dbc522731cb34535449d is damaged
    ! hint: `machine image rm e35f60cdb04a` removes it; machines that use it are damaged too
    [exit code 1]
    ");
}

#[test]
fn what_cannot_be_an_image_is_refused_before_anything_is_made() {
    let env = Env::new();
    let path = raw(&env, "small.img").display().to_string();
    let refused = [
        &["image", "import", &path, "--checksum", SUM][..],
        &["image", "import", &path, "--checksum", "sha256:12"],
        &["image", "import", "https://images.example/disk.img"],
        &["image", "import", "nothing-there"],
        &["image", "import", "./nothing-there"],
        &["image", "build", "ubuntu"],
        &["image", "build", "debian:../x"],
        &["image", "build", "--arch", "riscv64"],
        &["image", "rm"],
    ];
    assert_outputs!(refused.map(|args| env.run(args)), @r#"
    $ machine image import <ROOT>/home/small.img --checksum sha256:0f6d7f4dc5f4c5b7c0a5cc4e9b3b22a1d7b3c1b2c0f1e2d3c4b5a69788796a5b
    ! <ROOT>/home/small.img: prepare-image … failed (<TIME>)
    ! error: <ROOT>/home/small.img has sha256:e35f60cdb04ae834629f908bf7c3817791155dba12f3dbc522731cb34535449d, not sha256:0f6d7f4dc5f4c5b7c0a5cc4e9b3b22a1d7b3c1b2c0f1e2d3c4b5a69788796a5b
    ! hint: compare the sum with the one its maker published for exactly this file; images named "latest" change
    [exit code 2]
    $ machine image import <ROOT>/home/small.img --checksum sha256:12
    ! error: the checksum "sha256:12" has the wrong number of digits
    ! hint: give it as its maker published it: sha512:HEX or sha256:HEX
    [exit code 2]
    $ machine image import https://images.example/disk.img
    ! error: an image from https://images.example/disk.img needs a checksum
    ! hint: give the sum that its maker published beside it, as sha512:HEX or sha256:HEX
    [exit code 2]
    $ machine image import nothing-there
    ! error: nothing-there is neither a file nor a URL
    ! hint: name a qcow2 or raw file that is there
    [exit code 2]
    $ machine image import ./nothing-there
    ! error: cannot open <ROOT>/home/./nothing-there
    !   caused by: No such file or directory (os error 2)
    ! hint: name an image that is there: a qcow2 or raw file
    [exit code 4]
    $ machine image build ubuntu
    ! error: images are not built from "ubuntu"
    ! hint: use debian or debian:SUITE; `machine image import` imports files and URLs
    [exit code 2]
    $ machine image build debian:../x
    ! error: "../x" is not a Debian release
    ! hint: name one, as in debian:trixie
    [exit code 2]
    $ machine image build --arch riscv64
    ! error: invalid value 'riscv64' for '--arch <ARCH>': unknown architecture "riscv64": use amd64 or arm64
    !
    ! For more information, try '--help'.
    [exit code 2]
    $ machine image rm
    ! error: the following required arguments were not provided:
    !   <IMAGE>...
    !
    ! Usage: machine image rm --storage-path <DIR> <IMAGE>...
    !
    ! For more information, try '--help'.
    [exit code 2]
    "#);
    assert_eq!(env.run(&["image", "ls", "-q"]).success().stdout, "");
    let left = env.sh("find \"$XDG_CACHE_HOME/machine\" -type f ! -path '*/locks/*'").stdout;
    assert_eq!(left, "");
}

#[test]
fn a_full_disk_is_named_and_nothing_is_left_on_it() {
    if !rustix::process::geteuid().is_root() {
        skipped("only root may mount a small file system to fill");
        return;
    }
    let env = Env::new();
    env.sh("head -c 4M /dev/urandom >big.img && printf '\\125\\252' | dd of=big.img bs=1 seek=510 conv=notrunc")
        .success();
    let full = ["image import big.img --arch amd64", "image build"].map(|command| {
        let script = format!(
            "mount -t tmpfs -o size=1m small \"$XDG_CACHE_HOME\" && machine {command}; code=$?
             find \"$XDG_CACHE_HOME\" -type f ! -path '*/locks/*'; exit $code"
        );
        env.command("unshare", &["--mount", "sh", "-c", &script]).run().failure(6)
    });
    assert_outputs!(full, @r#"
    $ unshare --mount sh -c 'mount -t tmpfs -o size=1m small "$XDG_CACHE_HOME" && machine image import big.img --arch amd64; code=$?
                 find "$XDG_CACHE_HOME" -type f ! -path '\''*/locks/*'\''; exit $code'
    ! big.img: prepare-image … failed (<TIME>)
    ! error: cannot write <ROOT>/cache/machine/disks/tmp/work-<RANDOM>/out/disk.raw
    !   caused by: No space left on device (os error 28)
    ! hint: make room there, or `machine image rm` what is no longer used
    [exit code 6]
    $ unshare --mount sh -c 'mount -t tmpfs -o size=1m small "$XDG_CACHE_HOME" && machine image build; code=$?
                 find "$XDG_CACHE_HOME" -type f ! -path '\''*/locks/*'\''; exit $code'
    ! error: building an image needs 3000 MB free in <ROOT>/cache/machine/disks
    ! hint: there are 1 MB; `machine image rm` or `machine bundle rm` what is no longer used
    [exit code 6]
    "#);
    env.run(&["image", "import", "big.img", "--arch", "amd64"]).success();
}
