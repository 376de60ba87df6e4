#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A node with eight guests goes to standby: migrationd and ocf:heartbeat:VirtualDomain in turn, each with all the guests, under
Pacemaker's defaults, both by qemu+tcp, so that no resource's parameter changes between them. How long until the last one has left,
and how long the guests stood still, summed up: by QEMU's own figure, and by the longest gap between two answers of each to pings,
sent every 20 ms. Only the gap has all of it: QEMU's figure ends before a guest is resumed that arrived paused."""

import contextlib
import re
import subprocess
import sys
import time

from bench_lab import arguments, ratios, run, settle, told, wait_until

AGENTS = {"migrationd": "ocf:migrationd:VirtualDomain", "VirtualDomain": "ocf:heartbeat:VirtualDomain"}


def places(lab):
    return {vm: guest.running_on() for vm, guest in guests(lab).items()}


def guests(lab):
    return {guest.name: guest for guest in lab.guests}


@contextlib.contextmanager
def pinged(lab, gaps):
    """Meanwhile all guests are pinged; afterwards gaps has the longest time between two answers of each, in ms."""
    addresses = " ".join(guest.address for guest in lab.guests)
    pings = lab.client.popen(f"stdbuf -oL fping -D -l -p 20 -t 1000 {addresses} & read line; kill $!; wait", stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        time.sleep(1)
        yield
        time.sleep(1)
    finally:
        said, _ = pings.communicate("\n", timeout=30)
    last = {}
    for at, address in re.findall(r"^\[([0-9.]+)\] (\S+) : \[\d+\], \d+ bytes", said, re.MULTILINE):
        gaps[address] = max(gaps.get(address, 0), round((float(at) - last.get(address, float(at))) * 1000))
        last[address] = float(at)


def evacuate(lab):
    """All guests are on the first node; the figures of their way to the second."""
    source, destination = lab.nodes
    boots = {vm: guest.wait_up(60)["boot_id"] for vm, guest in guests(lab).items()}
    gaps = {}
    with pinged(lab, gaps):
        begun = time.monotonic()
        destination.run(f"crm_standby -N {source.name} -v on")
        wait_until(lambda: all(on == [destination.name] for on in places(lab).values()), 300, "all guests on the other node", interval=0.5)
        took = time.monotonic() - begun
    settle(lab)
    stood = 0
    for vm in boots:
        said = destination.virsh("domjobinfo", vm, "--completed", "--rawstats").stdout
        stood += int(re.search(r"^downtime: +(\d+)", said, re.MULTILINE)[1])
    kept = sum(lab.guest(vm).wait_up(60)["boot_id"] == boots[vm] for vm in boots)
    return {"seconds": took, "stood_ms": stood, "gaps_ms": sum(gaps.values()), "kept": kept}


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
            print(f"round {i + 1} of {pairs}: {agent}: {one['seconds']:.1f} s, guests stood still for {one['stood_ms']} ms together (QEMU), "
                  f"longest ping gaps {one['gaps_ms']} ms together, "
                  f"{one['kept']} of {len(places(lab))} moved live", flush=True)
            gather(lab)
    for what in ("seconds", "stood_ms", "gaps_ms"):
        of = {agent: [one[what] for one in each] for agent, each in found.items()}
        for agent, each in of.items():
            print(f"{what}: {agent:14} {told(each, '')}")
        print(f"{what}: migrationd / VirtualDomain: {ratios(of['migrationd'], of['VirtualDomain'])}")


if __name__ == "__main__":
    args = arguments(__doc__, pairs=3, more=lambda parser: parser.add_argument("--guests", type=int, default=8, help="how many (default: 8)"))
    names = [f"vm{i}" for i in range(1, args.guests + 1)]
    sys.exit(run(lambda lab: bench(lab, args.pairs), args.stage, dict.fromkeys(names, AGENTS["migrationd"]), push=120, transport="migration_transport=tcp"))
