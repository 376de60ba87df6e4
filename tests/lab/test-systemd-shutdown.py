#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where systemd is pid 1: a node that is switched off hands its domain over before anything stops it, and neither a
restart nor an upgrade of migrationd or of libvirt stops a domain or the cluster manager.

node1 is a machine of its own (lab/README.md), node2 a node as in the other tests; libvirt-guests is enabled and would
shut the domain down. With each kind of machine the guest is started on node2, because booting it on an emulated
machine takes minutes, and moved to node1. MIGRATIOND_MACHINES names the kinds to try, if not all.
"""

import json
import os
import re
import sys

from handoff_lab import PRIMITIVE, check, one_writer, run, up, wait_settled, wait_until

KINDS = {"libvirtd": "true", "virtqemud-without-machined": "false"}  # kind: allow-migrate
POWER_OFF_LIMIT = 150  # seconds; systemd's own limits would be 90 s for one service, 300 s for libvirt-guests
MUST_LIVE = ("qemu-system-x86_64", "corosync", "pacemakerd", "pacemaker-based", "pacemaker-controld", "pacemaker-execd",
             "pacemaker-attrd")


class Machine:
    """The lab with one kind of machine, and what its cases share."""

    def __init__(self, kind, allow_migrate):
        self.kind, self.allow_migrate, self.lab = kind, allow_migrate, None
        self.libvirt = kind.split("-")[0]

    def cases(self):
        steps = (self.a_guest_comes_to_it, self.a_restart_of_migrationd_stops_nothing, self.an_upgrade_stops_nothing,
                 self.stopping_libvirt_stops_nothing, self.poweroff_hands_over_first, self.down)
        return {f"case_{self.kind}_{step.__name__}": step for step in steps}

    def up(self):
        # Where the other tests look for it.
        drop_in = "/usr/lib/systemd/system/migrationd.service.d/lab.conf"
        self.lab = up({drop_in: "[Service]\nStandardError=append:/var/log/migrationd.out\n"}, stack="pacemaker",
                      fencing=False, machines={"node1": self.kind})
        self.machine, self.peer = self.lab.nodes
        self.guest = self.lab.guest("vm1")
        # libvirt's first look at the emulator takes long on an emulated machine; readiness is to be answered in 8 s.
        self.machine.virsh("domcapabilities", "--virttype", "qemu")

    # -- questions -----------------------------------------------------------------------------------------------

    def show(self, unit, *names):
        out = self.machine.run(["systemctl", "show", unit, *(f"-p{name}" for name in names)]).stdout
        return dict(line.split("=", 1) for line in out.splitlines())

    def pids(self):
        """What must live on: {name: pid} of the domain's emulator and of the cluster manager's processes."""
        lines = self.machine.run(["ps", "-eo", "pid=,comm="]).stdout.splitlines()
        processes = [line.split(None, 1) for line in lines]
        found = {name: [pid for pid, comm in processes if comm == name[:15]] for name in MUST_LIVE}
        check(all(len(pids) == 1 for pids in found.values()), f"not one process each: {found}")
        return found

    def wait_known(self):
        """Until the daemon on the machine is linked, sees libvirt, and knows that the domain runs."""
        def known():
            done = self.machine.run(["migrationctl", "status", "--json"], check=False)
            if done.returncode != 0:
                return False
            status = json.loads(done.stdout)
            return (status["hypervisor"] == "answers" and all(peer["linked"] for peer in status["peers"])
                    and any(d["name"] == "vm1" and d["here"] == "running" for d in status["domains"]))
        wait_until(known, 90, "migrationd on the machine is linked, sees libvirt and knows vm1", interval=0.5)

    def same_as(self, pids):
        now = self.pids()
        check(now == pids, f"processes ended: {pids} before, {now} after")
        check(self.guest.wait_up(30)["boot_id"] == self.boot_id, "the guest was restarted")
        failures = self.peer.run("crm_mon -1 --exclude=all --include=failures").stdout
        check("vm1" not in failures, f"Pacemaker saw a failure: {failures}")

    # -- cases ---------------------------------------------------------------------------------------------------

    def a_guest_comes_to_it(self):
        self.up()
        primitive = PRIMITIVE.format(vm="vm1", params="", migrate=self.allow_migrate, start="120")
        self.peer.run(["crm", "configure"], timeout=120, input=primitive.removeprefix("crm configure ")
                      + "\nlocation first vm1 inf: node2\ncommit\n")
        boot_id = self.guest.wait_up(90)["boot_id"]
        wait_settled(self.lab)
        self.peer.run("crm configure delete first; crm_resource --move -r vm1 -N node1")
        wait_until(lambda: self.on_machine(), 120, "vm1 on node1", interval=0.5)
        wait_settled(self.lab)
        self.peer.run("crm_resource --clear -r vm1")
        wait_settled(self.lab)
        check(self.guest.wait_up(30)["boot_id"] == boot_id, "the guest was restarted")
        scopes = self.machine.run("systemctl show --property=Before 'machine-qemu*.scope'").stdout
        wanted = 0 if self.kind.endswith("without-machined") else 1
        check(scopes.count("virt-guest-shutdown.target") == wanted, f"the domain's scopes: {scopes!r}")
        self.boot_id = boot_id

    def on_machine(self):
        return self.machine.virsh("domstate", "vm1", check=False).stdout.strip() == "running"

    def a_restart_of_migrationd_stops_nothing(self):
        pids, before = self.pids(), self.show("migrationd", "MainPID")["MainPID"]
        self.machine.run("systemctl restart migrationd")
        check(self.show("migrationd", "MainPID")["MainPID"] != before, "migrationd was not restarted")
        self.wait_known()
        self.same_as(pids)

    def an_upgrade_stops_nothing(self):
        """As dpkg does it: new files under the old names, then what debhelper's postinst calls."""
        pids, before = self.pids(), self.show("migrationd", "MainPID")["MainPID"]
        self.machine.run("""set -e
            for file in /usr/sbin/migrationd /usr/lib/systemd/system/migrationd.service \\
                    /usr/lib/ocf/resource.d/migrationd/VirtualDomain; do
                cp -p $file $file.dpkg-new
                [ ${file##*.} != service ] || echo "# of the next version" >>$file.dpkg-new
                mv $file.dpkg-new $file
            done
            systemctl daemon-reload
            systemctl try-restart migrationd.service""", timeout=120)
        after = self.show("migrationd", "MainPID", "NeedDaemonReload")
        check(after["MainPID"] != before and after["NeedDaemonReload"] == "no", f"the old one runs on: {after}")
        self.wait_known()
        self.same_as(pids)

    def stopping_libvirt_stops_nothing(self):
        """Also when Pacemaker monitors the domain just then (every 10 s); libvirt needs seconds to come back here."""
        pids, before = self.pids(), self.show("migrationd", "MainPID", "ActiveState")
        self.machine.run(f"systemctl restart {self.libvirt}")
        self.wait_known()
        self.machine.run(f"systemctl stop {self.libvirt}")
        self.wait_known()
        check(self.show("migrationd", "MainPID", "ActiveState") == before, "migrationd went down with libvirt")
        self.same_as(pids)

    def poweroff_hands_over_first(self):
        check(self.show("libvirt-guests", "ActiveState")["ActiveState"] == "active", "libvirt-guests is not active")
        check(self.on_machine(), "vm1 is not on the machine")
        self.machine.run("systemctl poweroff")
        wait_until(lambda: not self.machine.on, POWER_OFF_LIMIT, "the machine is off", interval=0.2)
        state = self.peer.virsh("domstate", "vm1", check=False).stdout.strip()
        check(state == "running", f"vm1 is {state or 'not there'} on node2")
        check(self.guest.wait_up(30)["boot_id"] == self.boot_id, "the guest was restarted")
        one_writer(self.lab)
        self.in_order()
        wait_settled(self.lab)
        check(self.lab.cluster()["unclean"] == [], f"the machine left uncleanly: {self.lab.cluster()}")

    def in_order(self):
        journal = self.machine.journal[self.machine.journal.index("Stopping pacemaker.service"):]
        at = [journal.find(text) for text in (
            "Stopped pacemaker.service", "Stopping migrationd.service", "Stopped migrationd.service",
            "Stopping libvirt-guests.service", "Stopped libvirt-guests.service", "Stopping lab-network.service")]
        check(-1 not in at and at == sorted(at), f"not in order {at}:\n{journal}")
        libvirt = journal.find(f"Stopping {self.libvirt}.service")
        check(libvirt == -1 or libvirt > at[2], f"{self.libvirt} was stopped before migrationd:\n{journal}")
        check("Shutting down guests" not in journal, f"libvirt-guests found a domain:\n{journal}")
        check(not re.search("timed out|SIGKILL|Failed with result", journal), f"not a clean shutdown:\n{journal}")

    def down(self):
        if self.lab:
            self.lab.down()


def main():
    wanted = os.environ.get("MIGRATIOND_MACHINES", " ".join(KINDS)).split()
    machines = [Machine(kind, KINDS.get(kind, "true")) for kind in wanted]
    try:
        return run({name: case for machine in machines for name, case in machine.cases().items()})
    finally:
        for machine in machines:
            machine.down()


if __name__ == "__main__":
    sys.exit(main())
