#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Outage of a planned move under Pacemaker (crm resource move): migrationd and ocf:heartbeat:VirtualDomain in turn, each with a
guest of its own of the same kind, in one cluster; idle, and lightly loaded. And of a migration that fails on its way, with migrationd: its
guest is handed over all the same, which is to cost no more than a live migration does."""

import re
import sys

from bench_lab import LabError, arguments, ratios, run, settle, told, wait_until
from migrationd_lab.measure import measured

AGENTS = {"vm1": "ocf:migrationd:VirtualDomain", "vm2": "ocf:heartbeat:VirtualDomain"}
IDLE, LIGHT = "an idle guest", "a lightly loaded guest"
LOADS = {IDLE: (0, 1), LIGHT: (16, 8)}  # MiB that it writes to, over and over, and MiB/s
# Who moves which guest, and whether the migration fails at first.
MOVES = {(IDLE, "migrationd"): ("vm1", False), (IDLE, "VirtualDomain"): ("vm2", False), (IDLE, "after a failure"): ("vm1", True),
         (LIGHT, "migrationd"): ("vm1", False), (LIGHT, "VirtualDomain"): ("vm2", False)}
FIGURES = {"longest_gap_ms": ("longest ping gap", "ms"), "pings_lost": ("lost pings, sent every 10 ms", ""),
           "http_outage_ms": ("outage of its web page", "ms"), "tcp_longest_gap_ms": ("longest gap of its TCP stream", "ms"),
           "downtime_ms": ("QEMU's own word on its downtime", "ms")}


def downtime(node, vm):
    """Of the last migration, which came to the node: ms."""
    said = node.virsh("domjobinfo", vm, "--completed", "--rawstats").stdout
    return int(re.search(r"^downtime: +(\d+)$", said, re.MULTILINE)[1])


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
    figures["downtime_ms"] = downtime(destination, vm)
    lab.nodes[0].run(f"crm_resource --clear -r {vm}; crm_resource --cleanup -r {vm}")
    settle(lab)
    if not (figures["boot_id_kept"] and figures["tcp_kept"]):
        raise LabError(f"{AGENTS[vm]} did not move {vm} live: {figures}")
    return figures


def bench(lab, pairs):
    found = {kind: [] for kind in MOVES}
    for i in range(pairs):
        for load, writes in LOADS.items():
            for vm in AGENTS:
                lab.guest(vm).dirty(*writes)
            kinds = [kind for kind in MOVES if kind[0] == load]
            for kind in kinds if i % 2 == 0 else reversed(kinds):
                found[kind].append(move(lab, *MOVES[kind]))
        print(f"round {i + 1} of {pairs}: " + ", ".join(
            f"{load}, {who}: {each[-1]['longest_gap_ms']} ms" for (load, who), each in found.items()), flush=True)
    for key, (text, unit) in FIGURES.items():
        for load in LOADS:
            print(f"\n{text}, of a planned move of {load}:")
            of = {who: [f[key] for f in each] for (its, who), each in found.items() if its == load}
            for who, each in of.items():
                print(f"  {who:16} {told(each, unit)}")
            for one, other, wanted in (("migrationd", "VirtualDomain", 0.4), ("after a failure", "migrationd", 1)):
                if one in of and all(of[other]):
                    print(f"  {one} / {other}: {ratios(of[one], of[other])} (wanted: {wanted} or less)")


if __name__ == "__main__":
    args = arguments(__doc__)
    sys.exit(run(lambda lab: bench(lab, args.pairs), args.stage, AGENTS))
