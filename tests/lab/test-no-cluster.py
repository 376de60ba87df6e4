#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Without a cluster manager (cluster = none): init scripts by hand. A start fetches the guest live from where it runs, a stop
is a real one, and nothing is booted beside a node that is merely silent."""

import sys

from faults_lab import boot_id_of, daemon_again, ready_count, said_since, since
from handoff_lab import check, kept_live, linked, measured, one_writer, run, up, wait_until, where
from migrationd_lab.layout import address

CONFIG = "log_level = debug\nlog_target = stderr\ncluster = none\n" + "".join(
    f"node = {node} {address(node)}\n" for node in ("node1", "node2"))
RESOURCE = "config = /etc/libvirt/lab/vm1.xml\nhypervisor = qemu:///system\nstart_timeout = 40s\n"
lab = None


def script(node, action):
    return node.run(f"/etc/init.d/vm1 {action}", check=False, timeout=240)


def says(node, action, code, *texts):
    done = script(node, action)
    said = done.stdout + done.stderr
    check(done.returncode == code and all(text in said for text in texts),
          f"{action} on {node.name} ended with {done.returncode}, not with {code}, and said {said!r}")


def case_started_by_hand():
    """The lab starts vm1 on node1 with virsh, as an administrator would who knows nothing of migrationd."""
    global lab
    lab = up(files={"/etc/migrationd/migrationd.conf": CONFIG, "/etc/migrationd/resources/vm1.conf": RESOURCE}, stack="none")
    lab.guest("vm1").wait_up(60)
    for node in lab.nodes:
        node.run("ln -s /usr/lib/ocf/resource.d/migrationd/VirtualDomain /etc/init.d/vm1")
    says(lab.node("node1"), "status", 0)
    says(lab.node("node2"), "status", 3)


def case_a_start_fetches_it_live_both_ways():
    one, two = lab.nodes
    for destination in (two, one):
        kept_live(measured(lab, "vm1", lambda: says(destination, "start", 0)))
        check(where(lab) == [destination.name], f"vm1 runs on {where(lab)}, not on {destination.name}")
    one_writer(lab)


def case_a_start_where_it_runs_changes_nothing():
    one, _ = lab.nodes
    before = boot_id_of(lab)
    says(one, "start", 0)
    check(where(lab) == [one.name] and boot_id_of(lab) == before, "the second start did something")


def case_a_stop_is_a_real_stop():
    one, two = lab.nodes
    says(one, "stop", 0)
    check(where(lab) == [], f"vm1 still runs on {where(lab)}")
    says(two, "stop", 0)
    says(two, "start", 0)  # node1 says that it is not there
    check(where(lab) == [two.name], f"vm1 runs on {where(lab)}")
    lab.guest("vm1").wait_up(60)


def case_restart_boots_it_once_more():
    _, two = lab.nodes
    before = boot_id_of(lab)
    says(two, "restart", 0)
    check(where(lab) == [two.name] and boot_id_of(lab) != before, "the guest was not restarted")
    one_writer(lab)


def case_a_silent_node_holds_a_start_up():
    """node1 can't be reached: it may run vm1, and nobody can fence it."""
    one, two = lab.nodes
    says(two, "stop", 0)
    lab.cut("node1", "node2")
    try:
        wait_until(lambda: not linked(two, [one]), 60, "the loss of the link")
        says(two, "start", 1, "no proof that it does not run on node1")
        check(where(lab) == [], f"vm1 was booted on {where(lab)} all the same")
    finally:
        lab.heal("node1", "node2")
    wait_until(lambda: linked(two, [one]) and linked(one, [two]), 60, "the link again")
    says(two, "start", 0)
    lab.guest("vm1").wait_up(60)
    one_writer(lab)


def case_a_node_that_left_in_order_does_not():
    one, two = lab.nodes
    says(two, "stop", 0)
    mark = since(one)
    two.service("stop", "migrationd")
    wait_until(lambda: said_since(one, mark, "node2 says farewell"), 30, "node2's farewell")
    says(one, "start", 0)
    check(where(lab) == [one.name], f"vm1 runs on {where(lab)}")
    two.service("start", "migrationd")
    wait_until(lambda: linked(one, [two]) and linked(two, [one]), 60, "the link again")
    says(two, "status", 3)
    one_writer(lab)


def case_a_dead_node_is_taken_out_of_the_configuration():
    """node1 dies with the guest. Nobody can prove that; the administrator knows it, and says so."""
    one, two = lab.nodes
    before = boot_id_of(lab)
    lab.kill("node1")
    wait_until(lambda: not linked(two, [one]), 60, "the loss of the link")
    says(two, "start", 1, "no proof that it does not run on node1")
    two.run("sed -i '/^node = node1 /d' /etc/migrationd/migrationd.conf")
    lives = ready_count(two)
    two.service("restart", "migrationd")
    daemon_again(two, lives)
    says(two, "start", 0)
    check(boot_id_of(lab) != before and where(lab) == [two.name], f"vm1 runs on {where(lab)}")
    one_writer(lab)


if __name__ == "__main__":
    sys.exit(run(globals()))
