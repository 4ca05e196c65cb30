//! A machine whose engine is a swarm's manager.

use crate::site::Site;

#[test]
fn h10_rm_of_a_machine_in_a_swarm_leaves_a_living_engine_in_it() {
    let Some(site) = Site::open() else { return };
    site.create(&[]);
    site.import_busybox();
    let _ = site.docker(&format!("swarm init --advertise-addr {}", site.host.ip()));
    let _ = site.docker("service create --detach --no-resolve-image --name s1 busybox sleep 3600");

    site.machine(&["rm", "-y", "web-1"]);
    assert_eq!(site.on_host("docker info -f '{{.Swarm.LocalNodeState}}'"), "active");
    assert_eq!(site.on_host("systemctl is-active docker.service"), "active");
    assert_eq!(site.on_host("docker service ls --format '{{.Name}}'"), "s1");
    // It is closed to the network, and nobody's: there is no second `rm` that could say so wrongly.
    assert_eq!(site.on_host("ss -Hltn 'sport = :2376'"), "");
    site.env.run(&["rm", "-y", "web-1"]).failure(4);
    assert_eq!(site.on_host("ls /opt/machine/owner 2>/dev/null || true"), "");
}
