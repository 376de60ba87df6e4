#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""--install: a tree lies over all nodes, or over one; its migrationd is started at boot as systemd would, restarted
when it dies, left alone when it is stopped; one key on all nodes. The daemon here is a stand-in."""

import shutil
import sys
import time
from pathlib import Path

from lab_test import Lab, LabError, check, labs_folder, name, run, wait_until

DAEMON = """#!/usr/bin/python3
import os, signal, socket, sys, time
print("VERSION", flush=True)
if os.path.exists("/etc/migrationd/broken"):
    sys.exit("configuration is broken")
time.sleep(0.5)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
open("/run/was-ready", "w").close()
while True:
    time.sleep(10)
"""
KEYGEN = """#!/bin/sh
[ "$1" = keygen ] && mkdir -p /etc/migrationd && head -c 32 /dev/urandom | od -An -tx1 >/etc/migrationd/key &&
    chmod 400 /etc/migrationd/key
"""
lab = None


def tree(version):
    """As make install DESTDIR= makes it; also with /lib beside /usr, as --with-systemdsystemunitdir may."""
    folder = Path(labs_folder(), f"{name()}-{version}")
    for path, text in (("usr/sbin/migrationd", DAEMON.replace("VERSION", version)), ("usr/sbin/migrationctl", KEYGEN),
                       ("etc/ha.d/resource.d/from-tree", "#!/bin/sh\n"), ("lib/from-tree", "x")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
        (folder / path).chmod(0o755)
    return folder


def daemon(node):
    return lab.node(node).read("/run/migrationd-lab/migrationd.pid").strip()


def case_up():
    global lab
    old, new = tree("old"), tree("new")
    try:
        lab = Lab.up(name=name(), stack="none", guests=0, install={"*": str(new), "node2": str(old)})
    finally:
        shutil.rmtree(old)
        shutil.rmtree(new)


def case_trees_lie_over_the_nodes():
    one, two = lab.node("node1"), lab.node("node2")
    check("new" in one.read("/var/log/migrationd.out") and "old" in two.read("/var/log/migrationd.out"),
          "node1 and node2 do not have their own versions")
    for node in (one, two):
        node.run(["test", "-x", "/etc/ha.d/resource.d/from-tree", "-a", "-e", "/usr/lib/from-tree"])
        check(node.run(["test", "-e", "/run/was-ready"]).returncode == 0, "boot did not wait for READY=1")
    check(not Path("/usr/lib/from-tree").exists(), "the tree got onto the machine")


def case_one_key():
    keys = {node.read("/etc/migrationd/key") for node in lab.nodes}
    check(len(keys) == 1 and len(keys.pop()) > 60, f"keys: {keys}")
    check(lab.node("node1").run(["stat", "-c%a", "/etc/migrationd/key"]).stdout.strip() == "400", "mode of the key")


def case_killed_daemon_comes_back():
    pid = daemon("node1")
    lab.node("node1").service("kill", "migrationd")
    wait_until(lambda: lab.node("node1").run(["cat", "/run/migrationd-lab/migrationd.pid"], check=False).stdout.strip()
               not in ("", pid), 10, "restart of the killed daemon")


def case_stopped_daemon_stays_away():
    node = lab.node("node1")
    node.service("stop", "migrationd")
    check(node.service("is-active", "migrationd").returncode == 3, "a stopped daemon is active")
    time.sleep(2)
    check(node.service("is-active", "migrationd").returncode == 3, "a stopped daemon came back")
    node.service("start", "migrationd")
    check(node.service("is-active", "migrationd").returncode == 0, "a started daemon is not active")
    pid = daemon("node1")
    node.service("restart", "migrationd")
    check(daemon("node1") != pid, "restart did not restart")


def case_broken_daemon_does_not_stop_the_boot():
    node = lab.node("node2")
    node.write("/etc/migrationd/broken", "")
    try:
        node.service("restart", "migrationd")
        check(False, "the start of a broken daemon succeeded")
    except LabError as e:
        check("migrationd.out" in str(e), f"unclear: {e}")
    lab.kill("node2")
    lab.boot("node2")
    check(node.virsh("list").returncode == 0, "no libvirt on a node with a broken migrationd")


def case_wrong_tree():
    try:
        Lab.up(name=name("w"), stack="none", install="/etc")
        check(False, "/etc was taken for a tree")
    except LabError as e:
        check("DESTDIR" in str(e), f"unclear: {e}")


if __name__ == "__main__":
    sys.exit(run(globals()))
