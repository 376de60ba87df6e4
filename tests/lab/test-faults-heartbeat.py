#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults under classic Heartbeat, with its fencing, while hb_standby moves the guest. Nobody sees two writers, and no
guest is lost that did not run on a node that was shot."""

import sys

from faults_lab import (boot_id_of, daemon_again, daemon_killed, libvirtd_again, libvirtd_killed, migrating, slow)
from handoff_lab import check, one_writer, run, wait_until, where
from heartbeat_lab import standby, takeover, up_with_vm1, well

lab = None


def case_first_start():
    global lab
    lab = up_with_vm1()


def moves_in_spite_of(blow):
    one, two = lab.nodes
    before = boot_id_of(lab)
    with slow(lab, one):
        standby(one)
        migrating(one)
        blow(one, two)
    well(lab, two, before)
    takeover(one)
    well(lab, one, before)


def case_source_daemon_killed():
    moves_in_spite_of(lambda one, two: daemon_again(one, daemon_killed(one)))


def case_destination_daemon_killed():
    moves_in_spite_of(lambda one, two: daemon_again(two, daemon_killed(two)))


def case_source_libvirtd_killed():
    moves_in_spite_of(lambda one, two: (libvirtd_killed(one), libvirtd_again(one)))


def case_destination_libvirtd_killed():
    moves_in_spite_of(lambda one, two: (libvirtd_killed(two), libvirtd_again(two)))


def case_source_node_killed():
    """It had given up its resources, so Heartbeat does not shoot it; migrationd does, or could never start the guest."""
    one, two = lab.nodes
    before = boot_id_of(lab)
    with slow(lab, one):
        standby(one)
        migrating(one)
        lab.kill(one.name)
    wait_until(lambda: where(lab), 120, "the guest somewhere")
    check(boot_id_of(lab) != before, "the guest lives though its node was killed")
    check([e for e in lab.power_events() if e["what"] == "reboot asked" and e["node"] == one.name], "nobody was fenced")
    one_writer(lab)


def case_down():
    lab.down()


if __name__ == "__main__":
    sys.exit(run(globals()))
