# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lab tests under classic Heartbeat share: vm1 on node1's haresources line, and Heartbeat's own questions."""

from handoff_lab import check, one_writer, up, wait_until, where

__all__ = ["AGENT", "up_with_vm1", "word", "wait_here", "standby", "takeover", "well", "all_there"]

AGENT = "/etc/ha.d/resource.d/migrationd vm1"
RESOURCE = "config = /etc/libvirt/lab/vm1.xml\nhypervisor = qemu:///system\nmigration_transport = tcp\n"


def up_with_vm1():
    lab = up(files={"/etc/migrationd/resources/vm1.conf": RESOURCE}, stack="heartbeat",
             haresources=["node1 migrationd::vm1"])
    try:
        wait_here(lab, lab.node("node1"))
        lab.guest("vm1").wait_up(60)
    except BaseException:
        lab.down()  # the test that would take it down does not have it yet
        raise
    return lab


def word(node):
    """What the agent answers to Heartbeat's status."""
    return node.run(f"{AGENT} status", check=False).stdout.strip()


def wait_here(lab, node, timeout=120):
    wait_until(lambda: where(lab) == [node.name] and word(node) == "running", timeout, f"vm1 on {node.name}")


def standby(node):
    node.run("/usr/share/heartbeat/hb_standby all")


def takeover(node):
    node.run("/usr/share/heartbeat/hb_takeover all")


def all_there(lab):
    """Each node is on, who was fenced, too, a member in the eyes of each, and Heartbeat takes orders again."""
    def says(node, question):
        return node.run(f"cl_status {question}", check=False).stdout.strip()

    wait_until(lambda: all(n.on and says(n, f"nodestatus {other.name}") == "active" and says(n, "rscstatus") == "local"
                           for n in lab.nodes for other in lab.nodes), 120, "all nodes active for Heartbeat, in no transition")


def well(lab, node, boot_id):
    """One instance, there; one writer; the same guest as before with all its memory."""
    wait_here(lab, node)
    now = lab.guest("vm1").wait_up(60)
    check(now["boot_id"] == boot_id, f"vm1 was restarted; it runs on {node.name} now")
    check(now["lost"] == "0", f"vm1 lost what it had written to {now['lost']} pages")
    one_writer(lab)
