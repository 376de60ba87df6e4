#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that writes to its memory faster than the network carries it, and may not be slowed, moves live all the same where postcopy=yes
consents; where that goes wrong in the middle it is booted anew, once, and nothing of it is left."""

import sys

from faults_lab import boot_id_of, busy, emulators_as_root, migrating, op_timeout, quiet, reason, said_since, since, unharmed
from handoff_lab import add_vm, check, kept_live, measured, on, one_writer, run, standby, unstandby, up, wait_on, wait_settled, wait_until, where

lab = None
LINK = 100  # Mbit/s, about 11 MiB/s of memory
WRITES = 28  # MiB/s; on a busy machine less, and still more than that
SET = 70  # MiB that it writes to, over and over


def case_first_start():
    global lab
    lab = up(stack="pacemaker", guest_memory=160)
    emulators_as_root(lab)
    add_vm(lab, params="postcopy=yes auto_converge=no")
    op_timeout(lab, "migrate_to", 120)
    on(lab)


def case_it_moves_live_in_post_copy():
    source, destination = on(lab)
    before = busy(lab, source, LINK, SET, WRITES)
    mark = since(source)

    def move():
        standby(lab, source)
        migrating(source)
        # The plan before it goes over, or what has become of it; a libvirt that is busy does not answer each time.
        wait_until(lambda: said_since(source, mark, "wants to go over to post-copy") and "post-copy" in source.run("migrationctl status").stdout,
                   120, "migrationctl to tell of post-copy")
        wait_on(lab, destination, timeout=120)
    try:
        result = measured(lab, lab.guest("vm1"), move)
    finally:
        quiet(lab, source)
    print(f"  {result}", flush=True)
    check(said_since(source, mark, "which fetches the rest of its memory from here (post-copy)"), "it was not moved in post-copy: this test proves nothing")
    check(not said_since(source, mark, "migrate_to failed"), "the push failed")
    kept_live(result)
    check(result["longest_gap_ms"] < 3000, f"it stood still for {result['longest_gap_ms']} ms")
    unstandby(lab, source)
    unharmed(lab, before)


def case_what_dies_in_the_middle_is_booted_anew_once():
    source, destination = on(lab)
    before = busy(lab, source, LINK, SET, WRITES)
    mark = since(source)
    try:
        standby(lab, source)
        wait_until(lambda: reason(destination) == "running (post-copy)", 120, "the guest to run in post-copy", interval=0.02)
        destination.run("kill -9 $(cat /run/libvirt/qemu/vm1.pid)")
        wait_until(lambda: said_since(destination, 0, "it died") or where(lab), 60, "its death to be seen")
    finally:
        lab.limit(source.name, "off")
    wait_on(lab, destination, timeout=120)
    lab.guest("vm1").wait_up(60)
    check(boot_id_of(lab) != before, "it was not booted anew: this test proves nothing")
    left = source.virsh("list", "--all", "--name").stdout.split()
    check("vm1" not in left, f"it is left at the source: {reason(source)}")
    unstandby(lab, source)
    wait_settled(lab)
    check(len(where(lab)) == 1, f"it runs on {where(lab)}")
    one_writer(lab)


if __name__ == "__main__":
    sys.exit(run(globals()))
