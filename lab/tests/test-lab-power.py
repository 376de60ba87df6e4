#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Power: a killed node keeps its disk, loses its memory and comes back with a new boot id; fencing by Pacemaker really
kills, and a cluster cut apart leaves one side alive."""

import sys
import time

from lab_test import Lab, LabError, check, name, run, wait_until
from migrationd_lab import pacemaker
from migrationd_lab.namespaces import Process, descendants

lab = None


def online():
    return pacemaker.ready(lab.node("node1"), lab.settings)


def everything_on(node):
    return [p for p in map(Process.of, descendants(lab.node(node).process.pid)) if p]


def case_up():
    global lab
    lab = Lab.up(name=name(), stack="pacemaker")


def case_kill_and_boot():
    node = lab.node("node2")
    boot_id = node.boot_id
    places = {"/etc/kept": True, "/var/lib/kept": True, "/usr/local/kept": True, "/root/kept": True,
              "/run/lost": False, "/dev/shm/lost": False, "/tmp/lost": False}
    node.run(["touch", *places])
    processes = everything_on("node2")
    check(len(processes) > 8, f"only {len(processes)} processes on a node with Pacemaker")
    lab.kill("node2")
    check(not any(p.alive() for p in processes), "processes of a killed node are alive")
    check(not node.on and not lab.status()["members"]["node2"]["on"], "a killed node counts as on")
    lab.boot("node2")
    for path, kept in places.items():
        there = node.run(["test", "-e", path], check=False).returncode == 0
        check(there == kept, f"{path} is {'there' if there else 'gone'} after a power loss")
    check(node.boot_id != boot_id, "the boot id is the old one")
    check(node.run(["hostname"]).stdout.strip() == "node2", "the host name is not the node's")
    wait_until(online, 60, "node2 back in the cluster")


def case_reboot_inside_power_cycles_the_node_alone():
    node, boot_id, other = lab.node("node2"), lab.node("node2").boot_id, lab.node("node1").boot_id
    node.run(["reboot", "-nf"], check=False)
    wait_until(lambda: node.booted and node.boot_id != boot_id, 30, "reboot -nf of node2")
    check(lab.node("node1").boot_id == other, "node1 was rebooted as well")
    wait_until(online, 60, "node2 back in the cluster")
    check(lab.power_events()[-1]["by"] == "itself", "the rack does not know who rebooted")


def case_fence_agent():
    one = lab.node("node1")
    check("fence_lab" in one.run(["fence_lab", "-o", "metadata"]).stdout, "no meta-data")
    check("node2" in one.run(["fence_lab"], input="action=list\n").stdout, "list does not list")
    one.run(["fence_lab"], input="action=monitor\n")
    check(one.run(["fence_lab", "-o", "status", "-n", "node2"]).returncode == 0, "node2 is not on")
    check(one.run(["fence_lab", "-o", "off", "-n", "node9"], check=False).returncode == 1, "node9 was switched off")
    check(one.run(["fence_lab", "-o", "off"], check=False).returncode == 1, "nobody was switched off")
    lab.cut("node1", "power")
    check(one.run(["fence_lab"], input="action=monitor\n", check=False).returncode == 1, "reached over a cut")
    lab.heal("node1", "power")


def case_fencing_through_pacemaker():
    one, boot_id = lab.node("node1"), lab.node("node2").boot_id
    processes = everything_on("node2")
    one.run(["stonith_admin", "--reboot", "node2"])
    check(not any(p.alive() for p in processes), "processes survived stonith_admin --reboot")
    wait_until(lambda: lab.node("node2").booted, 30, "boot of node2 after its fencing")
    check(lab.node("node2").boot_id != boot_id, "the boot id is the old one")
    wait_until(online, 60, "node2 back in the cluster")

    one.run(["stonith_admin", "--fence", "node2"])
    check(not lab.node("node2").on, "node2 is on after stonith_admin --fence")
    check(one.run(["fence_lab", "-o", "status", "-n", "node2"], check=False).returncode == 2, "status is not off")
    time.sleep(1)
    check(not lab.node("node2").on, "node2 came back by itself")
    one.run(["stonith_admin", "--unfence", "node2"], check=False)
    lab.boot("node2")
    wait_until(online, 60, "node2 back in the cluster")


def case_cut_apart_one_side_survives():
    boot_ids = {node.name: node.boot_id for node in lab.nodes}
    before = len(lab.power_events())
    lab.cut("node1", "node2")
    wait_until(lambda: "on" in [e["what"] for e in lab.power_events()[before:]], 30, "fencing of one side")
    lab.heal("node1", "node2")
    lab.wait_ready(60)
    changed = [node.name for node in lab.nodes if node.boot_id != boot_ids[node.name]]
    check(changed == ["node2"], f"fenced: {changed}; node2 alone was to be")


def case_killed_node_is_fenced():
    before = len(lab.power_events())
    lab.kill("node2")
    wait_until(lambda: any(e["what"] == "reboot asked" and e["by"] == "node1" for e in lab.power_events()[before:]), 30,
               "node1 fencing the dead node2")
    lab.wait_ready(60)


def case_no_answer_from_a_node_that_is_off():
    lab.kill("node1")
    try:
        lab.node("node1").run(["true"])
        check(False, "a command ran on a node that is off")
    except LabError as e:
        check("boot node1" in str(e), f"unclear: {e}")


if __name__ == "__main__":
    sys.exit(run(globals()))
