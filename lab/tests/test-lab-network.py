#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Links are cut and healed each way, between nodes and to the storage; bandwidth is limited; errors are clear."""

import subprocess
import sys
import time

from lab_test import LAB, Lab, LabError, check, name, run, wait_until

lab = None


def reaches(a, b):
    """Whether one UDP datagram gets from a to b: a ping would need the way back."""
    receiver = lab.node(b).popen(["timeout", "3", "socat", "-u", "UDP-RECV:5555,reuseaddr", "-"],
                                 stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    for _ in range(3):
        lab.node(a).run(f"echo hello | socat -u - UDP-SENDTO:{lab.node(b).address}:5555", check=False)
    try:
        return "hello" in receiver.stdout.readline()
    finally:
        receiver.terminate()
        receiver.wait()


def case_up():
    global lab
    lab = Lab.up(name=name(), stack="none", nodes=3)
    # Neighbour entries that outlive a cut of the way back, as ARP needs both ways.
    for node in lab.nodes:
        for peer in lab.nodes:
            if node is not peer:
                lladdr = lab.node(peer.name).run(["cat", "/sys/class/net/br0/address"]).stdout.strip()
                node.run(["ip", "neigh", "replace", peer.address, "lladdr", lladdr, "dev", "br0"])


def case_one_way_cut():
    lab.cut("node1", "node2", one_way=True)
    check(not reaches("node1", "node2"), "node1 -> node2 was cut and still reaches")
    check(reaches("node2", "node1"), "node2 -> node1 was not cut and does not reach")
    check(reaches("node1", "node3"), "node1 -> node3 was not cut and does not reach")
    lab.heal("node1", "node2", one_way=True)
    check(reaches("node1", "node2"), "node1 -> node2 was healed and does not reach")


def case_cut_both_ways():
    lab.cut("node1", "node2")
    lab.cut("node1", "node2")  # twice is once
    check(not reaches("node1", "node2") and not reaches("node2", "node1"), "a cut leaves a way")
    lab.heal("node2", "node1")
    check(reaches("node1", "node2") and reaches("node2", "node1"), "healed and does not reach")
    lab.heal("node2", "node1")  # nothing to heal is no error


def case_cut_holds_over_a_reboot():
    lab.cut("node2", "node3")
    lab.kill("node3")
    lab.boot("node3")
    check(lab.node("node2").run(["ping", "-c2", "-W1", "node3"], check=False).returncode != 0, "the cut was lost")
    check(lab.node("node1").run(["ping", "-c2", "-W1", "node3"], check=False).returncode == 0, "node3 is unreachable")
    lab.heal_all()
    check(lab.node("node2").run(["ping", "-c2", "-W1", "node3"], check=False).returncode == 0, "heal_all did not heal")
    check(not lab.status()["cuts"], "cuts are left")


def case_cut_from_storage():
    guest = lab.guest("vm1")
    lab.cut("node1", "storage")
    before = lab.witness()["disks"][0]["records"]
    time.sleep(1)
    now = lab.witness()["disks"][0]["records"]
    check(now - before <= 1, f"{now - before} records from a node that is cut from the storage")
    check(guest.ask(), "the guest does not answer any more")
    lab.heal("node1", "storage")
    wait_until(lambda: lab.witness()["disks"][0]["records"] > now, 30, "records after healing")
    check(lab.witness()["ok"], lab.witness())


def speed():
    """MB/s from node1 to node2."""
    receiver = lab.node("node2").popen(["socat", "-u", "TCP-LISTEN:5556,reuseaddr", "/dev/null"])
    wait_until(lambda: ":5556" in lab.node("node2").run("ss -ltnH").stdout, 10, "the receiver")
    started = time.monotonic()
    lab.node("node1").run(f"head -c 10000000 /dev/zero | socat -u - TCP:{lab.node('node2').address}:5556")
    receiver.wait(timeout=30)
    return 10 / (time.monotonic() - started)


def limited_to_5(where):
    """40 mbit/s are 5 MB/s: the bucket lets no more through, however fast this machine is."""
    limited = speed()
    check(limited < 8, f"40 mbit {where} let {limited:.1f} MB/s through")
    return limited


def case_limit():
    lab.limit("node1", "40mbit")
    limited = limited_to_5("at the sender")
    lab.limit("node1", "off")
    check(speed() > 2 * limited, "the limit stayed")
    lab.limit("node2", "40mbit")  # the other end of the way
    limited_to_5("at the receiver")
    lab.kill("node2")
    lab.boot("node2")
    limited = limited_to_5("at the receiver, after its reboot,")
    lab.limit("node2", "off")
    check(speed() > 2 * limited, "the limit stayed")


def case_wrong_words_are_explained():
    for call, word in ((lambda: lab.cut("node1", "node9"), "node9"), (lambda: lab.cut("node1", "node1"), "itself"),
                       (lambda: lab.limit("node1", "fast"), "300mbit"), (lambda: lab.kill("storage"), "storage"),
                       (lambda: lab.node("node7"), "node7"), (lambda: lab.guest("vm9"), "vm9")):
        try:
            call()
        except LabError as e:
            check(word in str(e), f"unclear: {e}")
        else:
            check(False, f"no error that names {word}")
    lab.kill("node3")
    done = subprocess.run([sys.executable, str(LAB / "lab"), "enter", "--name", lab.name, "node3"],
                          capture_output=True, text=True)
    check(done.returncode == 1 and "boot node3" in done.stderr, done.stderr)


if __name__ == "__main__":
    sys.exit(run(globals()))
