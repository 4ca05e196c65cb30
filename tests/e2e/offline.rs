//! A host that reaches nothing but its neighbours gets everything from us.

use machine_tests::{HostOptions, Lab, NetworkOptions};

use crate::common;

#[test]
fn a_host_without_any_route_out_gets_its_engine() {
    let Some(lab) = Lab::open() else { return };
    let network = lab.network(NetworkOptions { internal: true, ..NetworkOptions::default() });
    let host = lab.host(HostOptions { network: Some(network), ..HostOptions::default() });
    assert_eq!(host.exec("ip route show default; ip -6 route show default").success().stdout, "");
    // Not even by a package manager with what it has: nothing there can be installed.
    host.exec("rm -rf /etc/apt /usr/bin/apt* /usr/bin/dpkg* /usr/bin/curl /usr/bin/wget").success();
    let env = common::env(&lab);
    common::create(&env, "web-1", &host, &[]).run().success();
    let folder = tempfile::tempdir().unwrap();
    let root = common::root_archive(folder.path()).display().to_string();
    env.docker(&["--context", "web-1", "import", &root, "tools"]).success();
    let ran = env.docker(&["--context", "web-1", "run", "--rm", "tools", "echo", "out"]).success();
    assert_eq!(ran.stdout, "out\n");
    // Nor did any of it ask for the way.
    assert_eq!(host.exec("ip route show default").success().stdout, "");
}
