#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Classic Heartbeat forms with two nodes, starts a guest from haresources, hands it over when it is stopped, and resets
a dead node by STONITH before it takes over."""

import shutil
import sys

from lab_test import Lab, LabError, check, labs_folder, name, run, wait_until

SCRIPT = """#!/bin/sh
# A guest by its definition, as a haresources script: NAME start|stop|status
case $2 in
    start) virsh -q create "/etc/libvirt/lab/$1.xml" ;;
    stop) virsh -q destroy "$1" 2>/dev/null; exit 0 ;;
    status) virsh -q domstate "$1" 2>/dev/null | grep -qx running && echo running || echo stopped ;;
esac
"""
lab = None


def case_up():
    global lab
    tree = labs_folder() / f"{name()}-tree"
    script = tree / "etc/ha.d/resource.d/labguest"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    script.chmod(0o755)
    try:
        lab = Lab.up(name=name(), stack="heartbeat", install=tree, haresources=["node1 labguest::vm1"])
    finally:
        shutil.rmtree(tree)


def case_both_nodes_are_active():
    for node in lab.nodes:
        for peer in ("node1", "node2"):
            check(node.run(["cl_status", "nodestatus", peer]).stdout.strip() == "active", f"{node}: {peer} not active")


def case_guest_from_haresources():
    lab.guest("vm1").wait_up()
    check(lab.guest("vm1").running_on() == ["node1"], lab.guest("vm1").states())


def case_stop_hands_over_and_failback_returns():
    lab.node("node1").run(["/etc/init.d/heartbeat", "stop"], timeout=90)
    wait_until(lambda: lab.guest("vm1").running_on() == ["node2"], 30, "vm1 on node2")
    check(lab.node("node1").on, "node1 was rebooted by an orderly stop")
    lab.node("node1").service("start", "heartbeat")
    wait_until(lambda: lab.guest("vm1").running_on() == ["node1"], 60, "vm1 back on node1")


def case_dead_node_is_reset():
    before = len(lab.power_events())
    lab.kill("node1")
    wait_until(lambda: any(e["what"] == "reboot asked" and e["by"] == "node2" for e in lab.power_events()[before:]), 30,
               "node2 resetting the dead node1")
    wait_until(lambda: lab.node("node1").booted, 30, "boot of node1 after its reset")
    wait_until(lambda: lab.guest("vm1").running_on() == ["node1"], 60, "failback of vm1 to node1")


def case_failing_stop_reboots_the_node_alone():
    """Heartbeat ends a node whose stop fails by reboot -nf: that must stay inside."""
    boot_id = lab.node("node1").boot_id
    lab.node("node1").run(
        "sed -i 's/stop).*/stop) exit 1 ;;/' /etc/ha.d/resource.d/labguest; /etc/init.d/heartbeat stop &")

    def rebooted():
        try:
            return lab.node("node1").booted and lab.node("node1").boot_id != boot_id
        except LabError:  # it went down between the two questions
            return False
    wait_until(rebooted, 60, "reboot -nf of node1")


def case_witness():
    check(lab.witness()["ok"], lab.witness())


if __name__ == "__main__":
    sys.exit(run(globals()))
