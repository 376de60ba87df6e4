#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""With fencing, nodes killed and links cut while a migration runs. Nobody sees two writers, and no guest is lost that
did not run on the node that was shot."""

import sys
import time

from faults_lab import (arrives, back_to_normal, boot_id_of, migrating, move_over, move_to, moves_in_spite_of,
                        nodes_online, restarted_once, slow, stays_well_in_spite_of, struck, unharmed)
from handoff_lab import add_vm, on, run, standby, up, wait_until, where

lab = None
CUT = 0.2  # seconds; shorter than Corosync's patience: no split
BETWEEN = 2  # seconds, in which Corosync's token goes round again


def case_first_start():
    global lab
    lab = up(stack="pacemaker")
    add_vm(lab)
    on(lab)


def flickers(source, destination):
    for pair, one_way in (((source, destination), True), ((destination, source), True), ((source, destination), False)):
        lab.cut(*(n.name for n in pair), one_way=one_way)
        time.sleep(CUT)
        lab.heal(*(n.name for n in pair), one_way=one_way)
        time.sleep(BETWEEN)


def case_link_cut_for_a_moment_during_a_migration():
    """One way, the other way, both."""
    moves_in_spite_of(lab, flickers)


def case_link_cut_during_a_migration():
    """A split, in which one node shoots the other. Where the source lives on, so does the guest."""
    for one_way in (False, True):
        source, destination = on(lab)
        before = boot_id_of(lab)
        with slow(lab, source):
            move_to(lab, destination)
            migrating(source)
            shot = len(lab.power_events())
            lab.cut(source.name, destination.name, one_way=one_way)
            wait_until(lambda: len(lab.power_events()) > shot, 60, "fencing")
            lab.heal(source.name, destination.name, one_way=one_way)
        nodes_online(lab)
        victim = lab.power_events()[shot]["node"]
        if victim == source.name:
            wait_until(lambda: where(lab), 90, "the guest somewhere")
            restarted_once(lab, before)
        else:
            unharmed(lab, before)
        move_over(lab)


def case_destination_node_killed_during_a_migration():
    stays_well_in_spite_of(lab, lambda source, destination: (lab.kill(destination.name), nodes_online(lab)))


def case_source_node_killed_during_a_migration():
    source, destination = on(lab)
    before = struck(lab, source, destination, lambda: standby(lab, source), lambda *_: lab.kill(source.name))
    arrives(lab, destination)
    nodes_online(lab)
    back_to_normal(lab)
    restarted_once(lab, before)


def case_down():
    lab.down()


if __name__ == "__main__":
    sys.exit(run(globals()))
