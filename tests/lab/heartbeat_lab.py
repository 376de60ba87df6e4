# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lab tests under classic Heartbeat share: vm1 on node1's haresources line, and Heartbeat's own questions."""

from handoff_lab import check, one_writer, up, wait_until, where

__all__ = ["AGENT", "up_with_vm1", "word", "wait_here", "standby", "takeover", "well", "all_there", "in_no_transition"]

AGENT = "/etc/ha.d/resource.d/migrationd vm1"
RESOURCE = "config = /etc/libvirt/lab/vm1.xml\nhypervisor = qemu:///system\n"


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
    wait_until(lambda: all(n.on and says(n, f"nodestatus {other.name}") == "active" for n in lab.nodes for other in lab.nodes),
               120, "all nodes active for Heartbeat")
    for node in sorted(lab.nodes, key=takeover_unread):
        wait_until(lambda: says(node, "rscstatus") == "local" or takeover_unread(node), 120,
                   lambda: f"{node.name} in no transition, but {says(node, 'rscstatus')}")
        if takeover_unread(node):
            send_takeover_again(node)


def in_no_transition(lab):
    for node in lab.nodes:
        wait_until(lambda: says(node, "rscstatus") in ("local", "foreign", "all", "none"), 120,
                   lambda: f"{node.name} in no transition, but {says(node, 'rscstatus')}")


def says(node, question):
    return node.run(f"cl_status {question}", check=False).stdout.strip()


def takeover_unread(node):
    """Whether Heartbeat garbled its own message at a take-over, for which it waits for ever then."""
    lines = node.read("/var/log/ha-log").splitlines()
    sent = sum("mach_down: nice_failback: foreign resources acquired" in line for line in lines)
    return sent > sum(" heartbeat: [" in line and line.endswith("mach_down takeover complete.") for line in lines)


def send_takeover_again(node):
    """As migrationd(8) tells to."""
    print(f"{node.name}: Heartbeat garbled its message of the take-over, which is sent again", flush=True)
    node.run(". /etc/ha.d/shellfuncs; printf 't=resource\\nrsc_hold=foreign\\ninfo=mach_down\\n' | ha_clustermsg")
    wait_until(lambda: says(node, "rscstatus") == "all", 60, f"the end of the transition of {node.name}")
    node.run("/usr/share/heartbeat/hb_standby foreign")
    wait_until(lambda: says(node, "rscstatus") == "local", 60, f"what is not {node.name}'s own with the other node")


def well(lab, node, boot_id):
    """One instance, there; one writer; the same guest as before with all its memory."""
    wait_here(lab, node)
    now = lab.guest("vm1").wait_up(60)
    check(now["boot_id"] == boot_id, f"vm1 was restarted; it runs on {node.name} now")
    check(now["lost"] == "0", f"vm1 lost what it had written to {now['lost']} pages")
    one_writer(lab)
