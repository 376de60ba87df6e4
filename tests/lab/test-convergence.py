#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that writes to its memory faster than the network carries it is moved live all the same, within the action's time; and
where that can't be had it is neither restarted nor lost."""

import re
import sys

from faults_lab import arrives, boot_id_of, busy, migrating, op_timeout, quiet, said_since, since, unharmed
from handoff_lab import add_vm, check, on, run, standby, unstandby, up, wait_until

lab = None
LINK = 160  # Mbit/s, about 18 MiB/s of memory
WRITES = 28  # MiB/s, 1.5 times that
SET = 70  # MiB that it writes to, over and over


def case_first_start():
    global lab
    lab = up(stack="pacemaker", guest_memory=160)
    add_vm(lab)
    op_timeout(lab, "migrate_to", 120)
    on(lab)


def case_it_moves_live_within_the_actions_time():
    source, destination = on(lab)
    before = busy(lab, source, LINK, SET, WRITES)
    mark = since(source)
    try:
        standby(lab, source)
        migrating(source)
        wait_until(lambda: said_since(source, mark, "does not converge"), 120, "the planner to see that it does not converge")
        # A libvirt that is busy with the pass does not answer each time.
        wait_until(lambda: re.search(r"MIGRATION +WAY.*PLAN", source.run("migrationctl status").stdout), 60, "migrationctl to show the plan")
        arrives(lab, destination, timeout=180)
    finally:
        quiet(lab, source)
    check(not said_since(source, mark, "migrate_to failed"), "the push failed")
    check(said_since(source, mark, "is slowed by"), "the guest was not slowed, so it did not write too fast: this test proves nothing")
    unstandby(lab, source)
    unharmed(lab, before)


def case_without_time_it_is_neither_restarted_nor_lost():
    """The push ends in its time; what the cluster does then, a stop and a start, is a hand-over once more."""
    source, destination = on(lab)
    op_timeout(lab, "migrate_to", 20)
    before = busy(lab, source, LINK, SET, WRITES)
    mark = since(source)
    try:
        source.run(f"crm_resource --move -r vm1 --node {destination.name}")
        wait_until(lambda: said_since(source, mark, "migrate_to failed"), 60, "the end of migrate_to")
    finally:
        source.run("crm_resource --clear -r vm1")
        quiet(lab, source)
    check(said_since(source, mark, "vm1", "migration ended"), "it did not say why")
    unharmed(lab, before)
    op_timeout(lab, "migrate_to", 60)


if __name__ == "__main__":
    sys.exit(run(globals()))
