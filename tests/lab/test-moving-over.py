#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Moving over from ocf:heartbeat:VirtualDomain and back, as the README says it: the guest is never restarted."""

import sys

from handoff_lab import check, kept_live, measured, on, one_writer, run, standby, unstandby, up, wait_on, wait_settled
from handoff_lab import wait_until, where

lab = None
PRIMITIVE = ("crm configure primitive vm1 ocf:heartbeat:VirtualDomain params config=/etc/libvirt/lab/vm1.xml "
             "hypervisor=qemu:///system migration_transport=tcp meta allow-migrate=true op monitor interval=10 timeout=30 "
             "op start timeout=60 op stop timeout=90 op migrate_to timeout=60 op migrate_from timeout=60")


def change_provider(old, new):
    before, node = lab.guest("vm1").boot_id, lab.nodes[0]
    node.run("crm resource unmanage vm1")
    wait_settled(lab)
    node.run("cibadmin --query --scope resources >/tmp/r.xml && "
             f"sed -i 's/provider=\"{old}\"/provider=\"{new}\"/' /tmp/r.xml && "
             "cibadmin --replace --scope resources --xml-file /tmp/r.xml")
    node.run("crm resource refresh vm1", timeout=60)
    wait_settled(lab)
    check("Started" in node.run("crm_mon -1r | grep vm1").stdout, "the probe did not find the domain")
    node.run("crm resource manage vm1")
    wait_settled(lab)
    on(lab)
    check(lab.guest("vm1").boot_id == before, f"the guest was restarted on the way from {old} to {new}")


def case_virtual_domain_runs_it():
    global lab
    lab = up(stack="pacemaker")
    lab.nodes[0].run(PRIMITIVE)
    wait_until(lambda: where(lab), 60, "the start of vm1")
    lab.guest("vm1").wait_up(60)
    wait_settled(lab)


def case_over():
    change_provider("heartbeat", "migrationd")


def case_migrationd_moves_it_live():
    source, destination = on(lab)
    kept_live(measured(lab, "vm1", lambda: (standby(lab, source), wait_on(lab, destination))))
    unstandby(lab, source)


def case_and_back():
    change_provider("migrationd", "heartbeat")
    one_writer(lab)


if __name__ == "__main__":
    sys.exit(run(globals()))
