#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Under Pacemaker: every way in which a restart becomes a live migration, and those in which it must not."""

import json
import sys

from handoff_lab import (add_vm, check, kept_live, log_of, measured, on, one_writer, run, standby, unstandby, up,
                         wait_on, wait_settled, wait_until, where)

lab = None


def case_first_start():
    global lab
    lab = up(stack="pacemaker")
    add_vm(lab)
    on(lab)


def case_standby_pushes_it_live():
    source, destination = on(lab)
    kept_live(measured(lab, "vm1", lambda: (standby(lab, source), wait_on(lab, destination))))
    unstandby(lab, source)
    one_writer(lab)


def case_watch_shows_how_far_a_migration_is():
    lab.nodes[0].run("crm_resource -r vm1 --set-parameter migration_speed --parameter-value 8")  # MiB/s: it takes its time
    wait_settled(lab)
    source, destination = on(lab)
    watch = source.run("migrationctl watch >/run/watch.out 2>&1 </dev/null & echo $!").stdout.strip()
    kept_live(measured(lab, "vm1", lambda: (standby(lab, source), wait_on(lab, destination))))
    source.run(f"kill {watch}")
    way = f"vm1: migration {source.name} -> {destination.name}: "
    lines = [line for line in source.read("/run/watch.out").splitlines() if way in line and "% done" in line]
    check(len(lines) >= 2, f"watch said of the migration's progress only {lines}")
    check(any("8 MiB/s" in line or "7 MiB/s" in line for line in lines), f"the limited rate is not shown: {lines}")
    unstandby(lab, source)
    lab.nodes[0].run("crm_resource -r vm1 --delete-parameter migration_speed")
    wait_settled(lab)


def case_changed_parameters_count_without_a_restart():
    """Pacemaker calls reload-agent, because these parameters are marked reloadable."""
    source, _ = on(lab)
    pid, stops = source.run("cat /run/libvirt/qemu/vm1.pid").stdout, log_of(source).count("stop asked for")

    def explained():
        return json.loads(source.run("migrationctl explain --json vm1").stdout)["reason"]

    def warned():
        return any("vm1 has unfenced=membership" in one for one in json.loads(source.run("migrationctl status --json").stdout)["warnings"])

    check(explained() != "handoff=off" and not warned(), "before any change")
    lab.nodes[0].run("crm_resource -r vm1 --set-parameter handoff --parameter-value off")
    wait_until(lambda: explained() == "handoff=off", 60, "handoff=off to count")
    lab.nodes[0].run("crm_resource -r vm1 --set-parameter unfenced --parameter-value membership")
    wait_until(warned, 60, "the warning of unfenced=membership")
    for name in ("handoff", "unfenced"):
        lab.nodes[0].run(f"crm_resource -r vm1 --delete-parameter {name}")
    wait_until(lambda: explained() != "handoff=off" and not warned(), 60, "the parameters to be as before")
    wait_settled(lab)
    check(source.run("cat /run/libvirt/qemu/vm1.pid").stdout == pid, "the emulator is another one")
    check(log_of(source).count("stop asked for") == stops, "it was stopped for a parameter")


def case_a_stop_becomes_an_offer_that_is_pulled_live():
    """Without allow-migrate Pacemaker stops and starts: that is what the product is for."""
    lab.nodes[0].run("crm_resource -r vm1 --meta -p allow-migrate -v false")
    wait_settled(lab)
    source, destination = on(lab)
    kept_live(measured(lab, "vm1", lambda: (standby(lab, source), wait_on(lab, destination))))
    check("offered to" in log_of(source), f"{source.name} did not offer it")
    check("migrate_to asked" not in log_of(source).split("offered to")[-1], "it was pushed, not pulled")
    unstandby(lab, source)
    lab.nodes[0].run("crm_resource -r vm1 --meta -p allow-migrate -v true")
    wait_settled(lab)
    one_writer(lab)


def case_a_failed_migration_restarts_nothing():
    """The memory's way is closed during migrate_to and open again for the hand-off that follows."""
    source, destination = on(lab)
    destination.close_to_migrations()

    def fail_then_open():
        standby(lab, source)
        wait_until(lambda: "migrate_to failed" in log_of(source), 60, "the failure of migrate_to")
        destination.open_to_migrations()
        wait_on(lab, destination, timeout=120)

    kept_live(measured(lab, "vm1", fail_then_open))
    unstandby(lab, source)
    lab.nodes[0].run("crm_resource --cleanup -r vm1")
    wait_settled(lab)
    one_writer(lab)


def case_a_domain_started_by_hand_elsewhere_is_pulled_live():
    source, destination = on(lab)
    lab.nodes[0].run("crm_resource -r vm1 --set-parameter target-role --meta --parameter-value Stopped")
    wait_until(lambda: not where(lab), 60, "the stop of vm1")
    wait_settled(lab)
    source.virsh("create", "/etc/libvirt/lab/vm1.xml")
    lab.guest("vm1").wait_up(60)
    lab.nodes[0].run(f"crm configure location there vm1 inf: {destination.name}")

    def start():
        lab.nodes[0].run("crm_resource -r vm1 --set-parameter target-role --meta --parameter-value Started")
        wait_on(lab, destination)

    kept_live(measured(lab, "vm1", start))
    lab.nodes[0].run("crm configure delete there")
    wait_settled(lab)
    one_writer(lab)


def case_the_daemon_killed_changes_nothing():
    source, _ = on(lab)
    before = lab.guest("vm1").boot_id
    lives = log_of(source).count("ready: node")
    source.run("pkill -KILL -x migrationd")
    wait_until(lambda: log_of(source).count("ready: node") > lives, 30, "the daemon's restart")
    wait_settled(lab)
    check(where(lab) == [source.name], f"vm1 runs on {where(lab)}")
    check(lab.guest("vm1").boot_id == before, "the guest was restarted")
    failed = lab.nodes[0].run("crm_mon -1 --exclude=all --include=failures").stdout
    check("vm1" not in failed, f"Pacemaker saw a failure: {failed}")


def case_a_real_stop_stops_it():
    lab.nodes[0].run("crm_resource -r vm1 --set-parameter target-role --meta --parameter-value Stopped")
    wait_until(lambda: not where(lab), 60, "the stop of vm1")
    wait_settled(lab)
    check(not any("vm1" in n.virsh("list", "--all", "--name").stdout for n in lab.nodes), "something of vm1 is left")
    lab.nodes[0].run("crm_resource -r vm1 --set-parameter target-role --meta --parameter-value Started")
    wait_until(lambda: where(lab), 60, "the start of vm1")
    lab.guest("vm1").wait_up(60)
    wait_settled(lab)
    one_writer(lab)


def case_a_killed_node_is_fenced_and_the_guest_boots_elsewhere():
    source, destination = on(lab)
    lab.kill(source.name)
    wait_until(lambda: where(lab) == [destination.name], 120, f"vm1 on {destination.name}")
    lab.guest("vm1").wait_up(60)
    one_writer(lab)


if __name__ == "__main__":
    sys.exit(run(globals()))
