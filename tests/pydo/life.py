"""The life of a droplet as pydo leads it, DigitalOcean's own client for Python, and what it is refused.

life.py URL TOKEN: against a simulator whose behaviour may be arranged at URL/simulator. Ends with 0 and `done`.
"""

import base64
import json
import os
import sys
import time
import urllib.request

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import _authentication
from pydo import Client

URL, TOKEN = sys.argv[1:]
# The simulator is on this computer: no TLS.
_authentication._enforce_https = lambda request: None
client = Client(token=TOKEN, endpoint=URL)
TAG = "machine-test:pydo"


def arrange(**change):
    body = json.dumps(change).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(URL + "/simulator", data=body, headers=headers, method="PATCH")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def refused(status, call, **arguments):
    """The call is refused with this status, and says why in the vendor's form."""
    try:
        answer = call(**arguments)
    except HttpResponseError as error:
        assert error.status_code == status, (error.status_code, error.message, arguments)
        body = json.loads(error.response.text())
        assert body["id"] and body["message"], body
    else:
        # pydo returns what its document foresees.
        assert status in (400, 401, 404) and (answer.get("message") or answer.get("error")), (answer, arguments)


def ended(action):
    """What godo's and doctl's waits do: the action by its own id, wherever it came from."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        seen = client.actions.get(action_id=action)["action"]
        if seen["status"] != "in-progress":
            return seen["status"]
        time.sleep(0.02)
    raise AssertionError(f"action {action} does not end")


def act(droplet, kind):
    action = client.droplet_actions.post(droplet_id=droplet, body={"type": kind})["action"]
    assert action["resource_id"] == droplet and action["type"] == kind, action
    assert client.droplet_actions.get(droplet_id=droplet, action_id=action["id"])["action"]["id"] == action["id"]
    return ended(action["id"])


def public_key(seed):
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([seed]) * 32
    return "ssh-ed25519 " + base64.b64encode(blob).decode() + " pydo"


def life():
    assert client.account.get()["account"]["status"] == "active"
    assert "nyc3" in [region["slug"] for region in client.regions.list()["regions"]]
    assert "s-1vcpu-1gb" in [size["slug"] for size in client.sizes.list(per_page=200)["sizes"]]
    assert client.images.get(image_id="debian-13-x64")["image"]["slug"] == "debian-13-x64"
    vpc = [vpc["id"] for vpc in client.vpcs.list()["vpcs"] if vpc["region"] == "nyc3"][0]
    key = client.ssh_keys.create(body={"name": "pydo", "public_key": public_key(1)})["ssh_key"]
    assert client.ssh_keys.get(ssh_key_identifier=key["fingerprint"])["ssh_key"]["id"] == key["id"]
    assert client.tags.create(body={"name": TAG})["tag"]["name"] == TAG

    wanted = {
        "name": "web-1.example.com", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-13-x64",
        "ssh_keys": [key["id"]], "tags": [TAG], "vpc_uuid": vpc, "ipv6": True,
    }
    made = client.droplets.create(body=wanted)
    droplet = made["droplet"]["id"]
    assert ended(made["links"]["actions"][0]["id"]) == "completed"
    deadline = time.monotonic() + 60
    while not client.droplets.get(droplet_id=droplet)["droplet"]["networks"]["v4"]:
        assert time.monotonic() < deadline
    seen = client.droplets.get(droplet_id=droplet)["droplet"]
    assert seen["status"] == "active" and seen["vpc_uuid"] == vpc and seen["tags"] == [TAG], seen
    # A tag in its own letters, a name in any; what has a GPU is in another list.
    assert [d["id"] for d in client.droplets.list(tag_name=TAG)["droplets"]] == [droplet]
    assert [d["id"] for d in client.droplets.list(name="WEB-1.Example.com")["droplets"]] == [droplet]
    assert client.droplets.list(type="gpus")["droplets"] == []
    assert client.tags.get(tag_id=TAG)["tag"]["resources"]["droplets"]["count"] == 1

    project = client.projects.list()["projects"][0]["id"]
    urns = [f"do:droplet:{droplet}", "do:droplet:7"]
    assigned = client.projects.assign_resources(project_id=project, body={"resources": urns})["resources"]
    assert [each["status"] for each in assigned] == ["assigned", "not_found"], assigned
    assert urns[0] in [each["urn"] for each in client.projects.list_resources(project_id=project)["resources"]]

    everyone = {"addresses": ["0.0.0.0/0", "::/0"]}
    rules = [{"protocol": "tcp", "ports": "22", "sources": everyone}]
    arrange(behaviour={"firewall": 2})
    firewall = client.firewalls.create(body={"name": "pydo", "tags": [TAG], "inbound_rules": rules})["firewall"]
    assert firewall["status"] == "waiting", firewall
    states = [client.firewalls.get(firewall_id=firewall["id"])["firewall"]["status"] for _ in range(3)]
    assert states == ["waiting", "succeeded", "succeeded"], states

    # An address whose first assignment errors.
    arrange(behaviour={"errored_assignments": 1})
    reserved = client.reserved_ips.create(body={"droplet_id": droplet})
    ip = reserved["reserved_ip"]["ip"]
    assert reserved["reserved_ip"]["locked"], reserved
    assert ended(reserved["links"]["actions"][0]["id"]) == "errored"
    assert client.reserved_ips.get(reserved_ip=ip)["reserved_ip"]["droplet"] is None
    again = client.reserved_ips_actions.post(reserved_ip=ip, body={"type": "assign", "droplet_id": droplet})["action"]
    refused(422, client.reserved_ips_actions.post, reserved_ip=ip, body={"type": "unassign"})
    seen = client.reserved_ips_actions.get(reserved_ip=ip, action_id=again["id"])["action"]
    assert seen["type"] == "assign_ip", seen
    assert ended(again["id"]) == "completed"
    assert client.reserved_ips.get(reserved_ip=ip)["reserved_ip"]["droplet"]["id"] == droplet

    assert act(droplet, "power_off") == "completed"
    assert client.droplets.get(droplet_id=droplet)["droplet"]["status"] == "off"
    refused(422, client.droplet_actions.post, droplet_id=droplet, body={"type": "power_off"})
    assert act(droplet, "power_on") == "completed"
    arrange(behaviour={"errored_actions": 1})
    assert act(droplet, "reboot") == "errored"

    # Accepted is not gone, and may have no effect at all.
    arrange(behaviour={"ignored_deletions": 1, "deletion": 3})
    client.droplets.destroy(droplet_id=droplet)
    assert not client.droplets.get(droplet_id=droplet)["droplet"]["locked"]
    client.droplets.destroy(droplet_id=droplet)
    assert client.droplets.get(droplet_id=droplet)["droplet"]["locked"]
    deadline = time.monotonic() + 60
    while "droplet" in client.droplets.get(droplet_id=droplet):
        assert time.monotonic() < deadline
    client.reserved_ips.delete(reserved_ip=ip)
    client.firewalls.delete(firewall_id=firewall["id"])
    client.ssh_keys.delete(ssh_key_identifier=key["id"])
    client.tags.delete(tag_id=TAG)


def refusals():
    good = {"name": "web-2", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-13-x64"}
    vpcs = {vpc["region"]: vpc["id"] for vpc in client.vpcs.list()["vpcs"]}
    bad = [
        {"name": None}, {"name": ""}, {"name": "web_2"}, {"name": "web-2-"}, {"name": "a b"},
        {"name": None, "names": []}, {"name": None, "names": [f"web-{n}" for n in range(11)]},
        {"name": None, "names": ["web-2", "no_name"]},
        {"region": "mars1"}, {"region": "nyc1"}, {"size": "s-99"}, {"size": "s-2vcpu-4gb"},
        {"image": "plan9"}, {"image": 1003}, {"image": 1004, "ipv6": True}, {"image": 1004, "monitoring": True},
        {"ssh_keys": [7]}, {"tags": ["a b"]}, {"tags": ["web.1"]}, {"tags": ["x" * 256]},
        {"vpc_uuid": "00000000-0000-4000-8000-000000000000"}, {"vpc_uuid": vpcs["fra1"]},
        {"user_data": "x" * (64 * 1024 + 1)}, {"public_networking": False, "ipv6": True},
    ]
    for change in bad:
        body = {name: value for name, value in {**good, **change}.items() if value is not None}
        refused(422, client.droplets.create, body=body)
    assert client.droplets.list()["meta"]["total"] == 0
    refused(400, client.tags.create, body={"name": "a b"})
    refused(400, client.firewalls.create, body={"name": "empty"})
    refused(404, client.actions.get, action_id=7)
    refused(404, client.droplets.get, droplet_id=7)

    # Several by one request, which may not be one too many.
    two = {**{name: value for name, value in good.items() if name != "name"}, "names": ["web-3", "web-4"]}
    arrange(account={"droplet_limit": 3, "floating_ip_limit": 1})
    made = client.droplets.create(body=two)
    assert [d["name"] for d in made["droplets"]] == ["web-3", "web-4"] and len(made["links"]["actions"]) == 2, made
    refused(422, client.droplets.create, body=two)
    assert ended(made["links"]["actions"][0]["id"]) == "completed"
    droplet = made["droplets"][0]["id"]
    client.reserved_ips.create(body={"region": "nyc3"})
    refused(422, client.reserved_ips.create, body={"droplet_id": droplet})
    refused(422, client.reserved_ips.create, body={"region": "mars1"})

    # Every scope, also those that a parameter needs.
    arrange(behaviour={"denied": ["tag:create"]})
    refused(403, client.droplets.create, body={**good, "tags": ["web"]})
    arrange(behaviour={"denied": ["tag:read"]})
    refused(403, client.droplets.list, tag_name="web")
    assert "tags" not in client.droplets.get(droplet_id=droplet)["droplet"]
    arrange(behaviour={"denied": ["actions:read"]})
    refused(403, client.actions.get, action_id=made["links"]["actions"][0]["id"])
    arrange(behaviour={"denied": []})


for variable in list(os.environ):
    if variable.lower().endswith("_proxy"):
        del os.environ[variable]
# Whoever looks often is not what is tried here.
arrange(behaviour={"per_window": 100000})
life()
refusals()
print("done")
