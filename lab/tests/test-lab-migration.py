#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest moves live between nodes with its boot id and its TCP connection; the witness stays content with that, and
is not when the same disk really runs in two emulators."""

import shutil
import sys
import time

from lab_test import Lab, check, name, run, wait_until
from migrationd_lab.measure import measured

lab = None


def case_up():
    global lab
    lab = Lab.up(name=name(), stack="none")
    check(lab.guest("vm1").running_on() == ["node1"], lab.guest("vm1").states())


def case_live_migration_keeps_everything():
    guest = lab.guest("vm1")
    for source, destination in (("node1", "node2"), ("node2", "node1")):
        result = measured(lab, guest, lambda s=source, d=destination: guest.migrate(s, d))
        print(f"  {source} -> {destination}: {result}")
        check(guest.running_on() == [destination], guest.states())
        check(result["boot_id_kept"] and result["tcp_kept"], result)
        check(result["longest_gap_ms"] < 3000 and result["pings_sent"] > 150, result)
    # And as the source's virsh does it, not libvirtd to libvirtd.
    lab.node("node1").virsh("migrate", "--live", "vm1", "qemu+tcp://node2/system")
    check(guest.running_on() == ["node2"], guest.states())


def case_an_outage_is_seen():
    guest = lab.guest("vm1")

    def restart():
        lab.node("node2").virsh("destroy", "vm1")
        lab.node("node1").virsh("create", guest.xml)
    result = measured(lab, guest, restart)
    print(f"  restart: {result}")
    check(not result["boot_id_kept"] and not result["tcp_kept"], result)
    check(result["pings_lost"] > 30 and result["longest_gap_ms"] > 500 and result["http_outage_ms"] > 500, result)


def case_the_dirtying_load():
    guest = lab.guest("vm1")
    """Where QEMU loses what is written during a migration, this many under load do not pass."""
    guest, places = lab.guest("vm1"), ("node1", "node2")
    for number in range(6):
        guest.dirty(24, 40)
        check(guest.ask()["dirty"] == "24", guest.ask())
        result = measured(lab, guest, lambda n=number: guest.migrate(places[n % 2], places[1 - n % 2]))
        check(result["boot_id_kept"], result)
        now = guest.ask()
        check(now["lost"] == "0", f"the migration lost pages of the guest: {now}")
        guest.dirty(0)
    check(guest.ask()["dirty"] == "0", guest.ask())
    guest.migrate("node1", "node2")


def case_power_button():
    lab.node("node2").virsh("shutdown", "vm1")
    wait_until(lambda: not lab.guest("vm1").states(), 15, "guest off after virsh shutdown")
    lab.guest("vm1").start("node1")


def case_the_witness_is_content():
    verdict = lab.witness()
    (disk,) = verdict["disks"]
    check(verdict["ok"], verdict)
    check(len(disk["boots"]) == 3 and len(disk["moves"]) >= 11, verdict)


def case_witness_sees_the_same_memory_run_twice():
    one, two = lab.node("node1"), lab.node("node2")
    one.virsh("save", "vm1", "/root/vm1.save")
    shutil.copy(lab.settings.node_folder("node1") / "root/vm1.save", lab.settings.node_folder("node2") / "root")
    check(lab.witness()["ok"], "saving counts as a second writer")
    one.virsh("restore", "/root/vm1.save")
    time.sleep(0.5)
    check(lab.witness()["ok"], "restoring counts as a second writer")
    two.virsh("restore", "/root/vm1.save")
    wait_until(lambda: not lab.witness()["ok"], 10, "witness seeing two emulators with one memory")
    check("counter" in lab.witness()["disks"][0]["violations"][0]["what"], lab.witness())
    lab.node("node2").virsh("destroy", "vm1")


def case_down():
    lab.down()


def case_witness_sees_two_boots_of_one_disk():
    global lab
    lab = Lab.up(name=name(), stack="none")
    check(lab.witness()["ok"], lab.witness())
    lab.node("node2").virsh("create", lab.guest("vm1").xml)
    check(sorted(lab.guest("vm1").running_on()) == ["node1", "node2"], lab.guest("vm1").states())
    wait_until(lambda: not lab.witness()["ok"], 20, "witness seeing two boots take turns")
    check("newer boot" in lab.witness()["disks"][0]["violations"][0]["what"], lab.witness())
    lab.down()


if __name__ == "__main__":
    sys.exit(run(globals()))
