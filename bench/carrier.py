#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the guest's memory travels: the transport "migrationd" (TLS between the daemons) beside libvirt's plain qemu+tcp, with one
stream and with four, in turn, of a guest whose memory is full. Figures are QEMU's own."""

import re
import sys

from bench_lab import arguments, ratios, run, settle, told, wait_until

AGENT = "ocf:migrationd:VirtualDomain"
TRANSPORTS = {"vm1": "migrationd", "vm2": "tcp"}
OPTIONS = {1: "", 4: "--parallel --parallel-connections=4"}
MEMORY, SET = 1200, 900  # MiB


def fill(lab, vm):
    """Until the guest has written to all of the set, then it rests."""
    node = lab.node(lab.guest(vm).running_on()[0])
    lab.guest(vm).dirty(SET, 500)
    wait_until(lambda: int(re.search(r"rss (\d+)", node.virsh("dommemstat", vm).stdout)[1]) > SET * 1024, 120, f"{vm}'s memory to fill")
    lab.guest(vm).dirty(0)


def speed(lab, vm):
    """One move; MiB/s of memory, all passes."""
    (source,) = lab.guest(vm).running_on()
    destination = next(n for n in lab.nodes if n.name != source)
    lab.nodes[0].run(f"crm_resource --move -r {vm} --node {destination.name}")
    wait_until(lambda: lab.guest(vm).running_on() == [destination.name], 120, f"{vm} on {destination.name}", interval=0.25)
    settle(lab)
    lab.nodes[0].run(f"crm_resource --clear -r {vm}")
    settle(lab)
    said = destination.virsh("domjobinfo", vm, "--completed", "--rawstats").stdout
    figures = dict(re.findall(r"^(\w+): +(\d+)$", said, re.MULTILINE))
    took = int(figures["time_elapsed"]) - int(figures.get("setup_time", 0))
    return int(figures["memory_processed"]) / 1048576 / (took / 1000)


def bench(lab, pairs):
    for vm, transport in TRANSPORTS.items():
        lab.nodes[0].run(f"crm_resource -r {vm} -p migration_transport -v {transport}")
        fill(lab, vm)
    settle(lab)
    for streams, options in OPTIONS.items():
        found = {vm: [] for vm in TRANSPORTS}
        for vm in TRANSPORTS:
            change = f"-p migrate_options -v '{options}'" if options else "-d migrate_options"
            lab.nodes[0].run(f"crm_resource -r {vm} {change}", check=False)
        settle(lab)
        for i in range(pairs):
            for vm in TRANSPORTS if i % 2 == 0 else reversed(TRANSPORTS):
                found[vm].append(speed(lab, vm))
                print(f"{streams} streams, round {i + 1} of {pairs}: {TRANSPORTS[vm]}: {found[vm][-1]:.0f} MiB/s", flush=True)
        print(f"\n{streams} streams")
        for vm, each in found.items():
            print(f"  {TRANSPORTS[vm]:<10} {told(each, 'MiB/s')}")
        print(f"  migrationd / tcp: {ratios(found['vm1'], found['vm2'])}\n", flush=True)


if __name__ == "__main__":
    args = arguments(__doc__, pairs=5)
    sys.exit(run(lambda lab: bench(lab, args.pairs), args.stage, dict.fromkeys(TRANSPORTS, AGENT), push=120, guest_memory=MEMORY))
