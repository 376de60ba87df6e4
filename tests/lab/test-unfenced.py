#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster without fencing: nothing can prove a dead node dead. unfenced=refuse: its guest is not started elsewhere,
and why is said; unfenced=membership: it is, and that is said aloud.

What a partition does under unfenced=membership, as seen in the last case, which plays it and prints what it saw: both
halves of a two-node cluster go on, the other half boots the guest a few seconds after the split, so it runs TWICE and
both write the disk, until the link is back. Then the daemons see each other's epochs, and within a second the older
instance is ended; an alarm in the log says so, and that the disk must be checked. Pacemaker has found it active twice
by then, so it stops the newer one, too, and starts it once (its default, multiple-active=stop_start)."""

import sys

from faults_lab import (arrives, boot_id_of, nodes_online, restarted_once, said_since, since, stays_well_in_spite_of,
                        unharmed)
from handoff_lab import add_vm, check, log_of, on, one_writer, run, up, wait_settled, wait_until, where

from migrationd_lab import pacemaker  # after handoff_lab, which finds it

lab = None


def failures(node):
    return node.run("crm_mon -1 --exclude=all --include=failures").stdout


def case_first_start():
    global lab
    lab = up(stack="pacemaker", fencing=False)
    add_vm(lab, start="20")
    on(lab)


def case_refuse_does_not_boot_on_silence():
    source, destination = on(lab)
    before, mark = boot_id_of(lab), since(destination)
    lab.kill(source.name)
    wait_until(lambda: said_since(destination, mark, "start failed"), 90, "the refused start")
    wait_until(lambda: "vm1" in failures(destination), 30, "the failure in crm_mon")
    reason = f"no proof that it does not run on {source.name}"
    check(reason in failures(destination), f"crm_mon does not say {reason!r}: {failures(destination)}")
    check(said_since(destination, mark, "start failed", reason), "the log does not say why")
    check(where(lab) == [], f"vm1 was started on {where(lab)} without proof")
    lab.boot(source.name)
    nodes_online(lab)
    wait_until(lambda: where(lab), 90, "the guest somewhere, now that its node is back")
    restarted_once(lab, before)


def case_refuse_and_a_partition():
    """Nothing happens to the guest: the other half asks for it in vain. Whole again, it runs where it ran."""
    source, destination = on(lab)
    before, mark = boot_id_of(lab), since(destination)
    lab.cut(source.name, destination.name)
    wait_until(lambda: said_since(destination, mark, "start failed"), 90, "the refused start")
    check(where(lab) == [source.name], f"vm1 runs on {where(lab)}")
    lab.heal(source.name, destination.name)
    nodes_online(lab)
    unharmed(lab, before)


def case_refuse_and_a_partition_that_ends_while_the_start_waits():
    """Both halves then have it in their history: Pacemaker finds it active on both, stops it on both, and starts it once."""
    source, destination = on(lab)
    before, mark, mark_source = boot_id_of(lab), since(destination), since(source)
    lab.cut(source.name, destination.name)
    wait_until(lambda: said_since(destination, mark, "vm1: start asked for"), 90, "the start in the other half")
    wait_until(lambda: said_since(source, mark_source, f"the link to {destination.name} is down"), 30, "the link's end")
    lab.heal(source.name, destination.name)
    nodes_online(lab)
    unharmed(lab, before)


def case_refuse_and_a_partition_during_a_migration():
    stays_well_in_spite_of(lab, parted_for_long)


def parted_for_long(source, destination):
    mark = since(source)
    lab.cut(source.name, destination.name)
    wait_until(lambda: said_since(source, mark, f"the link to {destination.name} is down"), 30, "the link's end")
    wait_until(lambda: all(set(pacemaker.state(node)["online"]) == {node.name} for node in lab.nodes), 60, "the split")
    lab.heal(source.name, destination.name)
    nodes_online(lab)


def case_membership_boots_and_says_what_that_means():
    lab.nodes[0].run("crm_resource -r vm1 -p unfenced -v membership")
    wait_settled(lab)
    wait_until(lambda: where(lab), 60, "vm1 after the change")
    source, destination = on(lab)
    before, mark = boot_id_of(lab), since(destination)
    lab.kill(source.name)
    arrives(lab, destination)
    check(said_since(destination, mark, "error:", "unfenced=membership", "may run a domain twice"),
          "the log is silent about what unfenced=membership means")
    lab.boot(source.name)
    nodes_online(lab)
    restarted_once(lab, before)
    check(not said_since(destination, mark, "alive all the while"), f"{destination.name} says that a dead node lived")


def case_membership_and_a_partition():
    source, destination = on(lab)
    before, mark, mark_there = boot_id_of(lab), since(source), since(destination)
    one_writer(lab)
    lab.cut(source.name, destination.name)
    wait_until(lambda: len(where(lab)) == 2, 120, "the second instance")
    wait_until(lambda: not lab.witness()["ok"], 120, "the second writer")
    print(f"seen in the partition: vm1 runs on {where(lab)}; the witness: {lab.witness()['disks'][0]['violations'][0]}")
    lab.heal(source.name, destination.name)
    wait_until(lambda: len(where(lab)) == 1, 120, "the end of one of the two instances")
    alarms = [line for line in log_of(source)[mark:].splitlines() if " error: " in line]
    nodes_online(lab)
    wait_until(lambda: lab.cluster()["resources"]["vm1"]["role"] == "Started" and len(where(lab)) == 1, 120,
               "one instance again")
    wait_settled(lab)
    says = lab.guest("vm1").wait_up(120)
    node, _ = on(lab)
    which = "the guest from before" if says["boot_id"] == before else "booted anew"
    print(f"seen after it: vm1 runs on {node}, {which}; {source} said:", *alarms, sep="\n    ")
    check(alarms, f"{source.name}, whose instance was ended, raised no alarm")
    check(said_since(destination, mark_there, " error: ", "alive all the while"),
          f"{destination.name} does not say that it took a living node for dead")


def case_down():
    lab.down()


if __name__ == "__main__":
    sys.exit(run(globals()))
