#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that ends by itself under Pacemaker, with a monitor every 10 s: migrationd and ocf:heartbeat:VirtualDomain in turn, each with a
guest of its own. Four times of each, in the words of the availability literature: reaction, from the end until the cluster manager
begins to act; repair, from there until an emulator of it runs again; recovery, from the reaction until the guest answers again;
outage, from the end until it answers again."""

import datetime
import random
import re
import sys
import time

from bench_lab import arguments, ratios, run, settle, told, wait_until

AGENTS = {"vm1": "ocf:migrationd:VirtualDomain", "vm2": "ocf:heartbeat:VirtualDomain"}
MONITOR = 10  # seconds
TIMES = ("reaction", "repair", "recovery", "outage")


def killed(lab, vm):
    """kill -9 of its emulator"""
    (name,) = lab.guest(vm).running_on()
    lab.node(name).run(f"kill -KILL $(cat /run/libvirt/qemu/{vm}.pid)")


def powered_off(lab, vm):
    """power-off from inside"""
    lab.guest(vm).ask("/poweroff", check=False)


def first_act(lab, vm, since):
    """When Pacemaker on any node began a stop or start of it, after `since` (seconds of the epoch); nothing: not yet."""
    acts = []
    for node in lab.nodes:
        for line in node.read("/var/log/pacemaker/pacemaker.log").splitlines():
            found = re.match(rf"(\w+ +\d+ [\d:.]+) .* executing - rsc:{vm} action:(?:stop|start) ", line)
            if found:
                when = datetime.datetime.strptime(f"{datetime.date.today().year} {found[1]}", "%Y %b %d %H:%M:%S.%f").timestamp()
                if when >= since:
                    acts.append(when)
    return min(acts, default=None)


def failure(lab, vm, end, chance):
    """Its four times in seconds. The moment is a random one between two monitors."""
    guest = lab.guest(vm)
    before = guest.wait_up(60)["boot_id"]
    pid = emulator(lab, vm)  # of before
    time.sleep(chance.uniform(0, MONITOR))
    ended = time.time()
    end(lab, vm)
    wait_until(lambda: emulator(lab, vm) not in (pid, None), 120, f"{vm} to be started again", interval=0.02)
    runs = time.time()
    wait_until(lambda: (said := guest.ask(check=False, timeout=0.2)) and said["boot_id"] != before, 120, f"{vm} to answer", interval=0.02)
    back = time.time()
    acted = first_act(lab, vm, ended)
    settle(lab)
    lab.nodes[0].run(f"crm_resource --cleanup -r {vm}")
    settle(lab)
    return dict(zip(TIMES, (acted - ended, runs - acted, back - acted, back - ended)))


def emulator(lab, vm):
    """Node and pid of what runs."""
    for node in lab.nodes:
        pid = node.run(f"p=$(cat /run/libvirt/qemu/{vm}.pid) && kill -0 $p && echo $p", check=False).stdout.strip()
        if pid:
            return node.name, pid
    return None


def bench(lab, pairs):
    chance = random.Random(1)
    for end in (killed, powered_off):
        found = {vm: [] for vm in AGENTS}
        for i in range(pairs):
            for vm in AGENTS if i % 2 == 0 else reversed(AGENTS):
                found[vm].append(failure(lab, vm, end, chance))
                print(f"round {i + 1} of {pairs}, {end.__doc__}: {AGENTS[vm]}: " +
                      ", ".join(f"{what} {seconds:.2f} s" for what, seconds in found[vm][-1].items()), flush=True)
        print(f"\n{end.__doc__}:")
        for what in TIMES:
            each = {vm: [one[what] for one in found[vm]] for vm in AGENTS}
            for vm in AGENTS:
                print(f"  {what:9} {AGENTS[vm]:28} {told(each[vm], 's')}")
            print(f"  {what:9} migrationd / VirtualDomain    {ratios(each['vm1'], each['vm2'])}\n")


if __name__ == "__main__":
    args = arguments(__doc__, pairs=5)
    sys.exit(run(lambda lab: bench(lab, args.pairs), args.stage, AGENTS, monitor=MONITOR))
