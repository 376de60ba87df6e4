#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab leaves nothing behind: after down, after an interrupted up, after a kill -9 of up. Two labs do not meet."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

from lab_test import LAB, Lab, all_labs, check, labs_folder, machine_state, name, run, take_down, traces, wait_until
from migrationd_lab.namespaces import members

COMMAND = [sys.executable, str(LAB / "lab")]


def started_up(lab_name, *options):
    return subprocess.Popen([*COMMAND, "up", "--name", lab_name, *options], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, start_new_session=True)


def check_gone(lab_name, when):
    left = traces(lab_name)
    check(not left, f"{when}: left behind: {'; '.join(left[:5])}")


def case_up_and_down_leave_nothing():
    before = machine_state()
    lab = Lab.up(name=name(), stack="pacemaker")
    inside = members(lab.rack_process().pid)
    check(len(inside) > 20, f"only {len(inside)} processes in a lab of two nodes")
    check(traces(lab.name), "the search for traces does not even see a running lab")
    # Somebody in a node, one in the client's network, while it goes down.
    visitors = [lab.node("node1").popen(["sleep", "1000"]), lab.client.popen(["sleep", "1000"])]
    lab.down()
    check_gone(lab.name, "after down")
    for visitor in visitors:
        visitor.wait(timeout=5)
    after = machine_state()
    for what, state in before.items():
        changed = state ^ after[what]
        check(not changed, f"the machine's {what} changed: {sorted(changed, key=str)[:4]}")


def case_interrupted_up_leaves_nothing():
    for number, delay in ((signal.SIGINT, 0.4), (signal.SIGTERM, 0.6), (signal.SIGINT, 0.75), (signal.SIGTERM, 0.9),
                          (signal.SIGINT, 1.5), (signal.SIGTERM, 4)):
        up = started_up(name("i"))
        time.sleep(delay)
        os.kill(up.pid, number)
        _, said = up.communicate(timeout=60)
        check(up.returncode == 128 + number, f"up ended by {number} after {delay} s returned {up.returncode}: {said}")
        check_gone(name("i"), f"up ended by {number} after {delay} s")


def case_down_after_up_was_killed():
    for delay in (0.3, 0.65, 0.8, 1.2, 3, random.uniform(0.3, 2)):
        up = started_up(name("k"))
        time.sleep(delay)
        os.kill(up.pid, signal.SIGKILL)
        up.communicate()
        done = subprocess.run([*COMMAND, "down", "--name", name("k")], capture_output=True, text=True, timeout=60)
        check(done.returncode == 0, f"down after a kill -9 of up at {delay:.2f} s: {done.stderr}")
        check_gone(name("k"), f"kill -9 of up at {delay:.2f} s, then down")


def case_down_after_the_rack_was_killed():
    lab = Lab.up(name=name("r"), stack="none", guests=0)
    lab.rack_process().kill()
    wait_until(lambda: len(traces(lab.name)) <= 1, 5, lambda: f"end of {traces(lab.name)}")
    take_down(lab.name)
    check_gone(lab.name, "rack killed, then down")


def case_down_without_settings():
    lab = Lab.up(name=name("s"), stack="none", guests=0)
    (lab.folder / "lab.json").unlink()
    check(lab.name in all_labs(), "a half-built lab is not listed")
    done = subprocess.run([*COMMAND, "down", "--name", lab.name], capture_output=True, text=True)
    check(done.returncode == 0, done.stderr)
    check_gone(lab.name, "lab.json lost, then down")


def case_a_failing_up_leaves_nothing():
    tree = labs_folder() / f"{name()}-tree"
    (tree / "usr/sbin").mkdir(parents=True)
    (tree / "usr/sbin/libvirtd").write_text("#!/bin/sh\nexit 1\n")
    (tree / "usr/sbin/libvirtd").chmod(0o755)
    try:
        up = started_up(name("f"), "--install", str(tree))
        _, said = up.communicate(timeout=120)
    finally:
        shutil.rmtree(tree)
    check(up.returncode == 1 and "node" in said, f"up with a broken libvirtd returned {up.returncode}: {said}")
    check_gone(name("f"), "a failed up")


def case_two_labs_side_by_side():
    with Lab.up(name=name("a"), stack="none") as a:
        with Lab.up(name=name("b"), stack="none") as b:
            first, second = a.guest("vm1").boot_id, b.guest("vm1").boot_id
            check(first != second, "both labs' vm1 answer with one boot id")
            a.cut("node1", "node2")
            check(b.node("node1").run(["ping", "-c1", "-W2", "node2"], check=False).returncode == 0,
                  "a cut in one lab cuts the other")
            a.kill("node2")
            check(b.node("node2").on, "a kill in one lab kills in the other")
        check_gone(b.name, "second lab down")
        check(a.guest("vm1").boot_id == first, "the first lab's guest did not survive the second lab's end")
        check(a.witness()["ok"], "two writers")


if __name__ == "__main__":
    sys.exit(run(globals()))
