#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Under classic Heartbeat, too, the definition's file is needed on one node only."""

import sys

from handoff_lab import check, kept_live, log_of, measured, one_writer, run, wait_until
from heartbeat_lab import standby, takeover, up_with_vm1, wait_here, word

lab = None
CONFIG = "/etc/libvirt/lab/vm1.xml"
KEPT = "/var/lib/migrationd/definitions"


def case_the_other_node_keeps_it():
    global lab
    lab = up_with_vm1()
    one, two = lab.nodes
    two.run(["rm", CONFIG])
    wait_until(lambda: "<name>vm1</name>" in two.run(f"cat {KEPT}/*", check=False).stdout, 30, f"the definition on {two.name}")
    check(word(two) == "stopped", f"status on {two.name} says {word(two)!r}")


def case_standby_and_failback_are_live():
    one, two = lab.nodes
    kept_live(measured(lab, "vm1", lambda: (standby(one), wait_here(lab, two))))
    kept_live(measured(lab, "vm1", lambda: (takeover(one), wait_here(lab, one))))
    one_writer(lab)


def case_a_killed_node_s_guest_boots_from_what_is_kept():
    one, two = lab.nodes
    lab.kill(one.name)
    wait_here(lab, two)
    lab.guest("vm1").wait_up(60)
    check("booted from the definition that this node keeps" in log_of(two), "the log does not say so")
    one_writer(lab)


if __name__ == "__main__":
    sys.exit(run(globals()))
