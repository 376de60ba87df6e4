# SPDX-License-Identifier: GPL-2.0-or-later
"""What the hand-off's lab tests share: a lab with the freshly built migrationd on its nodes, a guest under the
cluster manager, and questions such as "where does it run" asked of libvirt itself, never of migrationd."""

import os
import pathlib
import shutil
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TOP / "lab/tests"), str(TOP / "lab")]

from lab_test import Lab, check, name, run, wait_until  # noqa: E402
from migrationd_lab.measure import measured  # noqa: E402

__all__ = ["Lab", "check", "measured", "name", "run", "wait_until", "up", "add_vm", "where", "wait_on", "on",
           "standby", "unstandby", "linked", "wait_settled", "log_of", "kept_live", "one_writer"]

PRIMITIVE = ("crm configure primitive {vm} ocf:migrationd:VirtualDomain params config=/etc/libvirt/lab/{vm}.xml "
             "hypervisor=qemu:///system {params} meta allow-migrate={migrate} "
             "op monitor interval=10 timeout=30 op start timeout={start} op stop timeout=90 "
             "op migrate_to timeout=60 op migrate_from timeout=60")


def up(files={}, **settings):
    """A lab with migrationd installed, plus `files` (path: text); its log in full on the nodes' /var/log/migrationd.out.
    Returns when all daemons are linked."""
    stage = os.environ.get("MIGRATIOND_STAGE")
    if not stage:
        raise SystemExit("MIGRATIOND_STAGE is not set: run this test through tests/run, or name a make install "
                         "DESTDIR tree in it")
    with tempfile.TemporaryDirectory(prefix="migrationd-test-") as folder:
        shutil.copytree(stage, folder, symlinks=True, dirs_exist_ok=True)
        config = {"/etc/migrationd/migrationd.conf": "log_level = debug\nlog_target = stderr\n"}
        for path, text in {**config, **files}.items():
            target = pathlib.Path(folder + path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        lab = Lab.up(name=name(), install=folder, **settings)
    try:
        for node in lab.nodes:
            wait_until(lambda: linked(node, [n for n in lab.nodes if n is not node]), 20, f"links of {node.name}")
    except BaseException:
        lab.down()  # the test that would take it down does not have it yet
        raise
    return lab


def linked(node, peers):
    """Whether the last word of the node's daemon on each link is that it is up."""
    lines = log_of(node).splitlines()
    last = {p.name: [line for line in lines if f"the link to {p.name} is" in line][-1:] for p in peers}
    return all(line and line[0].endswith("is up") for line in last.values())


def add_vm(lab, vm="vm1", params="", migrate="true", start="60"):
    node = lab.nodes[0]
    node.run(PRIMITIVE.format(vm=vm, params=params, migrate=migrate, start=start))
    wait_until(lambda: where(lab, vm), 60, f"first start of {vm}")
    lab.guest(vm).wait_up(60)
    wait_settled(lab)


def where(lab, vm="vm1"):
    """The nodes on which libvirt says that it runs."""
    return [n.name for n in lab.nodes if n.on and n.virsh("domstate", vm, check=False).stdout.strip() == "running"]


def on(lab, vm="vm1"):
    nodes = where(lab, vm)
    check(len(nodes) == 1, f"{vm} runs on {nodes}, not on one node")
    return lab.node(nodes[0]), next(n for n in lab.nodes if n.name != nodes[0])


def wait_settled(lab, timeout=90):
    """Until Pacemaker has nothing left to do."""
    node = next(n for n in lab.nodes if n.on)
    node.run(f"crm_resource --wait --timeout={timeout}s", check=False, timeout=timeout + 10)


def wait_on(lab, node, vm="vm1", timeout=90):
    wait_until(lambda: where(lab, vm) == [node.name], timeout, f"{vm} on {node.name}")
    wait_settled(lab)
    check(where(lab, vm) == [node.name], f"{vm} runs on {where(lab, vm)} after it came to {node.name}")


def standby(lab, node):
    lab.nodes[0].run(f"crm_standby -N {node.name} -v on")


def unstandby(lab, node):
    lab.nodes[0].run(f"crm_standby -N {node.name} -D")
    wait_settled(lab)


def log_of(node):
    return node.read("/var/log/migrationd.out")


def kept_live(result):
    check(result["boot_id_kept"], f"the guest was restarted: {result}")
    check(result["tcp_kept"], f"the TCP connection broke: {result}")


def one_writer(lab):
    verdict = lab.witness()
    check(verdict["ok"], f"the storage saw two writers: {verdict}")
