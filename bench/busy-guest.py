#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A planned move under Pacemaker (crm resource move) of a guest that writes to its memory 1.5 times as fast as the network carries
it: migrationd and ocf:heartbeat:VirtualDomain with its defaults in turn, each with a guest of its own, migrate_to timeout=120."""

import sys
import time

from bench_lab import arguments, run, settle, told, wait_until
from migrationd_lab.measure import measured

AGENTS = {"vm1": "ocf:migrationd:VirtualDomain", "vm2": "ocf:heartbeat:VirtualDomain"}
NETWORK = 160  # Mbit/s, about 18 MiB/s of memory
WRITES, SET = 28, 70  # MiB/s; MiB that it writes to, over and over


def move(lab, vm):
    (source,) = lab.guest(vm).running_on()
    destination = next(n for n in lab.nodes if n.name != source)
    took = []

    def go():
        begun = time.monotonic()
        lab.nodes[0].run(f"crm_resource --move -r {vm} --node {destination.name}")
        wait_until(lambda: lab.guest(vm).running_on() == [destination.name], 300, f"{vm} on {destination.name}", interval=0.25)
        lab.guest(vm).wait_up(60)
        took.append(time.monotonic() - begun)
    lab.guest(vm).dirty(SET, WRITES)
    lab.limit(source, f"{NETWORK}mbit")
    try:
        figures = measured(lab, vm, go)
    finally:
        lab.limit(source, "off")
    lab.guest(vm).dirty(0)
    settle(lab)
    lab.nodes[0].run(f"crm_resource --clear -r {vm}; crm_resource --cleanup -r {vm}")
    settle(lab)
    return {**figures, "seconds": took[0]}


def bench(lab, pairs):
    found = {vm: [] for vm in AGENTS}
    for i in range(pairs):
        for vm in AGENTS if i % 2 == 0 else reversed(AGENTS):
            one = move(lab, vm)
            found[vm].append(one)
            print(f"round {i + 1} of {pairs}: {AGENTS[vm]}: {'moved live' if one['boot_id_kept'] else 'restarted'} in "
                  f"{one['seconds']:.0f} s, longest ping gap {one['longest_gap_ms']} ms", flush=True)
    for vm, each in found.items():
        print(f"\n{AGENTS[vm]}: moved live {sum(f['boot_id_kept'] for f in each)} of {len(each)} times")
        print(f"  longest ping gap  {told([f['longest_gap_ms'] for f in each], 'ms')}")
        print(f"  until it was there {told([f['seconds'] for f in each], 's')}")


if __name__ == "__main__":
    args = arguments(__doc__, pairs=3)
    sys.exit(run(lambda lab: bench(lab, args.pairs), args.stage, AGENTS, push=120, guest_memory=160))
