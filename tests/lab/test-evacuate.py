#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""migrationctl evacuate and return: all guests of a node leave it live and come back; what would stop one is refused; and an
interrupt in the middle leaves all of them running."""

import json
import subprocess
import sys

from handoff_lab import add_vm, check, log_of, on, one_writer, run, up, wait_settled, wait_until, where

lab = None
VMS = ["vm1", "vm2", "vm3"]


def boots():
    return {vm: lab.guest(vm).boot_id for vm in VMS}


def places():
    return {vm: on(lab, vm)[0].name for vm in VMS}


def in_standby(node):
    return "on" in lab.nodes[0].run(f"cibadmin -Q --xpath \"//node[@uname='{node.name}']//nvpair[@name='standby']/@value\"", check=False).stdout


def ctl(node, words, good=True):
    result = node.run(f"migrationctl {words}", check=False, timeout=400)
    print(result.stdout + result.stderr, flush=True)
    check((result.returncode == 0) == good, f"migrationctl {words} exited with {result.returncode}")
    return result


def emptied(node):
    wait_settled(lab)
    check(node.name not in places().values(), f"on {node.name} is still something: {places()}")
    check(in_standby(node), f"{node.name} is not in standby")


def case_three_guests_run():
    """vm1 and vm2 are migrated by Pacemaker itself, vm3 by offer and claim."""
    global lab
    lab = up(stack="pacemaker", guests=3)
    lab.nodes[0].run("crm configure rsc_defaults resource-stickiness=100")
    for vm in VMS:
        add_vm(lab, vm, migrate="false" if vm == "vm3" else "true")


def case_a_node_is_evacuated_with_bars():
    guests, (node1, node2) = boots(), lab.nodes
    command = "migrationctl evacuate node2 --yes"
    result = node2.run(f"script -qec '{command}' /dev/null", check=False, timeout=400)
    print(result.stdout, flush=True)
    check(result.returncode == 0, f"it exited with {result.returncode}")
    emptied(node2)
    check(boots() == guests, "a guest was restarted")
    for vm in VMS:
        if f"{vm}  live" in result.stdout:  # by the plan
            check(f"{vm}       moved live  node1" in result.stdout, f"{vm} is not said to have moved live")
    check("[########################]  100 %" in result.stdout, "no bar was drawn")


def case_it_returns():
    guests, node2 = boots(), lab.nodes[1]
    result = ctl(lab.nodes[0], "return node2")
    check("no longer in standby" in result.stdout and not in_standby(node2), result.stdout)
    check("not in standby" in ctl(node2, "return node2").stdout, "it is still in standby")
    check(set(places().values()) == {"node1"} and boots() == guests, f"{places()}, or a guest was restarted")


def case_only_the_node_itself_may_say_it():
    result = ctl(lab.nodes[1], "evacuate node1 --yes", good=False)
    check("type it there" in result.stderr and not in_standby(lab.nodes[0]), result.stderr)
    result = ctl(lab.nodes[0], "return node9", good=False)
    check('no node named "node9"' in result.stderr, result.stderr)


def case_what_would_be_stopped_is_refused():
    node1 = lab.nodes[0]
    node1.run("crm_resource -r vm3 -p handoff -v off")
    wait_settled(lab)
    result = ctl(node1, "evacuate node1 --yes", good=False)
    check("vm3 would not move live" in result.stderr and not in_standby(node1), result.stderr)
    node1.run("crm_resource -r vm3 -d handoff")
    wait_settled(lab)


def case_an_interrupt_leaves_all_of_them_running():
    """On a slow network, so that it comes in the middle."""
    guests, node1 = boots(), lab.nodes[0]
    lab.limit("node1", "40mbit")
    for vm in VMS:
        lab.guest(vm).dirty(24, rate=4)
    process = node1.popen("exec migrationctl evacuate node1 --yes", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        print(line, end="", flush=True)
        if ": moving" in line:
            break
    node1.run("pkill -INT -x migrationctl")
    out, err = process.communicate(timeout=60)
    print(out + err, flush=True)
    lab.limit("node1", "off")
    check(process.returncode == 1 and "is taken back" in err, f"{process.returncode}: {err}")
    check(not in_standby(node1), "node1 is still in standby")
    wait_settled(lab)
    wait_until(lambda: all(len(where(lab, vm)) == 1 for vm in VMS), 120, "one place for each guest")
    wait_settled(lab)
    print(places(), flush=True)
    stops = [line for n in lab.nodes for line in log_of(n).splitlines() if "real stop" in line]
    check(boots() == guests, f"a guest was restarted: {stops}")


def case_for_scripts_each_event_is_a_line():
    guests, node1 = boots(), lab.nodes[0]
    here = [vm for vm, place in places().items() if place == "node1"]
    node1.run("crm_resource -r vm3 --meta -p priority -v 5")
    wait_settled(lab)
    events = [json.loads(line) for line in ctl(node1, "evacuate node1 --json").stdout.splitlines()]
    emptied(node1)
    check(boots() == guests, "a guest was restarted")
    plan = [e for e in events if e["event"] == "plan"]
    check([e["event"] for e in events].count("time") == 1, "the time that it takes together is not told once")
    for one in plan:
        check(one["priority"] == (5 if one["resource"] == "vm3" else 0), f"priority: {one}")
        check(one["takes_ms"] is None or one["takes_ms"] > 0, f"time: {one}")
    check("vm3" not in here or plan[0]["resource"] == "vm3", f"vm3 does not go first: {plan}")
    results = {e["resource"]: (e["state"], e["to"]) for e in events if e["event"] == "result"}
    check(results == {vm: ("live", "node2") for vm in here}, f"{results}")
    check(events[-1] == {"event": "end", "node": "node1", "ok": True}, f"{events[-1]}")
    check({"event": "standby", "node": "node1", "standby": True} in events, f"{events}")
    check("in standby already" in ctl(node1, "evacuate node1").stdout, "what had begun is not followed again")
    ctl(node1, "return node1")
    one_writer(lab)


if __name__ == "__main__":
    sys.exit(run(globals()))
