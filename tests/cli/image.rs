//! `machine image`: what is kept, what stands on it, what is refused. Nothing is built here.

use std::path::PathBuf;

use machine_tests::{Env, skipped};
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
    let taken =
        env.run(&["image", "import", &path, "--arch", "amd64"]).success().says(&["small.img: prepare-image … done"]);
    assert_eq!(taken.stdout, "small.img\n");
    let _ = env.run(&["image", "import", &path, "--arch", "amd64"]).success();

    let all: Value = serde_json::from_str(&env.run(&["image", "ls", "-o", "json"]).success().stdout).unwrap();
    let digest = env.run(&["image", "ls", "-q"]).success().stdout.trim().to_owned();
    assert_eq!(digest.len(), 64);
    let wanted = json!([{
        "name": "small.img", "digest": digest, "arch": "amd64", "format": "raw", "virtual_size": 1 << 20, "size": 1 << 20,
        "source": path, "verified": "none: a file of this computer", "made": all[0]["made"], "cloud_init": true, "machines": [],
    }]);
    assert_eq!(all, wanted);
    let row = env.run(&["image", "ls", "--format", "{{.Name}} {{.Disk}} {{.CloudInit}}"]).success();
    assert_eq!(row.stdout, "small.img 1 MB true\n");
    let _ = env.run(&["image", "verify"]).success().says(&["small.img: as it was taken in"]);

    // One that a machine stands on stays.
    record::put(
        &env,
        &record::with(
            record::running("web-1"),
            &json!({ "driver": { "name": "qemu", "settings": {}, "machine": { "digest": digest } } }),
        ),
    );
    assert_eq!(env.run(&["image", "ls", "--format", "{{.Machines}}"]).success().stdout, "[web-1]\n");
    let _ = env.run(&["image", "rm", "small.img"]).failure(1).says(&["machines stand on small.img: web-1", "hint: "]);
    let _ = env.run(&["image", "rm", "-f", &digest[..8]]).success().says(&["small.img: removed"]);
    let _ = env.run(&["image", "rm", "small.img"]).failure(4).says(&["no image \"small.img\" is kept here", "hint: "]);
    assert_eq!(env.run(&["image", "ls", "-q"]).success().stdout, "");
}

#[test]
fn what_is_damaged_is_named() {
    let env = Env::new();
    let path = raw(&env, "small.img").display().to_string();
    let _ = env.run(&["image", "import", &path, "--arch", "arm64"]).success();
    let digest = env.run(&["image", "ls", "-q"]).success().stdout.trim().to_owned();
    let kept = env.sh(&format!("echo \"$XDG_CACHE_HOME/machine/disks/{digest}/disk.raw\"")).success().stdout;
    let _ = env.sh(&format!("printf x | dd of={} conv=notrunc 2>/dev/null", kept.trim())).success();
    let _ = env.run(&["image", "verify"]).failure(1).says(&["small.img: error: the image in", "is damaged", "hint: "]);
}

#[test]
fn what_cannot_be_an_image_is_refused_before_anything_is_made() {
    let env = Env::new();
    let path = raw(&env, "small.img").display().to_string();
    for (args, code, words) in [
        (&["image", "import", &path, "--checksum", SUM][..], 2, "small.img has sha256:"),
        (&["image", "import", &path, "--checksum", "sha256:12"], 2, "has the wrong number of digits"),
        (&["image", "import", "https://images.example/disk.img"], 2, "needs a checksum"),
        (&["image", "import", "nothing-there"], 2, "nothing-there is no file and no URL"),
        (&["image", "import", "./nothing-there"], 4, "nothing-there"),
        (&["image", "build", "ubuntu"], 2, "images are not built from \"ubuntu\""),
        (&["image", "build", "debian:../x"], 2, "is no Debian release"),
        (&["image", "build", "--arch", "riscv64"], 2, "no guest disks for the processor \"riscv64\""),
        (&["image", "rm"], 2, "IMAGE"),
    ] {
        let _ = env.run(args).failure(code).says(&[words]);
    }
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
    let _ = env
        .sh("head -c 4M /dev/urandom >big.img && printf '\\125\\252' | dd of=big.img bs=1 seek=510 conv=notrunc")
        .success();
    for (command, words) in [
        ("image import big.img --arch amd64", "make room there, or `machine image rm` what is no longer used"),
        ("image build", "`machine image rm` or `machine bundle rm` what is no longer used"),
    ] {
        let script = format!(
            "mount -t tmpfs -o size=1m small \"$XDG_CACHE_HOME\" && machine {command}; code=$?
             find \"$XDG_CACHE_HOME\" -type f ! -path '*/locks/*'; exit $code"
        );
        let full = env.command("unshare", &["--mount", "sh", "-c", &script]).run().failure(6).says(&[words]);
        assert_eq!(full.stdout, "", "{full}");
    }
    let _ = env.run(&["image", "import", "big.img", "--arch", "amd64"]).success();
}
