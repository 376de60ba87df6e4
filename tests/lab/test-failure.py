#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Under Pacemaker: a guest that ends by itself is started again at once, or stays off where that is wanted, although no
monitor comes in the time of this test; and what the cluster manager orders is no failure."""

import sys

from handoff_lab import (PRIMITIVE, check, log_of, on, one_writer, run, standby, unstandby, up, wait_on, wait_settled,
                         wait_until, where)

lab = None

# Nothing but the daemon's own word tells Pacemaker of an end.
UNWATCHED = PRIMITIVE.replace("op monitor interval=10 ", "op monitor interval=3600 ")


def told():
    """How often Pacemaker was told of an end, by either node."""
    return sum(log_of(node).count("the cluster manager was told of its end") for node in lab.nodes)


def failures():
    """What Pacemaker itself has noted of failed operations."""
    return lab.nodes[0].run("crm_mon -1 --exclude=all --include=failures").stdout


def parameter(name, value):
    """Sets a parameter of vm1, and waits until the daemon knows it."""
    node, _ = on(lab)
    changes = log_of(node).count("its parameters were changed")
    lab.nodes[0].run(f"crm_resource -r vm1 --set-parameter {name} --parameter-value {value}")
    wait_until(lambda: log_of(node).count("its parameters were changed") > changes, 60, f"{name}={value} to count")
    wait_settled(lab)


def target_role():
    return lab.nodes[0].run("crm_resource -r vm1 --meta --get-parameter target-role", check=False).stdout.strip()


def boot_id():
    return lab.guest("vm1").wait_up(60)["boot_id"]


def booted_anew(before):
    """The guest answers, and is another one. The deadline is far below the monitor's interval."""
    def another():
        said = lab.guest("vm1").ask(check=False)
        return said and said["boot_id"] != before
    wait_until(another, 120, "vm1 to be started again")
    wait_settled(lab)
    on(lab)
    one_writer(lab)


def comes_back(end):
    """end(node) ends the guest; it is started again, and Pacemaker was told once."""
    node, _ = on(lab)
    before, reports = boot_id(), told()
    end(node)
    booted_anew(before)
    check(told() == reports + 1, f"Pacemaker was told {told() - reports} times instead of once")
    check("vm1" in failures(), "Pacemaker has noted no failure")
    lab.nodes[0].run("crm_resource --cleanup -r vm1")
    wait_settled(lab)


def stays_off(end):
    """end(node) powers the guest off; it stays off until it is started by command."""
    node, _ = on(lab)
    before, reports, alarms = boot_id(), told(), log_of(node).count("stays off (on_poweroff=stay-off)")
    end(node)
    wait_until(lambda: target_role() == "Stopped", 60, "target-role=Stopped")
    wait_settled(lab)
    check(not where(lab), f"vm1 runs on {where(lab)} although it was powered off")
    check(log_of(node).count("stays off (on_poweroff=stay-off)") == alarms + 1, "the log does not say that it stays off")
    check(told() == reports, "Pacemaker was told of a failure")
    lab.nodes[0].run("crm resource start vm1")
    booted_anew(before)
    lab.nodes[0].run("crm_resource --cleanup -r vm1")
    wait_settled(lab)


def kill_emulator(node):
    node.run("kill -KILL $(cat /run/libvirt/qemu/vm1.pid)")


def power_off_inside(_):
    lab.guest("vm1").ask("/poweroff", check=False)


def destroy(node):
    node.virsh("destroy", "vm1")


def case_first_start():
    global lab
    lab = up(stack="pacemaker")
    lab.nodes[0].run(UNWATCHED.format(vm="vm1", params="", migrate="true", start="60"))
    wait_until(lambda: where(lab), 60, "first start of vm1")
    boot_id()
    wait_settled(lab)


def case_a_killed_emulator_is_started_again_at_once():
    comes_back(kill_emulator)


def case_a_guest_that_reboots_has_not_ended():
    """By itself, and as its kernel does after a panic."""
    reports = told()
    for how in ("/reboot", "/crash"):
        node, _ = on(lab)
        before, pid = boot_id(), node.run("cat /run/libvirt/qemu/vm1.pid").stdout
        lab.guest("vm1").ask(how, check=False)
        booted_anew(before)
        check(node.run("cat /run/libvirt/qemu/vm1.pid").stdout == pid, f"after {how} the emulator is another one")
    check(told() == reports, "Pacemaker was told of a failure")


def case_a_guest_that_powers_itself_off_is_started_again_at_once():
    comes_back(power_off_inside)


def case_a_planned_move_and_a_stop_are_no_failures():
    reports = told()
    source, destination = on(lab)
    standby(lab, source)
    wait_on(lab, destination)
    unstandby(lab, source)
    lab.nodes[0].run("crm resource stop vm1")
    wait_until(lambda: not where(lab), 60, "the stop of vm1")
    wait_settled(lab)
    lab.nodes[0].run("crm resource start vm1")
    wait_until(lambda: where(lab), 60, "the start of vm1")
    boot_id()
    wait_settled(lab)
    check(told() == reports, "Pacemaker was told of a failure")
    check("vm1" not in failures(), f"Pacemaker has noted a failure: {failures()}")
    one_writer(lab)


def case_what_pacemaker_does_not_manage_is_not_reported():
    reports = told()
    node, _ = on(lab)
    before = boot_id()
    lab.nodes[0].run("crm resource unmanage vm1")
    wait_settled(lab)
    destroy(node)
    wait_until(lambda: "does not manage it" in log_of(node), 60, "the daemon to say that vm1 is not managed")
    check(told() == reports and "vm1" not in failures(), f"a failure was noted: {failures()}")
    check(not where(lab), f"vm1 runs on {where(lab)}")
    lab.nodes[0].run("crm resource manage vm1")
    lab.nodes[0].run("crm_resource --refresh -r vm1")
    booted_anew(before)
    lab.nodes[0].run("crm_resource --cleanup -r vm1")
    wait_settled(lab)


def case_with_stay_off_a_guest_that_powers_itself_off_stays_off():
    parameter("on_poweroff", "stay-off")
    stays_off(power_off_inside)


def case_with_stay_off_a_destroy_by_virsh_stays_off():
    stays_off(destroy)


def case_with_stay_off_a_killed_emulator_is_started_again():
    comes_back(kill_emulator)


if __name__ == "__main__":
    sys.exit(run(globals()))
