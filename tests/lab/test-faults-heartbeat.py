#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults under classic Heartbeat, with its fencing, while hb_standby moves the guest. Nobody sees two writers, and no
guest is lost that did not run on a node that was shot."""

import sys

from faults_lab import boot_id_of, daemon_again, daemon_killed, libvirtd_again, libvirtd_killed, struck
from handoff_lab import check, one_writer, run, wait_until, where
from heartbeat_lab import all_there, in_no_transition, standby, takeover, up_with_vm1, well

lab = None


def case_first_start():
    global lab
    lab = up_with_vm1()


def moves_in_spite_of(blow):
    one, two = lab.nodes
    before = struck(lab, one, two, lambda: standby(one), blow)
    well(lab, two, before)
    takeover(one)
    well(lab, one, before)
    in_no_transition(lab)  # Heartbeat takes no order while its last one is not over


def times_fenced(shooter, node):
    return sum(e["what"] == "reboot asked" and e["node"] == node.name and e["by"] == shooter.name for e in lab.power_events())


def case_source_daemon_killed():
    moves_in_spite_of(lambda one, two: daemon_again(one, daemon_killed(one)))


def case_destination_daemon_killed():
    moves_in_spite_of(lambda one, two: daemon_again(two, daemon_killed(two)))


def case_source_libvirtd_killed():
    moves_in_spite_of(lambda one, two: (libvirtd_killed(one), libvirtd_again(one)))


def case_destination_libvirtd_killed():
    moves_in_spite_of(lambda one, two: (libvirtd_killed(two), libvirtd_again(two)))


def case_destination_node_killed():
    """The guest was offered to a node that never comes. It stays where it is, unharmed."""
    one, two = lab.nodes
    before = struck(lab, one, two, lambda: standby(one), lambda source, destination: lab.kill(destination.name))
    well(lab, one, before)
    if not two.on:  # Heartbeat takes back from a node that it thinks gave up its resources, and does not fence it
        lab.boot(two.name)
    all_there(lab)


def case_destination_node_killed_and_heartbeat_starts_nothing():
    """As Heartbeat does after a message of its own that it could not read. The offer is taken back without it."""
    one, two = lab.nodes
    fenced = times_fenced(one, two)
    one.run("mv /etc/ha.d/rc.d/ip-request-resp /etc/ha.d/ip-request-resp.away")
    before = struck(lab, one, two, lambda: standby(one), lambda source, destination: lab.kill(destination.name))
    well(lab, one, before)
    check(times_fenced(one, two) == fenced + 1, f"fenced {times_fenced(one, two) - fenced} times, not once")
    one.run("mv /etc/ha.d/ip-request-resp.away /etc/ha.d/rc.d/ip-request-resp")
    all_there(lab)


def case_source_node_killed():
    """It had given up its resources, so Heartbeat does not shoot it; migrationd does, or could never start the guest."""
    one, two = lab.nodes
    before = struck(lab, one, two, lambda: standby(one), lambda source, destination: lab.kill(source.name))
    wait_until(lambda: where(lab), 120, "the guest somewhere")
    check(boot_id_of(lab) != before, "the guest lives though its node was killed")
    check(times_fenced(two, one) > 0, "nobody was fenced")
    one_writer(lab)


def case_down():
    lab.down()


if __name__ == "__main__":
    sys.exit(run(globals()))
