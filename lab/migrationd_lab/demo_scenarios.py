# SPDX-License-Identifier: GPL-2.0-or-later
"""What lab/demo plays: clusters with the guest vm1 under migrationd or under what one has without it, and the four
scenarios. A scenario does the same whoever has the guest, and asks libvirt, the cluster manager and the storage's
witness how it ended; it never asks migrationd."""

import shutil
import tempfile
import time
import xml.etree.ElementTree as xml
from contextlib import contextmanager
from pathlib import Path

from .errors import LabError
from .lab import Lab
from .measure import measured
from .namespaces import wait_until

MIGRATIOND, OTHER = "migrationd", "VirtualDomain"
VM = "vm1"
XML = f"/etc/libvirt/lab/{VM}.xml"
PRIMITIVE = (f"crm configure primitive {VM} {{agent}} params config={XML} hypervisor=qemu:///system "
             "{transport} meta allow-migrate=true op monitor interval=10 timeout=30 "
             "op start timeout=90 op stop timeout=90 op migrate_to timeout=60 op migrate_from timeout=60")
AGENTS = {MIGRATIOND: "ocf:migrationd:VirtualDomain", OTHER: "ocf:heartbeat:VirtualDomain"}
HARESOURCES = {MIGRATIOND: f"node1 migrationd::{VM}", OTHER: f"node1 {VM}"}
RESOURCE = f"config = {XML}\nhypervisor = qemu:///system\n"
BOTH_RUN = 3  # seconds for which a client sees what two guests with one address are like
LOG = "/var/log/migrationd.out"
INIT_SCRIPT = f"""#!/bin/sh
running() {{ [ "$(virsh domstate {VM} 2>/dev/null)" = running ]; }}
case $1 in
    start) running || virsh create {XML} ;;
    stop)
        running || exit 0
        virsh shutdown {VM}
        for try in $(seq 300); do
            running || exit 0
            sleep 0.1
        done
        virsh destroy {VM}
        ;;
    status) if running; then echo running; else echo stopped; exit 3; fi ;;
esac
"""


class Cluster:
    """A lab in which a cluster manager has the guest, by the agent named in `agent` (MIGRATIOND or OTHER)."""

    def __init__(self, lab, agent):
        self.lab, self.agent = lab, agent

    def run(self, command, **options):
        return self.lab.nodes[0].run(command, **options)

    def where(self):
        """The nodes on which libvirt says that it runs."""
        return [n for n in self.lab.nodes if n.virsh("domstate", VM, check=False).stdout.strip() == "running"]

    def source_and_destination(self):
        nodes = self.where()
        if len(nodes) != 1:
            raise LabError(f"{VM} runs on {nodes or 'no node'} before the scenario begins, not on one")
        return nodes[0], next(n for n in self.lab.nodes if n is not nodes[0])

    def settle(self):
        """Until Pacemaker has nothing left to do."""
        self.run("crm_resource --wait --timeout=90s", check=False, timeout=100)

    def wait_on(self, node):
        wait_until(lambda: self.where() == [node], 120, f"{VM} on {node}", interval=0.25)

    def violations(self):
        """How often the storage's witness saw a second writer."""
        return sum(disk["violation_count"] for disk in self.lab.witness()["disks"])

    def logs(self):
        """The last lines of each node's daemon: for the message when it did not behave."""
        if self.agent != MIGRATIOND:
            return ""
        return "".join(f"\n  {node}: {line}" for node in self.lab.nodes if node.on
                       for line in node.run(["tail", "-n", "6", LOG], check=False).stdout.splitlines())


@contextmanager
def cluster(name, stack, agent, stage):
    """A lab of two nodes whose cluster manager has started the guest; nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="migrationd-demo-") as own:
        if agent == MIGRATIOND:
            shutil.copytree(stage, own, symlinks=True, dirs_exist_ok=True)
            write(own, "etc/migrationd/migrationd.conf", "log_target = stderr\n")
            write(own, f"etc/migrationd/resources/{VM}.conf", RESOURCE)
        else:
            write(own, f"etc/init.d/{VM}", INIT_SCRIPT, 0o755)
        lab = Lab.up(name=name, stack=stack, install=own,
                     haresources=[HARESOURCES[agent]] if stack == "heartbeat" else None)
    with lab:
        now = Cluster(lab, agent)
        if agent == MIGRATIOND:
            for node in lab.nodes:
                wait_until(lambda n=node: linked(n), 20, f"link of {node}'s daemon to its peer")
        if stack == "pacemaker":
            now.run(PRIMITIVE.format(agent=AGENTS[agent], transport="migration_transport=tcp" if agent == OTHER else ""))
        wait_until(now.where, 90, f"the first start of {VM}")
        lab.guest(VM).wait_up(60)
        if stack == "pacemaker":
            now.settle()
        yield now


def write(folder, path, text, mode=0o644):
    target = Path(folder, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


def linked(node):
    said = [line for line in node.run(["cat", LOG], check=False).stdout.splitlines() if "the link to" in line]
    return bool(said) and said[-1].endswith("is up")


def node_standby(now):
    source, destination = now.source_and_destination()
    figures = measured(now.lab, VM, lambda: (now.run(f"crm node standby {source}"), now.wait_on(destination),
                                             now.settle()))
    now.run(f"crm node online {source}")
    now.settle()
    return figures


def heartbeat_stop(now):
    source, destination = now.source_and_destination()
    return measured(now.lab, VM, lambda: (source.run("/etc/init.d/heartbeat stop", timeout=180),
                                          now.wait_on(destination)))


def started_by_hand(now):
    """The resource is stopped; somebody starts the domain with virsh on one node; the cluster is to start it on the
    other. That ends when it runs there alone, or when the storage has seen two of them."""
    source, destination = now.source_and_destination()
    now.run(f"crm resource stop {VM}")
    wait_until(lambda: not now.where(), 100, f"the stop of {VM}")
    now.settle()
    now.run(f"crm configure location demo-there {VM} inf: {destination}")
    now.settle()
    now.lab.guest(VM).start(source)
    before = now.violations()

    def start():
        now.run(f"crm resource start {VM}")
        wait_until(lambda: now.where() == [destination] or now.violations() > before, 120,
                   f"the start of {VM} on {destination}", interval=0.25)
        if now.violations() > before:
            time.sleep(BOTH_RUN)
    return measured(now.lab, VM, start)


def failed_migration(now):
    """Node standby, while the destination refuses the memory's stream until the migration has failed for it."""
    source, destination = now.source_and_destination()
    destination.close_to_migrations()

    def fail_then_open():
        now.run(f"crm node standby {source}")
        wait_until(lambda: failed(now, "migrate_to"), 90, "the failure of migrate_to", interval=0.1)
        destination.open_to_migrations()
        now.wait_on(destination)
        now.settle()
    figures = measured(now.lab, VM, fail_then_open)
    now.run(f"crm node online {source}")
    now.run(f"crm_resource --cleanup -r {VM}")
    now.settle()
    return figures


def failed(now, operation):
    """Whether Pacemaker has recorded a failure of this operation of the guest."""
    said = now.run(["crm_mon", "-1", "--output-as=xml"], check=False)
    if said.returncode != 0:
        return False
    return any(failure.get("op_key", "").startswith(f"{VM}_{operation}_")
               for failure in xml.fromstring(said.stdout).iter("failure"))


# In the order in which they are told. One that may leave two guests on one disk is the last of its cluster.
SCENARIOS = {
    "standby": ("crm node standby, under Pacemaker", "pacemaker", node_standby),
    "heartbeat-stop": ("/etc/init.d/heartbeat stop, under Heartbeat", "heartbeat", heartbeat_stop),
    "failed-migration": ("the migration fails at first, under Pacemaker", "pacemaker", failed_migration),
    "started-by-hand": ("started by hand elsewhere, then by Pacemaker", "pacemaker", started_by_hand),
}
