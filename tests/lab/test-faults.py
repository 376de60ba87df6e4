#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A fault in each phase of a hand-off: daemons, libvirtd and agents killed. Nobody sees two writers, and no guest is
lost. (Nodes killed and links cut: test-faults-nodes.py. The same without fencing: test-faults-unfenced.py.)"""

import sys

from faults_lab import (arrives, back_to_normal, boot_id_of, daemon_again, daemon_killed, libvirtd_again,
                        libvirtd_killed, meta, move_over, move_to, moves_in_spite_of, op_timeout, said_since, since,
                        slow, stays_well_in_spite_of, unharmed)
from handoff_lab import add_vm, check, on, run, standby, up, wait_settled, wait_until, where

lab = None
FENCING = True


def source_daemon_dies(source, destination):
    daemon_again(source, daemon_killed(source))


def destination_daemon_dies(source, destination):
    daemon_again(destination, daemon_killed(destination))


# One change of the CIB: vm1 is to go to another node, and there its start waits for a slow one of something that has
# nothing to do with it. So it stays offered for some seconds, and nobody claims it.
GATE = """<configuration><resources>
  <primitive id="gate" class="ocf" provider="pacemaker" type="Dummy">
    <instance_attributes id="gate-p"><nvpair id="gate-sleep" name="op_sleep" value="4"/></instance_attributes>
    <operations><op id="gate-start" name="start" interval="0" timeout="20"/></operations>
  </primitive></resources><constraints>
  <rsc_location id="wish" rsc="vm1" node="{to}" score="1000"/>
  <rsc_location id="gate-there" rsc="gate" node="{to}" score="1000"/>
  <rsc_order id="gate-first" first="gate" first-action="start" then="vm1" then-action="start" kind="Optional"
             symmetrical="false"/></constraints></configuration>"""


def case_first_start():
    global lab
    lab = up(stack="pacemaker", fencing=FENCING)
    add_vm(lab)
    on(lab)


def case_source_daemon_killed_while_offered():
    meta(lab, "allow-migrate", "false")
    source, destination = on(lab)
    before, mark = boot_id_of(lab), since(source)
    lab.nodes[0].run("cibadmin --modify --allow-create --scope configuration --xml-pipe",
                     input=GATE.format(to=destination.name))
    wait_until(lambda: said_since(source, mark, "stop succeeded"), 40, "the offer")
    check(not said_since(source, mark, "migrating to"), "it was claimed too early for this test")
    daemon_again(source, daemon_killed(source))
    arrives(lab, destination)
    unharmed(lab, before)
    lab.nodes[0].run("crm configure delete gate-first gate-there wish; crm_resource -r gate --meta -p target-role "
                     "-v Stopped; crm_resource --wait --timeout=30s; crm configure delete gate")
    wait_settled(lab)


def case_destination_daemon_killed_as_it_claims():
    source, destination = on(lab)
    before, mark = boot_id_of(lab), since(destination)
    with slow(lab, source):
        move_to(lab, destination)
        wait_until(lambda: said_since(destination, mark, "gone -> claim"), 60, "the claim", interval=0.02)
        daemon_again(destination, daemon_killed(destination))
    unharmed(lab, before)
    move_over(lab)


def case_source_daemon_killed_during_a_pull():
    moves_in_spite_of(lab, source_daemon_dies)


def case_destination_daemon_killed_during_a_pull():
    """Its start fails at once, and in standby there is nowhere else: moved by a wish, not by standby."""
    stays_well_in_spite_of(lab, destination_daemon_dies)


def case_start_has_too_little_time_for_a_pull():
    source, destination = on(lab)
    before = boot_id_of(lab)
    op_timeout(lab, "start", 5)
    with slow(lab, source):
        move_to(lab, destination)
        wait_until(lambda: len(where(lab)) == 1 and "vm1" in lab.nodes[0].run(
            "crm_mon -1 --exclude=all --include=failures").stdout, 60, "the failed start")
        wait_settled(lab)
        check(where(lab) == [source.name], f"vm1 runs on {where(lab)}")
    move_over(lab)
    unharmed(lab, before)


def case_destination_daemon_killed_as_it_gives_up():
    """The start's time is over, and before the source has said whether it was given, the daemon that asked dies."""
    source, destination = on(lab)
    before, mark = boot_id_of(lab), since(destination)
    with slow(lab, source):
        move_to(lab, destination)
        wait_until(lambda: said_since(destination, mark, "claim -> withdrawn"), 60, "the withdrawal", interval=0.02)
        daemon_again(destination, daemon_killed(destination))
    op_timeout(lab, "start", 60)
    unharmed(lab, before)
    move_over(lab)
    meta(lab, "allow-migrate", "true")


def case_source_daemon_killed_during_a_push():
    moves_in_spite_of(lab, source_daemon_dies)


def case_destination_daemon_killed_during_a_push():
    moves_in_spite_of(lab, destination_daemon_dies)


def case_source_daemon_killed_right_after_the_hand_off():
    source, destination = on(lab)
    before, mark = boot_id_of(lab), since(source)
    standby(lab, source)
    wait_until(lambda: said_since(source, mark, "-> given"), 60, "the hand-off", interval=0.02)
    daemon_again(source, daemon_killed(source))
    arrives(lab, destination)
    back_to_normal(lab)
    unharmed(lab, before)


def case_destination_daemon_killed_right_after_the_hand_off():
    source, destination = on(lab)
    before, mark = boot_id_of(lab), since(destination)
    standby(lab, source)
    wait_until(lambda: said_since(destination, mark, "claim -> held"), 60, "the hand-off", interval=0.02)
    daemon_again(destination, daemon_killed(destination))
    arrives(lab, destination)
    back_to_normal(lab)
    unharmed(lab, before)


def case_libvirtd_killed_while_idle():
    for node in lab.nodes:
        before = boot_id_of(lab)
        libvirtd_killed(node)
        libvirtd_again(node)
        unharmed(lab, before)


def case_a_stop_where_libvirtd_is_down():
    """Pacemaker stops what could not be started there: it does not run there, so that is no reason to fence the node."""
    source, other = on(lab)
    before, mark, shot = boot_id_of(lab), since(other), len(lab.power_events())
    libvirtd_killed(other)
    stopped = other.run(["crm_resource", "--force-stop", "-r", "vm1", "--timeout=60s"], check=False, timeout=90)
    libvirtd_again(other)
    check(stopped.returncode == 0, f"the stop failed: {stopped.stdout} {stopped.stderr}")
    check(not said_since(other, mark, "encing of"), "fencing was asked for")
    check(len(lab.power_events()) == shot, f"a node was fenced: {lab.power_events()[shot:]}")
    check(unharmed(lab, before) is source, "vm1 was moved")


def case_source_libvirtd_killed_during_a_migration():
    moves_in_spite_of(lab, lambda source, destination: (libvirtd_killed(source), libvirtd_again(source)))


def case_destination_libvirtd_killed_during_a_migration():
    moves_in_spite_of(lab, lambda source, destination: (libvirtd_killed(destination), libvirtd_again(destination)))


def case_migrate_to_has_too_little_time():
    source, destination = on(lab)
    before, mark = boot_id_of(lab), since(source)
    op_timeout(lab, "migrate_to", 5)
    with slow(lab, source):
        standby(lab, source)
        wait_until(lambda: said_since(source, mark, "migrate_to failed"), 60, "the failure of migrate_to")
    arrives(lab, destination)
    op_timeout(lab, "migrate_to", 60)
    back_to_normal(lab)
    unharmed(lab, before)


def case_agent_killed_during_migrate_to():
    moves_in_spite_of(lab, lambda source, destination: source.run(["pkill", "-KILL", "-f", "VirtualDomain migrate_to"]))


def case_daemon_killed_during_a_real_stop():
    """Its next life finishes the stop for the agent that waits; nothing is fenced, and it starts again."""
    source, destination = on(lab)
    mark, shot = since(source), len(lab.power_events())
    lab.nodes[0].run("crm_resource -r vm1 --meta -p target-role -v Stopped")
    wait_until(lambda: said_since(source, mark, "-> stopping"), 60, "the stop", interval=0.02)
    daemon_again(source, daemon_killed(source))
    wait_settled(lab)
    check(where(lab) == [], f"vm1 still runs on {where(lab)}")
    failed = lab.nodes[0].run("crm_mon -1 --exclude=all --include=failures").stdout
    check("vm1_stop" not in failed, f"the stop failed: {failed}")
    meta(lab, "target-role", "Started")
    wait_until(lambda: where(lab), 60, "vm1 started again")
    boot_id_of(lab)
    check(len(lab.power_events()) == shot, f"a node was fenced: {lab.power_events()[shot:]}")


def case_down():
    lab.down()


if __name__ == "__main__":
    sys.exit(run(globals()))
