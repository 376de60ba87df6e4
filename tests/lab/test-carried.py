#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The transport "migrationd": a migration whose libvirt conversation, memory and disks go through the daemons' own connections.
Nothing else listens, QEMU's user gets at none of it but its own, and nothing of it is left, however it ends."""

import contextlib
import re
import sys

from faults_lab import (arrives, boot_id_of, daemon_pid, libvirtd_again, libvirtd_killed, migrating, op_timeout, said_since, since,
                        slow, unharmed)
from handoff_lab import add_vm, check, measured, on, run, standby, unstandby, up, wait_on, wait_settled, wait_until

lab = None
STREAMS = "/run/migrationd.streams"
AS_QEMU = "setpriv --reuid libvirt-qemu --regid libvirt-qemu --clear-groups"
# What a process of QEMU's user gets at: each path that it can list or connect to.
REACHED = """
import os, socket, sys
for path in sys.argv[1:]:
    try:
        os.listdir(path)
        print("lists", path)
    except OSError:
        pass
    try:
        end = socket.socket(socket.AF_UNIX)
        end.settimeout(10)
        end.connect(path)
        print("speaks to" if end.send(b"x" * 64) and end.recv(1) else "is refused by", path)
    except OSError as problem:
        print("is refused by" if isinstance(problem, (ConnectionError, TimeoutError)) else "does not reach", path)
"""


def case_first_start():
    """libvirt listens on its local socket only, as Debian installs it."""
    global lab
    lab = up(stack="pacemaker")
    for node in lab.nodes:
        libvirtd_killed(node)
        node.run("sed -i 's/^listen_tcp.*/listen_tcp = 0/' /etc/libvirt/libvirtd.conf")
        libvirtd_again(node)
    add_vm(lab)
    on(lab)


def listening(node):
    """{program: [where]} of TCP, in the node."""
    found = {}
    for line in node.run("ss -Hltnp").stdout.splitlines():
        program = re.search(r'users:\(\("([^"]+)"', line)
        found.setdefault(program[1] if program else "?", []).append(line.split()[3])
    return found


def sockets(node):
    """Of migrations, as the kernel lists them for everybody."""
    return sorted(set(re.findall(r"(/run/migrationd(?:\.streams)?/\S+)", node.read("/proc/net/unix"))))


def left_behind(node):
    """What is there beyond a daemon at rest."""
    pid = daemon_pid(node)
    pumps = node.run(f"cat /proc/{pid}/task/*/comm").stdout.split().count("stream")
    return {"files": node.run(f"find {STREAMS} /run/migrationd -name '*.sock' -o -path '{STREAMS}/*'").stdout.split(),
            "sockets": sockets(node), "pumps": pumps}


def nothing_left():
    wait_until(lambda: not any(any(left_behind(node).values()) for node in lab.nodes), 30, "an end of all streams")


@contextlib.contextmanager
def on_its_way():
    """In the middle of a push; at its end the guest has arrived, the same as before."""
    source, destination = on(lab)
    before = boot_id_of(lab)
    with slow(lab, source):
        standby(lab, source)
        migrating(source)
        yield source, destination
    arrives(lab, destination)
    wait_settled(lab)
    unstandby(lab, source)
    unharmed(lab, before)


def case_only_the_daemon_listens_during_a_migration():
    with on_its_way() as (source, destination):
        for node in (source, destination):
            found = listening(node)
            check(set(found) <= {"migrationd", "corosync", "pacemaker-remot"} and "migrationd" in found, f"on {node} there listen {found}")
            check(all(where.endswith(":6415") for where in found["migrationd"]), f"the daemon listens at {found['migrationd']}")
        check(left_behind(source)["pumps"] and left_behind(destination)["pumps"], "nothing is carried: this test proves nothing")
    nothing_left()


def case_the_user_of_qemu_reaches_neither_libvirt_nor_another_migration():
    with on_its_way() as (source, destination):
        for node in (source, destination):
            paths = sockets(node)
            check(any("memory.sock" in path for path in paths), f"on {node} there is no socket for the memory: {paths}")
            asked = [STREAMS, "/run/migrationd", *paths, *{path.rsplit("/", 1)[0] for path in paths}]
            got = node.run(f"{AS_QEMU} /usr/bin/python3 -c '{REACHED}' {' '.join(asked)}").stdout
            check("lists" not in got and "speaks to" not in got, f"on {node}, QEMU's user: {got}")
            # At the source its own emulator must be able to connect, so the refusal there is the daemon's.
            for path in paths:
                wanted = "is refused by" if node is source and path.startswith(STREAMS) else "does not reach"
                check(f"{wanted} {path}" in got, f"on {node}, QEMU's user: {got}")
        mark = 0
        check(said_since(source, mark, "tried to get into the migration"), "the source did not say who tried to get in")


def case_a_migration_that_is_broken_leaves_nothing_and_harms_nobody():
    source, destination = on(lab)
    boot = boot_id_of(lab)
    with slow(lab, source):
        standby(lab, source)
        migrating(source)
        libvirtd_killed(destination)
        unharmed_meanwhile = boot_id_of(lab)
        check(unharmed_meanwhile == boot, "the guest was restarted")
        libvirtd_again(destination)
    unstandby(lab, source)
    unharmed(lab, boot)
    nothing_left()


def case_an_abort_leaves_nothing():
    source, destination = on(lab)
    boot = boot_id_of(lab)
    with slow(lab, source):
        lab.nodes[0].run(f"crm_resource --move -r vm1 --node {destination.name}")
        migrating(source)
        mark = since(source)
        source.virsh("domjobabort", "vm1")
        wait_until(lambda: not sockets(source) and not sockets(destination), 30, "the end of the streams")
        check(not said_since(source, mark, "alarm"), "the abort raised an alarm")
    lab.nodes[0].run("crm_resource --clear -r vm1")
    wait_settled(lab)
    unharmed(lab, boot)
    nothing_left()


def case_a_libvirt_that_hangs_at_the_destination_holds_nothing():
    """In the middle of preparing, where an abort does not reach it."""
    source, destination = on(lab)
    boot = boot_id_of(lab)
    hook = "mkdir -p /etc/libvirt/hooks; printf '#!/bin/sh\\n[ \"$2\" != migrate ] || exec sleep 3217\\n' >/etc/libvirt/hooks/qemu; chmod 755 /etc/libvirt/hooks/qemu"
    destination.run(hook)
    libvirtd_killed(destination)
    libvirtd_again(destination)
    op_timeout(lab, "migrate_to", 20)
    mark = since(source)
    lab.nodes[0].run(f"crm_resource --move -r vm1 --node {destination.name}")
    wait_until(lambda: said_since(source, mark, "migrate_to failed"), 40, "the end of migrate_to")
    # By the destination, whose claim is over, or by the source, whose abort does not reach libvirt.
    wait_until(lambda: said_since(source, mark, "migration ended"), 20, "the end of a migration that hangs")
    check(boot_id_of(lab) == boot, "the guest was restarted")
    destination.run("printf '#!/bin/sh\\n' >/etc/libvirt/hooks/qemu; pkill -f '^sleep 3217'")
    lab.nodes[0].run("crm_resource --clear -r vm1")
    op_timeout(lab, "migrate_to", 60)
    wait_settled(lab)
    unharmed(lab, boot)
    nothing_left()


def case_four_streams_and_a_copied_disk():
    for node in lab.nodes:
        node.run("truncate -s 64M /var/lib/libvirt/images/scratch.img; chown libvirt-qemu /var/lib/libvirt/images/scratch.img")
        node.run("""sed -i "s#</devices>#<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/var/lib/libvirt/images/scratch.img'/>"""
                 """<target dev='vdz' bus='virtio'/></disk></devices>#" /etc/libvirt/lab/vm1.xml""")
    node, other = on(lab)
    node.run("crm_resource -r vm1 -p migrate_options -v '--parallel --parallel-connections=4 --copy-storage-all --migrate-disks=vdz'")
    node.run("crm_resource -r vm1 --restart --timeout=60s", timeout=90)
    wait_settled(lab)
    source, destination = on(lab)
    source.run("printf 'written at the source' | dd of=/var/lib/libvirt/images/scratch.img conv=notrunc status=none")
    boot = boot_id_of(lab)
    mark = since(source)
    result = measured(lab, "vm1", lambda: (standby(lab, source), wait_on(lab, destination)))
    check(result["boot_id_kept"] and result["tcp_kept"], f"it was not moved live: {result}")
    ended = [line for line in source.read("/var/log/migrationd.out")[mark:].splitlines() if "the stream (" in line]
    check(sum("(memory)" in line for line in ended) == 5, f"not one memory stream and four parallel ones: {ended}")
    check(any("(disks)" in line for line in ended), f"no stream of the disk: {ended}")
    copied = destination.run("head -c 21 /var/lib/libvirt/images/scratch.img").stdout
    check(copied == "written at the source", f"the copied disk begins with {copied!r}")
    unstandby(lab, source)
    unharmed(lab, boot)
    nothing_left()


if __name__ == "__main__":
    sys.exit(run(globals()))
