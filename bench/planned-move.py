#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Outage of a planned move under Pacemaker (crm resource move): migrationd and ocf:heartbeat:VirtualDomain in turn,
each with a guest of its own of the same kind, in one cluster."""

import sys

from bench_lab import LabError, arguments, ratios, run, settle, told, wait_until
from migrationd_lab.measure import measured

AGENTS = {"vm1": "ocf:migrationd:VirtualDomain", "vm2": "ocf:heartbeat:VirtualDomain"}
NAMES = {"vm1": "migrationd", "vm2": "VirtualDomain"}
FIGURES = {"longest_gap_ms": "longest ping gap", "http_outage_ms": "outage of its web page"}


def move(lab, vm):
    (source,) = lab.guest(vm).running_on()
    destination = next(n.name for n in lab.nodes if n.name != source)

    def go():
        lab.nodes[0].run(f"crm_resource --move -r {vm} --node {destination}")
        wait_until(lambda: lab.guest(vm).running_on() == [destination], 90, f"{vm} on {destination}", interval=0.25)
        settle(lab)
    figures = measured(lab, vm, go)
    lab.nodes[0].run(f"crm_resource --clear -r {vm}")
    settle(lab)
    if not (figures["boot_id_kept"] and figures["tcp_kept"]):
        raise LabError(f"{NAMES[vm]} did not move {vm} live: {figures}")
    return figures


def bench(lab, pairs):
    found = {vm: [] for vm in AGENTS}
    for i in range(pairs):
        for vm in AGENTS if i % 2 == 0 else reversed(AGENTS):
            found[vm].append(move(lab, vm))
        print(f"pair {i + 1} of {pairs}: " + ", ".join(
            f"{NAMES[vm]} {each[-1]['longest_gap_ms']} ms" for vm, each in found.items()), flush=True)
    for key, text in FIGURES.items():
        print(f"\n{text} of a planned move:")
        for vm, each in found.items():
            print(f"  {NAMES[vm]:14} {told([f[key] for f in each], 'ms')}")
        ours, others = ([f[key] for f in found[vm]] for vm in AGENTS)
        print(f"  migrationd / VirtualDomain: {ratios(ours, others)} (wanted: 1 or less)")


if __name__ == "__main__":
    args = arguments(__doc__)
    sys.exit(run(lambda lab: bench(lab, args.pairs), args.stage, AGENTS))
