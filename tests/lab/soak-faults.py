#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Many moves, each struck by a random fault at a random moment: daemons, libvirtd, QEMU and agents killed, links cut both ways and one way,
nodes killed, jobs aborted; by push (migrate_to) and by pull (stop, start), on a fast and on a slow network. After each the verdict is the
faults' usual one: one instance, one writer, and a guest that was not killed is the same guest with all its memory.

    make soak                    200 rounds, with a seed of the clock's
    tests/lab/soak-faults.py --rounds 20 --seed 7

By hand: it takes about 20 s a round. The first round that fails ends it, and says what to repeat."""

import argparse
import collections
import random
import sys
import time

from faults_lab import (back_to_normal, boot_id_of, busy, daemon_killed, daemon_pid, emulators_as_root, meta, move_over, move_to, nodes_online,
                        op_timeout, reason, said_since, settled, since)
from handoff_lab import add_vm, check, linked, on, one_writer, up, wait_settled, wait_until, where

from lab_test import tell_logs  # after handoff_lab, which finds it
from migrationd_lab import LabError
from migrationd_lab.lab import end_on_signals

NETWORKS = {"fast": "off", "slow": "100mbit"}
MOMENTS = {"fast": 3.0, "slow": 12.0}  # seconds after the order within which the fault comes
LONGEST_CUT = 12.0  # from a flicker to a split with fencing
POST_COPY_LASTS = 10.0  # seconds after the switch within which the fault comes


def pid_of_guest(node):
    return node.run("cat /run/libvirt/qemu/vm1.pid", check=False).stdout.strip()


class Round:
    """One move and one fault. killed_on: the node whose guest, or copy of it, the fault killed. post_copy: the guest writes faster than
    the network carries, and consents to post-copy."""

    def __init__(self, lab, chance, post_copy):
        self.lab = lab
        self.source, self.destination = on(lab)
        self.post_copy = post_copy
        self.push = chance.random() < 0.5
        self.network = "slow" if post_copy else chance.choice(list(NETWORKS))
        self.switched = post_copy and chance.random() < 0.7  # the fault comes after the switch
        self.after = chance.uniform(0, POST_COPY_LASTS if self.switched else MOMENTS[self.network])
        self.cut_for = chance.choice((chance.uniform(0.1, 1), chance.uniform(1, LONGEST_CUT)))
        self.where = chance.choice(("source", "destination"))
        self.fault = chance.choice([name[6:] for name in dir(self) if name.startswith("fault_")])
        self.killed_on = None
        self.mark, self.source_mark = since(self.destination), since(self.source)

    def __str__(self):
        return (f"{'push' if self.push else 'pull'} {self.source.name} -> {self.destination.name}, {self.network}; after {self.after:.2f} s{' of post-copy' if self.switched else ''}: "
                f"{self.fault.replace('_', ' ')} ({self.where})")

    @property
    def node(self):
        return self.source if self.where == "source" else self.destination

    @property
    def given(self):
        """Whether the destination has got it live."""
        return said_since(self.destination, self.mark, " given ") and said_since(self.destination, self.mark, "claim -> held")

    # -- faults ---------------------------------------------------------------------------------------------------

    def fault_none(self):
        pass

    def fault_daemon_killed(self):
        daemon_killed(self.node)

    def fault_libvirtd_killed(self):
        self.node.service("kill", "libvirtd")
        self.node.service("start", "libvirtd")

    def fault_both_daemons_killed(self):
        for node in (self.source, self.destination):
            daemon_killed(node)

    def fault_emulator_killed(self):
        pid = pid_of_guest(self.node)
        if pid:
            self.killed_on = self.node
            self.node.run(f"kill -KILL {pid}", check=False)

    def fault_agent_killed(self):
        self.node.run("pkill -KILL -f resource.d/migrationd/VirtualDomain", check=False)

    def fault_job_aborted(self):
        self.source.virsh("domjobabort", "vm1", check=False)

    def fault_link_cut(self):
        self.cut(one_way=False)

    def fault_link_cut_one_way(self):
        self.cut(one_way=True)

    def cut(self, one_way):
        pair = (self.source.name, self.destination.name) if self.where == "source" else (self.destination.name, self.source.name)
        shot = len(self.lab.power_events())
        self.lab.cut(*pair, one_way=one_way)
        time.sleep(self.cut_for)
        self.lab.heal(*pair, one_way=one_way)
        nodes_online(self.lab)
        for event in self.lab.power_events()[shot:]:
            self.killed_on = self.lab.node(event["node"])

    def fault_node_killed(self):
        self.killed_on = self.node
        self.lab.kill(self.node.name)
        nodes_online(self.lab)

    # -- the round ------------------------------------------------------------------------------------------------

    def play(self):
        """How it ended, in a word. AssertionError or LabError: badly."""
        lab, guest = self.lab, self.lab.guest("vm1")
        before = boot_id_of(lab)
        meta(lab, "allow-migrate", str(self.push).lower())
        if self.post_copy:
            busy(lab, self.source, 100, 70, 28)
        else:
            guest.dirty(8, 4)
            lab.limit(self.source.name, NETWORKS[self.network])
        try:
            move_to(lab, self.destination)
            if self.switched:
                wait_until(lambda: "post-copy" in reason(self.destination) or self.given, 120, "the guest to go over to post-copy", interval=0.02)
            time.sleep(self.after)  # the moment is the matter: whatever is under way then is struck
            getattr(self, f"fault_{self.fault}")()
            return self.verdict(before)
        finally:
            lab.limit(self.source.name, "off")

    def verdict(self, before):
        lab = self.lab
        wait_until(lambda: all(daemon_lives(n) for n in lab.nodes), 60, "all daemons")
        settled(lab)
        wait_until(lambda: where(lab), 120, "the guest somewhere")
        settled(lab)
        node, _ = on(lab)
        now = lab.guest("vm1").wait_up(60)
        one_writer(lab)
        lab.guest("vm1").dirty(0)
        move_over(lab)
        back_to_normal(lab)
        if now["boot_id"] != before and self.fault != "none" and said_since(self.source, self.source_mark, "has gone over to post-copy"):
            return "restarted, as it was in post-copy"
        if now["boot_id"] != before:
            check(self.killed_on is not None, f"vm1 was restarted though nothing killed it; it runs on {node.name} now")
            ran_on = self.destination if self.given else self.source
            check(self.killed_on is ran_on, f"vm1 was restarted though it ran on {ran_on.name}, and the fault killed what was on {self.killed_on.name}")
            return "restarted, as it was killed"
        check(now["lost"] == "0", f"vm1 lost what it had written to {now['lost']} pages")
        return "moved live" if node.name == self.destination.name else "stayed where it was"


def daemon_lives(node):
    try:
        return bool(daemon_pid(node)) and linked(node, [])
    except (AssertionError, LabError):
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--post-copy", action="store_true", help="a guest that writes faster than the network carries, and consents to post-copy")
    args = parser.parse_args()
    end_on_signals()
    chance = random.Random(args.seed)
    ends = collections.Counter()
    lab = up(stack="pacemaker", **({"guest_memory": 160} if args.post_copy else {}))
    with lab:
        if args.post_copy:
            emulators_as_root(lab)
        add_vm(lab, params="postcopy=yes auto_converge=no" if args.post_copy else "")
        if args.post_copy:
            op_timeout(lab, "migrate_to", 120)
        for number in range(1, args.rounds + 1):
            one = Round(lab, chance, args.post_copy)
            begun = time.monotonic()
            try:
                ends[how := one.play()] += 1
            except (AssertionError, LabError) as e:
                print(f"FAIL round {number} of seed {args.seed} ({one}): {e}", flush=True)
                tell_logs(f"seed-{args.seed}-round-{number}")
                return 1
            print(f"round {number}: {one}: {how} ({time.monotonic() - begun:.0f} s)", flush=True)
    print(f"{args.rounds} rounds, seed {args.seed}: " + ", ".join(f"{how}: {count}" for how, count in sorted(ends.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
