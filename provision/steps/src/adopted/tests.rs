use serde_json::json;

use super::*;

const DEBIAN: &str = "[Unit]\nDescription=x\n[Service]\nType=notify\nEnvironmentFile=-/etc/default/docker\n\
     ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS\nRestart=always\n";

fn unit(drop_ins: &[(&str, &str)], environment: &str) -> PackagedUnit {
    let file = |path: &str, text: &str| UnitFile { path: path.to_owned(), text: text.to_owned() };
    let mut files = vec![file("/lib/systemd/system/docker.service", DEBIAN)];
    files.extend(
        drop_ins.iter().map(|(path, text)| file(&format!("/etc/systemd/system/docker.service.d/{path}"), text)),
    );
    PackagedUnit { files, environment: vec![file("/etc/default/docker", environment)] }
}

/// The command as the drop-in has it; `!word` is one that is written out.
fn command(unit: &PackagedUnit) -> String {
    let show = |word: &Word| match word {
        Word::AsWritten(text) => text.clone(),
        Word::Literal(text) => format!("!{text}"),
    };
    let words = unit.command(&json!({"hosts": [], "labels": ["provider=generic"]})).unwrap();
    words.iter().map(show).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn refusal(unit: &PackagedUnit, file: &str) -> String {
    let error = unit.command(&json!({"labels": ["provider=generic"]})).unwrap_err();
    assert!(error.causes.iter().any(|cause| cause.contains(file)), "{error:?}");
    assert!(error.hint.is_some());
    error.message
}

#[test]
fn h2_what_is_in_force_is_kept_but_for_listeners_and_tls() {
    assert_eq!(command(&unit(&[], "")), "/usr/sbin/dockerd $DOCKER_OPTS");
    let data = "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// --data-root /data/docker\n";
    assert_eq!(command(&unit(&[("data.conf", data)], "")), "/usr/sbin/dockerd --data-root /data/docker");
    // As people write them: quotes, lines that go on with a comment between, every form of what is ours.
    let odd = "[Service]\nExecStart=\nExecStart=-/usr/sbin/dockerd \\\n  --data-root \"/data/my docker\" \\\n# why\n  \
               --tlsverify --tlscacert=/a --tlscert /b --tlskey '/c' -Htcp://0.0.0.0:2376 --host=fd:// -H=x -H unix:///x \
               --log-opt 'tag=%%n' --storage-opt=a=${B}\n[Install]\nExecStart=/bin/false\n";
    assert_eq!(
        command(&unit(&[("odd.conf", odd)], "")),
        "-/usr/sbin/dockerd --data-root \"/data/my docker\" --log-opt 'tag=%%n' --storage-opt=a=${B}"
    );
}

#[test]
fn h2_variables_stay_variables_unless_a_listener_is_in_them() {
    let options = "# DOCKER_OPTS=\"-H no\"\nDOCKER_OPTS=\"--data-root /data --debug\"\n";
    assert_eq!(command(&unit(&[], options)), "/usr/sbin/dockerd $DOCKER_OPTS");
    let options = "DOCKER_OPTS=\"-H tcp://0.0.0.0:2375 --data-root /data --dns 8.8.8.8\"\n";
    assert_eq!(command(&unit(&[], options)), "/usr/sbin/dockerd !--data-root !/data !--dns !8.8.8.8");
    let inline = "[Service]\nEnvironment=\"DOCKER_OPTS=--host fd:// -D\" OTHER=1\n";
    assert_eq!(command(&unit(&[("env.conf", inline)], "")), "/usr/sbin/dockerd !-D");
}

#[test]
fn h2_what_cannot_be_kept_is_refused_by_its_file() {
    let run = |line: &str| format!("[Service]\nExecStart=\nExecStart={line}\n");
    for (line, what) in [
        ("/usr/local/bin/start-docker", "does not start dockerd itself"),
        ("/bin/sh -c 'exec dockerd'", "does not start dockerd itself"),
        ("/usr/sbin/dockerd --containerd /run/other.sock", "a containerd of its own"),
        ("/usr/sbin/dockerd --config-file=/etc/other.json", "does not read /etc/docker/daemon.json"),
        ("/usr/sbin/dockerd --label a=b", "--label of the host's engine"),
        ("/usr/sbin/dockerd --live-restore", "--live-restore of the host's engine"),
        ("/usr/sbin/dockerd --data-root '/data", "cannot be understood"),
    ] {
        let said = refusal(&unit(&[("own.conf", &run(line))], ""), "docker.service.d/own.conf ");
        assert!(said.contains(what), "{line}: {said}");
    }
    let said = refusal(&unit(&[], "DOCKER_OPTS='-H fd:// --label=a=b'\n"), "/etc/default/docker ");
    assert!(said.contains("--label"), "{said}");
    refusal(&unit(&[("empty.conf", "[Service]\nExecStart=\n")], ""), "docker.service");
}

#[test]
fn h2_a_drop_in_behind_ours_is_refused() {
    unit(&[("override.conf", "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd\n")], "").check_order().unwrap();
    unit(&[("zzz.conf", "[Service]\nLimitNOFILE=1\n")], "").check_order().unwrap();
    let late = unit(&[("zzz.conf", "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -D\n")], "").check_order();
    assert!(late.unwrap_err().causes[0].contains("docker.service.d/zzz.conf"));
}
