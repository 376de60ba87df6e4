#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ha.cf.sample, with the authkeys, haresources and resource file of its comments: a Heartbeat cluster of it comes up,
and hands its domains over live. Only names, addresses and the shooting device are the lab's. The domains are defined in
libvirt on both nodes: config is libvirt's own file of the definition."""

import re
import sys

from handoff_lab import TOP, check, kept_live, measured, one_writer, run, up, wait_until, where

lab = None
SAMPLE = (TOP / "ha.cf.sample").read_text()
GUESTS = ("vm1", "vm2", "vm3")


def ours(text, node):
    """The sample's names and addresses replaced by the lab's, as `node` needs it."""
    peer = next(n for n in lab.nodes if n is not node)
    for theirs, here in (("ucast eth1 192.0.2.2", f"ucast br0 {peer.address}"), ("alpha", "node1"), ("beta", "node2"),
                         ("192.0.2.50/24/eth0", "10.77.0.50/24/br0"), ("= tls", "= tcp")):
        text = text.replace(theirs, here)
    return re.sub(r"^#stonith_host node1 .*", "stonith_host * external/lab node1,node2", text, flags=re.M)


def in_comment(heading):
    """The indented lines below `heading` in the sample's comments, up to the next heading."""
    after = SAMPLE.split(heading, 1)[1].split("# ----", 1)[0]
    return "".join(f"{line[4:].strip()}\n" for line in after.splitlines() if line.startswith("#   "))


def word(node, guest):
    return node.run(f"/etc/ha.d/resource.d/migrationd {guest} status", check=False).stdout.strip()


def wait_all(places, timeout=120):
    wait_until(lambda: all(where(lab, guest) == [node] and word(lab.node(node), guest) == "running"
                           for guest, node in places.items()), timeout, f"{places}")


def case_a_cluster_of_the_sample_comes_up():
    global lab
    lab = up(stack="heartbeat", guests=3)
    authkeys = in_comment("/etc/ha.d/authkeys")
    resources, parameters = re.split(r"(?m)^(?=config = )", in_comment("/etc/ha.d/haresources"))
    check(authkeys.startswith("auth 1\n1 sha1 "), f"the sample's authkeys are {authkeys!r}")
    check(resources.count("migrationd::") == 3, f"the sample's haresources are {resources!r}")
    for node in lab.nodes:
        node.service("stop", "heartbeat")
    for node in lab.nodes:
        node.write("/etc/ha.d/ha.cf", ours(SAMPLE, node))
        node.write("/etc/ha.d/authkeys", authkeys, mode=0o600)
        node.write("/etc/ha.d/haresources", ours(resources, node))
        for guest in GUESTS:
            node.write(f"/etc/migrationd/resources/{guest}.conf", ours(parameters, node).replace("vm1", guest))
            node.virsh("define", lab.guest(guest).xml)
        node.service("restart", "migrationd")
    for node in lab.nodes:
        node.service("start", "heartbeat")
    wait_all({"vm1": "node1", "vm2": "node2", "vm3": "node1"}, 180)
    for guest in GUESTS:
        lab.guest(guest).wait_up(60)


def case_a_shutdown_hands_all_of_them_over_live():
    one = lab.node("node1")
    before = lab.guest("vm3").boot_id
    kept_live(measured(lab, "vm1", lambda: (one.service("stop", "heartbeat"),
                                            wait_all({guest: "node2" for guest in GUESTS}))))
    check(lab.guest("vm3").boot_id == before, "vm3, with an address left of it on its line, was restarted")
    address = lab.node("node2").run("ip -4 -o address").stdout
    check("10.77.0.50/" in address, f"the address of vm3's line did not follow: {address}")
    one_writer(lab)


def case_the_home_node_has_the_definitions_still_and_gets_its_domains_back_live():
    one = lab.node("node1")
    for guest in GUESTS:
        check(guest in one.read(f"/etc/libvirt/qemu/{guest}.xml"), f"{guest}'s file on node1 is another's")
    kept_live(measured(lab, "vm1", lambda: (one.service("start", "heartbeat"),
                                            wait_all({"vm1": "node1", "vm2": "node2", "vm3": "node1"}, 180))))
    one_writer(lab)


if __name__ == "__main__":
    sys.exit(run(globals()))
