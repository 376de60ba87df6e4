#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster without fencing: nothing can prove a dead node dead. unfenced=refuse: its guest is not started elsewhere,
and why is said; unfenced=membership: it is, and that is said aloud."""

import sys

from faults_lab import arrives, boot_id_of, nodes_online, restarted_once, said_since, since
from handoff_lab import add_vm, check, on, run, up, wait_settled, wait_until, where

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


def case_down():
    lab.down()


if __name__ == "__main__":
    sys.exit(run(globals()))
