#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A node with eight guests goes to standby: migrationd and ocf:heartbeat:VirtualDomain in turn, each with all the guests, under
Pacemaker's defaults, both by qemu+tcp, so that no resource's parameter changes between them. How long until the last one has left,
and how long the guests stood still, summed up (QEMU's own figure)."""

import re
import sys
import time

from bench_lab import arguments, run, settle, wait_until

AGENTS = {"migrationd": "ocf:migrationd:VirtualDomain", "VirtualDomain": "ocf:heartbeat:VirtualDomain"}
GUESTS = [f"vm{i}" for i in range(1, 9)]


def places(lab):
    return {vm: lab.guest(vm).running_on() for vm in GUESTS}


def evacuate(lab):
    """All guests are on the first node; the figures of their way to the second."""
    source, destination = lab.nodes
    boots = {vm: lab.guest(vm).wait_up(60)["boot_id"] for vm in GUESTS}
    begun = time.monotonic()
    destination.run(f"crm_standby -N {source.name} -v on")
    wait_until(lambda: all(on == [destination.name] for on in places(lab).values()), 300, "all guests on the other node", interval=0.5)
    took = time.monotonic() - begun
    settle(lab)
    stood = 0
    for vm in GUESTS:
        said = destination.virsh("domjobinfo", vm, "--completed", "--rawstats").stdout
        stood += int(re.search(r"^downtime: +(\d+)", said, re.MULTILINE)[1])
    kept = sum(lab.guest(vm).wait_up(60)["boot_id"] == boots[vm] for vm in GUESTS)
    return {"seconds": took, "stood_ms": stood, "kept": kept}


def gather(lab):
    """Back to the first node, all of them."""
    source, destination = lab.nodes
    destination.run(f"crm_standby -N {source.name} -D; crm_standby -N {destination.name} -v on")
    wait_until(lambda: all(on == [source.name] for on in places(lab).values()), 300, "all guests back", interval=0.5)
    settle(lab)
    destination.run(f"crm_standby -N {destination.name} -D")
    settle(lab)


def hand_over(lab, agent):
    """The resources to this agent, with their domains running."""
    options = ["--all"] if agent == "migrationd" else ["--all", "--undo"]
    lab.nodes[0].run(["migrationctl", "adopt", *options], timeout=180)
    settle(lab)


def bench(lab, pairs):
    found = {agent: [] for agent in AGENTS}
    gather(lab)
    now = "migrationd"
    for i in range(pairs):
        for agent in AGENTS if i % 2 == 0 else reversed(AGENTS):
            if agent != now:
                hand_over(lab, agent)
                now = agent
            one = evacuate(lab)
            found[agent].append(one)
            print(f"round {i + 1} of {pairs}: {agent}: {one['seconds']:.1f} s, guests stood still for {one['stood_ms']} ms together, "
                  f"{one['kept']} of {len(GUESTS)} moved live", flush=True)
            gather(lab)
    ours, theirs = found["migrationd"], found["VirtualDomain"]
    for what in ("seconds", "stood_ms"):
        ratios = sorted(a[what] / b[what] for a, b in zip(ours, theirs))
        print(f"{what}: migrationd / VirtualDomain: median {ratios[len(ratios) // 2]:.2f}, least {ratios[0]:.2f}, most {ratios[-1]:.2f}")


if __name__ == "__main__":
    args = arguments(__doc__, pairs=3)
    sys.exit(run(lambda lab: bench(lab, args.pairs), args.stage, dict.fromkeys(GUESTS, AGENTS["migrationd"]), push=120, transport="migration_transport=tcp"))
