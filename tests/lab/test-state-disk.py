#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A full and a read-only state directory: nothing can be promised that a restart would forget, so a stop is a real one,
works, and says why; the domain starts elsewhere all the same, and what needs no record goes on."""

import sys

from faults_lab import (arrives, back_to_normal, boot_id_of, daemon_again, meta, ready_count, restarted_once,
                        said_since, since, unharmed)
from handoff_lab import add_vm, check, linked, log_of, on, run, standby, up, wait_settled, wait_until, where

lab = None
STATE = "/var/lib/migrationd"


def case_first_start():
    global lab
    lab = up(stack="pacemaker")
    add_vm(lab, migrate="false")
    on(lab)


def put_on_small_disk(node):
    """The state directory on a file system of its own; the daemon has nothing left to write when this returns."""
    lives, mark = ready_count(node), since(node)
    node.service("stop", "migrationd")
    node.run(f"cp -a {STATE} /root/state && mount -t tmpfs -o size=256k,mode=0700 tmpfs {STATE} && "
             f"cp -a /root/state/. {STATE}/ && rm -r /root/state")
    node.service("start", "migrationd")
    daemon_again(node, lives)
    wait_until(lambda: said_since(node, mark, "vm1: ", "[running]: held -> held"), 30,
               f"migrationd on {node.name} to see vm1")
    wait_until(lambda: linked(node, [n for n in lab.nodes if n is not node]), 30, f"links of {node.name}")


def take_from_small_disk(node):
    lives = ready_count(node)
    node.service("stop", "migrationd")
    node.run(f"cp -a {STATE} /root/state && umount {STATE} && cp -a /root/state/. {STATE}/ && rm -r /root/state")
    node.service("start", "migrationd")
    daemon_again(node, lives)


def stopped_and_started_elsewhere(harm, heal):
    node, other = on(lab)
    before = boot_id_of(lab)
    put_on_small_disk(node)
    wait_settled(lab)
    node.run(harm)
    mark = since(node)
    standby(lab, node)
    wait_until(lambda: said_since(node, mark, "stop succeeded"), 90, "the stop")
    check(said_since(node, mark, "the journal could not be written", "this stop is a real one"), "no reason given")
    before_success = log_of(node)[mark:].partition("stop succeeded")[0]
    check("libvirt event Stopped" in before_success, "the stop returned while the guest still ran")
    check(node.name not in where(lab), "it still runs")
    arrives(lab, other)
    node.run(heal)
    take_from_small_disk(node)
    back_to_normal(lab)
    restarted_once(lab, before)


def case_full():
    stopped_and_started_elsewhere(f"for again in 1 2 3; do cat /dev/zero >>{STATE}/filler; done; true",
                                  f"rm {STATE}/filler")


def case_read_only():
    stopped_and_started_elsewhere(f"mount --bind {STATE} {STATE} && mount -o remount,bind,ro {STATE}",
                                  f"umount {STATE}")


def case_a_daemon_that_starts_on_a_read_only_disk_harms_nobody():
    node, _ = on(lab)
    before = boot_id_of(lab)
    lives = ready_count(node)
    node.service("stop", "migrationd")
    node.run(f"mount --bind {STATE} {STATE} && mount -o remount,bind,ro {STATE}")
    done = node.run("migrationd", check=False, timeout=30)
    check(done.returncode != 0 and STATE in done.stderr, f"it ends with {done.returncode} and says {done.stderr!r}")
    node.run(f"umount {STATE}")
    node.service("start", "migrationd")
    daemon_again(node, lives)
    check(unharmed(lab, before) == node, "the guest was moved")
    meta(lab, "allow-migrate", "true")


def case_down():
    lab.down()


if __name__ == "__main__":
    sys.exit(run(globals()))
