#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What an administrator can do wrong to the real daemon: each gets a clear reason and the right OCF code, nothing is
lost, and "not running" is never said of what can't be told."""

import sys

from faults_lab import (arrives, back_to_normal, boot_id_of, daemon_again, ready_count, said_since, since, unharmed)
from handoff_lab import (add_vm, check, linked, log_of, on, one_writer, run, standby, up, wait_settled, wait_until,
                         where)

lab = None
AGENT = "/usr/lib/ocf/resource.d/migrationd/VirtualDomain"
DIRECT = "migrationd --direct"
ERROR, NOT_INSTALLED, NOT_CONFIGURED = 1, 5, 6
ODD_NAME = "web ä€ \"quoted\" 'n' <b>&amp; 100%, a=b; $(reboot) `x` \\"


def agent(node, action, timeout_ms=20000, program=AGENT, resource="bad", **parameters):
    """The agent's code and reason, run as Pacemaker runs it."""
    words = [f"OCF_RESKEY_{name}={value}" for name, value in parameters.items()]
    done = node.run(["env", "OCF_ROOT=/usr/lib/ocf", f"OCF_RESOURCE_INSTANCE={resource}", "OCF_RA_VERSION_MAJOR=1",
                     f"OCF_RESKEY_CRM_meta_timeout={timeout_ms}", *words, *program.split(), action], check=False)
    return done.returncode, done.stderr


def refused(node, wanted, said, **parameters):
    """By the daemon, and by migrationd --direct in its place, with the same code."""
    for program, action in ((AGENT, "validate-all"), (AGENT, "start"), (AGENT, "monitor"), (DIRECT, "monitor")):
        code, reason = agent(node, action, program=program, **parameters)
        told = f"{program} {action} with {parameters}"
        check(code == wanted, f"{told} ended with {code}, not {wanted}: {reason}")
        check("ocf-exit-reason:" in reason and said in reason, f"{told} says {reason!r}")


def case_first_start():
    global lab
    lab = up(stack="pacemaker", guests=2)
    add_vm(lab)
    on(lab)


def case_broken_definitions():
    node = lab.nodes[0]
    good = node.read("/etc/libvirt/lab/vm2.xml")
    broken = {"half": good[:len(good) // 2], "empty": "", "text": "hello", "zeros": "\0" * 4096,
              "other": "<network><name>vm2</name></network>", "no-name": good.replace("<name>vm2</name>", ""),
              "entities": '<!DOCTYPE d [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><domain><name>&c;</name></domain>'}
    for kind, text in broken.items():
        node.write(f"/root/{kind}.xml", text)
        refused(node, NOT_INSTALLED, f"/root/{kind}.xml", config=f"/root/{kind}.xml")
    refused(node, NOT_INSTALLED, "/root/missing.xml", config="/root/missing.xml")
    refused(node, NOT_INSTALLED, "/etc/libvirt", config="/etc/libvirt")
    refused(node, NOT_INSTALLED, "says 'vm1'", config="/etc/libvirt/lab/vm2.xml", name="vm1")
    check(where(lab, "vm2") == [], "something was started")


def case_a_domain_that_is_only_called_like_the_resource_is_left_alone():
    """Pacemaker stops what it could not start; nothing was ever here, and a stranger must not end for its name."""
    node = lab.nodes[0]
    node.write("/root/stranger.xml", node.read("/etc/libvirt/lab/vm2.xml").replace("<name>vm2</name>", "<name>stranger</name>"))
    node.virsh("create", "/root/stranger.xml")
    missing = {"config": "/root/missing.xml"}
    contradicted = {"config": "/etc/libvirt/lab/vm2.xml", "name": "stranger"}
    for resource, parameters in (("stranger", missing), ("other", contradicted)):
        code, reason = agent(node, "start", resource=resource, **parameters)
        check(code == NOT_INSTALLED, f"start with {parameters} ended with {code}: {reason}")
        for program in (AGENT, DIRECT):
            code, reason = agent(node, "stop", program=program, resource=resource, **parameters)
            check(code == 0, f"{program} stop with {parameters} ended with {code}: {reason}")
            check(node.virsh("domstate", "stranger").stdout.strip() == "running", f"{program} stop ended a stranger")
    node.virsh("destroy", "stranger")


def case_wrong_parameters():
    node, config = lab.nodes[0], "/etc/libvirt/lab/vm2.xml"
    refused(node, NOT_CONFIGURED, "handof", config=config, handof="on")
    refused(node, NOT_CONFIGURED, "handoff", config=config, handoff="perhaps")
    refused(node, NOT_CONFIGURED, "config")
    refused(node, NOT_CONFIGURED, "handoff_timeout", config=config, handoff_timeout="-5")
    check(where(lab, "vm2") == [], "something was started")


def case_a_key_that_others_can_read():
    node, _ = on(lab)
    before, lives = boot_id_of(lab), ready_count(node)
    node.service("stop", "migrationd")
    node.run("chmod 0444 /etc/migrationd/key")
    refused_start = node.run("migrationd", check=False, timeout=20)
    check(refused_start.returncode != 0, "migrationd starts with a key that everybody can read")
    check("chmod 0400 /etc/migrationd/key" in refused_start.stderr,
          f"it does not say what to do: {refused_start.stderr}")
    code, reason = agent(node, "monitor", config="/etc/libvirt/lab/vm1.xml")
    check(code == 0, f"without its daemon a running domain's monitor ends with {code}: {reason}")
    node.run("chmod 0400 /etc/migrationd/key")
    node.service("start", "migrationd")
    daemon_again(node, lives)
    check(unharmed(lab, before) == node, "the guest was moved")


def case_a_peer_with_another_key():
    node, other = on(lab)
    before, mark = boot_id_of(lab), since(node)
    other.run("mv /etc/migrationd/key /root/key && migrationctl keygen")
    lives = ready_count(other)
    other.service("restart", "migrationd")
    daemon_again(other, lives)
    for one, peer in ((node, other), (other, node)):
        wait_until(lambda: not linked(one, [peer]), 30, f"{one.name} without a link to {peer.name}")
    wait_until(lambda: said_since(node, mark, "key"), 30, "the log to name the key")
    code, reason = agent(other, "start", 8000, config="/etc/libvirt/lab/vm1.xml", hypervisor="qemu:///system")
    check(code == ERROR and f"no proof that it does not run on {node.name}" in reason, f"start: {code}, {reason}")
    check(where(lab) == [node.name], f"vm1 runs on {where(lab)}")
    other.run("mv -f /root/key /etc/migrationd/key")
    lives = ready_count(other)
    other.service("restart", "migrationd")
    daemon_again(other, lives)
    check(unharmed(lab, before) == node, "the guest was moved")


def case_a_name_with_everything_in_it():
    """Started, found by monitor, moved live and stopped as any other."""
    guest = lab.guest("vm2")
    escaped = ODD_NAME.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    config = "/etc/libvirt/lab/odd näme.xml"
    for node in lab.nodes:
        node.write(config, node.read("/etc/libvirt/lab/vm2.xml").replace("<name>vm2</name>", f"<name>{escaped}</name>"))
    lab.nodes[0].run(["crm", "configure", "primitive", "odd", "ocf:migrationd:VirtualDomain", "params",
                      f"config={config}", "migration_transport=tcp", "meta", "allow-migrate=true", "op", "start",
                      "timeout=60", "op", "stop", "timeout=60", "op", "monitor", "interval=10", "timeout=30"])
    wait_until(lambda: where(lab, guest.uuid), 60, "the start")
    before = guest.wait_up(120)["boot_id"]
    source, destination = on(lab, guest.uuid)
    check(source.virsh("domname", guest.uuid).stdout.strip() == ODD_NAME, "it has another name")
    status = source.run(["migrationctl", "status"]).stdout
    check(ODD_NAME in status, f"status does not name it: {status}")
    standby(lab, source)
    arrives(lab, destination, guest.uuid)
    back_to_normal(lab)
    wait_settled(lab)
    check(guest.wait_up(60)["boot_id"] == before, "it was restarted")
    failed = lab.nodes[0].run("crm_mon -1 --exclude=all --include=failures").stdout
    check("odd" not in failed, f"Pacemaker saw a failure: {failed}")
    lab.nodes[0].run("crm_resource -r odd --meta -p target-role -v Stopped")
    wait_until(lambda: not where(lab, guest.uuid), 60, "the stop")
    wait_settled(lab)
    one_writer(lab)


def case_names_that_libvirt_refuses():
    node = lab.nodes[0]
    good = node.read("/etc/libvirt/lab/vm2.xml")
    for kind, bad in (("slash", "a/b"), ("long", "n" * 300)):
        node.write(f"/root/{kind}.xml", good.replace("<name>vm2</name>", f"<name>{bad}</name>"))
        code, reason = agent(node, "start", config=f"/root/{kind}.xml")
        check(code == ERROR and "ocf-exit-reason:" in reason, f"{kind}: {code}, {reason}")
    check(where(lab, "vm2") == [], "something was started")


def case_a_name_of_two_lines():
    """libvirt takes it. What we print stays a line each."""
    node = lab.nodes[0]
    node.write("/root/lines.xml", node.read("/etc/libvirt/lab/vm2.xml").replace("<name>vm2</name>",
                                                                              "<name>one&#10;two</name>"))
    for action, wanted in (("start", 0), ("monitor", 0), ("stop", 0), ("monitor", 7)):
        code, reason = agent(node, action, timeout_ms=60000, config="/root/lines.xml")
        check(code == wanted, f"{action} ended with {code}: {reason}")
        told = node.run(["migrationctl", "status"]).stdout + log_of(node)
        broken = [line for line in told.splitlines() if line.startswith("two")]
        check(not broken, f"after {action}: the name breaks a line: {broken[:2]}")
    check("one" in log_of(node), "the log does not name it")


def case_ocf_tester_with_a_real_guest():
    """Starts, stops and asks for vm2, which is no resource of the cluster."""
    node = lab.nodes[0]
    tested = node.run(["ocf-tester", "-n", "vm2", "-o", "config=/etc/libvirt/lab/vm2.xml", AGENT], check=False, timeout=300)
    check(tested.returncode == 0 and "passed all tests" in tested.stdout, f"ocf-tester: {tested.stdout} {tested.stderr}")
    # It ends with migrate_from, which starts what is proven to run nowhere.
    code, reason = agent(node, "stop", 60000, resource="vm2", config="/etc/libvirt/lab/vm2.xml")
    check(code == 0 and not where(lab, "vm2"), f"stop: {code}, {reason}; vm2 runs on {where(lab, 'vm2')}")


def case_down():
    lab.down()


if __name__ == "__main__":
    sys.exit(run(globals()))
