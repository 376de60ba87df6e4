#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Outage of a planned move under Pacemaker (crm resource move): migrationd and ocf:heartbeat:VirtualDomain in turn, each with a
guest of its own of the same kind, in one cluster. And of a migration that fails on its way, with migrationd: its guest is
handed over all the same, which is to cost no more than a live migration does."""

import sys

from bench_lab import LabError, arguments, ratios, run, settle, told, wait_until
from migrationd_lab.measure import measured

AGENTS = {"vm1": "ocf:migrationd:VirtualDomain", "vm2": "ocf:heartbeat:VirtualDomain"}
MOVES = {"migrationd": ("vm1", False), "VirtualDomain": ("vm2", False), "after a failure": ("vm1", True)}
FIGURES = {"longest_gap_ms": ("longest ping gap", "ms"), "pings_lost": ("lost pings, sent every 10 ms", ""),
           "http_outage_ms": ("outage of its web page", "ms")}


def move(lab, vm, fails):
    (source,) = lab.guest(vm).running_on()
    destination = next(n for n in lab.nodes if n.name != source)

    def go():
        if fails:
            destination.close_to_migrations()
            log = "/var/log/pacemaker/pacemaker.log"
            before = lab.node(source).read(log).count(f"Result of migrate_to operation for {vm}")
        lab.nodes[0].run(f"crm_resource --move -r {vm} --node {destination.name}")
        if fails:
            wait_until(lambda: lab.node(source).read(log).count(f"Result of migrate_to operation for {vm}") > before, 60,
                       "the failure of migrate_to", interval=0.05)
            destination.open_to_migrations()
        wait_until(lambda: lab.guest(vm).running_on() == [destination.name], 90, f"{vm} on {destination.name}", interval=0.25)
        settle(lab)
    figures = measured(lab, vm, go)
    lab.nodes[0].run(f"crm_resource --clear -r {vm}; crm_resource --cleanup -r {vm}")
    settle(lab)
    if not (figures["boot_id_kept"] and figures["tcp_kept"]):
        raise LabError(f"{AGENTS[vm]} did not move {vm} live: {figures}")
    return figures


def bench(lab, pairs):
    found = {kind: [] for kind in MOVES}
    for i in range(pairs):
        for kind in MOVES if i % 2 == 0 else reversed(MOVES):
            found[kind].append(move(lab, *MOVES[kind]))
        print(f"round {i + 1} of {pairs}: " + ", ".join(
            f"{kind} {each[-1]['longest_gap_ms']} ms" for kind, each in found.items()), flush=True)
    for key, (text, unit) in FIGURES.items():
        print(f"\n{text}, of a planned move:")
        of = {kind: [f[key] for f in each] for kind, each in found.items()}
        for kind, each in of.items():
            print(f"  {kind:16} {told(each, unit)}")
        for one, other in (("migrationd", "VirtualDomain"), ("after a failure", "migrationd")):
            if all(of[other]):
                print(f"  {one} / {other}: {ratios(of[one], of[other])} (wanted: 1 or less)")


if __name__ == "__main__":
    args = arguments(__doc__)
    sys.exit(run(lambda lab: bench(lab, args.pairs), args.stage, AGENTS))
