#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster manager moves a guest: ocf:heartbeat:VirtualDomain, node standby, live, with crm and with pcs's tools; a
node that dies under it is fenced before the guest starts elsewhere."""

import sys

from lab_test import Lab, check, name, run, wait_until
from migrationd_lab.measure import measured

lab = None


def where():
    now = lab.cluster()
    return now["resources"].get("vm1", {}).get("nodes") if now and not now["resources"]["vm1"]["pending"] else None


def case_up():
    global lab
    lab = Lab.up(name=name(), stack="pacemaker")


def case_virtual_domain_starts():
    lab.node("node1").run(
        "crm configure primitive vm1 ocf:heartbeat:VirtualDomain params config=/etc/libvirt/lab/vm1.xml "
        "hypervisor=qemu:///system migration_transport=tcp meta allow-migrate=true "
        "op start timeout=90 interval=0 op stop timeout=90 interval=0 op monitor interval=10 timeout=30 "
        "op migrate_to timeout=120 interval=0 op migrate_from timeout=60 interval=0")
    lab.guest("vm1").wait_up()
    wait_until(lambda: where() and len(where()) == 1, 20, "vm1 started")


def case_standby_migrates_live():
    source = where()[0]
    destination = "node2" if source == "node1" else "node1"

    def standby():
        lab.node("node1").run(["crm", "node", "standby", source])
        wait_until(lambda: where() == [destination], 60, f"vm1 on {destination}")
    result = measured(lab, "vm1", standby)
    print(f"  {result}")
    check(result["boot_id_kept"] and result["tcp_kept"], result)
    check(lab.guest("vm1").running_on() == [destination], lab.guest("vm1").states())
    lab.node("node1").run(["crm_standby", "-N", source, "-D"])


def case_pcs_works():
    check("vm1" in lab.node("node2").run(["pcs", "resource"]).stdout, "pcs does not show vm1")


def case_dead_node_is_fenced_before_the_guest_starts_elsewhere():
    guest, source = lab.guest("vm1"), where()[0]
    boot_id = guest.boot_id
    lab.kill(source)
    guest.wait_up(90)
    check(guest.boot_id != boot_id, "the guest lived on without its node")
    asked = [e for e in lab.power_events() if e["what"] == "reboot asked" and e["node"] == source]
    check(asked, f"{source} was never fenced")
    lab.wait_ready(90)


def case_witness():
    check(lab.witness()["ok"], lab.witness())


if __name__ == "__main__":
    sys.exit(run(globals()))
