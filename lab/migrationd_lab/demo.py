# SPDX-License-Identifier: GPL-2.0-or-later
"""lab/demo after the packages are there: builds, plays the scenarios of demo_scenarios.py, tells the figures."""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from .build import STAGE, BuildError, build
from .demo_scenarios import MIGRATIOND, OTHER, SCENARIOS, cluster
from .errors import LabError
from .lab import end_on_signals

WIDTH = 44
begun = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - begun:3.0f} s] {text}", flush=True)


def staged(args):
    """The installed tree that the labs take."""
    if not args.no_build and not args.stage:
        build(say, tests=False)
    stage = Path(args.stage or STAGE).resolve()
    if not (stage / "usr/sbin/migrationd").exists():
        raise LabError(f"{stage}/usr/sbin/migrationd is not there: " + (
            f"make DESTDIR={stage} install first" if args.stage else "run lab/demo without --no-build first"))
    return stage


def play_all(stage):
    """{scenario: {agent: figures}}; figures["faults"] says what should not have been. A scenario that broke off has
    nothing but its faults, and ends its cluster's turn."""
    results = {key: {} for key in SCENARIOS}
    for stack in ("pacemaker", "heartbeat"):
        for agent in (MIGRATIOND, OTHER):
            mine = [key for key, (_, its, _) in SCENARIOS.items() if its == stack]
            key = mine[0]
            say(f"{agent}: a {stack.capitalize()} cluster of two nodes with the guest")
            try:
                with cluster(f"demo-{os.getpid()}", stack, agent, stage) as now:
                    for key in mine:
                        say(f"{agent}: {SCENARIOS[key][0]}")
                        results[key][agent] = play(now, SCENARIOS[key][2])
            except LabError as e:
                results[key][agent] = {"faults": [str(e)]}
                say(f"{agent}: broke off: {e}")
    return results


def play(now, scenario):
    before = now.violations()
    try:
        figures = scenario(now)
        figures["accel"] = now.lab.settings.accel
        figures["writers"] = "two" if now.violations() > before else "one"
        figures["faults"] = faults(figures, now.agent)
    except LabError as e:
        raise LabError(f"{e}{now.logs()}") from e
    if figures["faults"]:
        figures["faults"][-1] += now.logs()
    return figures


def faults(figures, agent):
    """What should not have been. Of the other agent nothing is asked but that the guest be there in the end."""
    found = []
    if not figures["up"] and figures["writers"] == "one":
        found.append("the guest does not answer at the end")
    if agent == MIGRATIOND:
        if not figures["boot_id_kept"]:
            found.append(f"the guest was restarted: boot id {figures['boot_id_before']}, then "
                         f"{figures['boot_id_after']}")
        if not figures["tcp_kept"]:
            found.append(f"its TCP connection broke: {figures['tcp_broken']}")
        if figures["writers"] != "one":
            found.append("the storage saw two writers on its disk")
    return found


def seconds(milliseconds):
    return f"{milliseconds / 1000:.2f} s"


ROWS = (
    ("boot id kept", lambda f: "two guests" if f["writers"] == "two" else "yes" if f["boot_id_kept"] else "no"),
    ("TCP connection kept", lambda f: "yes" if f["tcp_kept"] else "no"),
    ("lost 10 ms pings", lambda f: str(f["pings_lost"])),
    ("longest gap between two answers", lambda f: seconds(f["longest_gap_ms"])),
    ("outage of its web page", lambda f: seconds(f["http_outage_ms"])),
    ("at its disk", lambda f: "one writer" if f["writers"] == "one" else "TWO WRITERS"),
)


def print_table(results):
    line = "-" * (WIDTH + 34)
    print(f"\n{'':{WIDTH}} {MIGRATIOND:>16} {OTHER + ' *':>16}")
    for key, (title, _, _) in SCENARIOS.items():
        print(f"{line}\n{title}")
        for name, shown in ROWS:
            cells = [shown(f) if "writers" in f else "broke off" if f else "not run"
                     for f in (results[key].get(agent, {}) for agent in (MIGRATIOND, OTHER))]
            print(f"  {name:{WIDTH - 2}} {cells[0]:>16} {cells[1]:>16}")
    print(f"{line}\n* under Heartbeat: an init script around virsh")
    if any(f.get("writers") == "two" for by in results.values() for f in by.values()):
        print("TWO WRITERS: two guests ran from one disk at once. Either of them answered, and the disk is ruined.")
    print()


def closing(results):
    """The last line: what this run has shown, from its own figures."""
    ours = [by[MIGRATIOND] for by in results.values()]
    others = [by[OTHER] for by in results.values()]
    restarted = sum(not f["boot_id_kept"] and f["writers"] == "one" for f in others)
    twice = sum(f["writers"] == "two" for f in others)
    stop = results["heartbeat-stop"]
    ratio = stop[OTHER]["longest_gap_ms"] / max(1, stop[MIGRATIOND]["longest_gap_ms"])
    return (f"Shown: with migrationd the guest kept its boot id and its TCP connection in all {len(ours)} scenarios, out "
            f"of reach for {seconds(max(f['longest_gap_ms'] for f in ours))} at the most.\nWithout it: restarted in "
            f"{restarted}, run twice at once in {twice}. The stop of Heartbeat: {ratio:.0f} times "
            "shorter out of reach.")


def demo(args):
    if args.json and not Path(args.json).resolve().parent.is_dir():
        raise LabError(f"--json {args.json}: there is no folder {Path(args.json).resolve().parent}")
    stage = staged(args)
    results = play_all(stage)
    if args.json:
        Path(args.json).write_text(json.dumps(
            {"seconds": round(time.monotonic() - begun, 1), "scenarios": results}, indent=1) + "\n")
    say("done")
    print_table(results)
    broken = [(key, agent, fault) for key, by in results.items() for agent, f in by.items() for fault in f["faults"]]
    for key, agent, fault in broken:
        print(f"demo: {SCENARIOS[key][0]}, {agent}: {fault}", file=sys.stderr)
    if broken or any(len(by) < 2 for by in results.values()):
        print("demo: not everything behaved as it should; the reasons are above", file=sys.stderr)
        return 1
    print(closing(results))
    return 0


def main():
    parser = argparse.ArgumentParser(prog="lab/demo")
    parser.add_argument("--json")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--no-build", action="store_true")
    how.add_argument("--stage")
    args = parser.parse_args()
    end_on_signals()
    try:
        return demo(args)
    except BuildError as e:
        print(f"{e.output}\ndemo: {e}", file=sys.stderr)
    except (LabError, OSError) as e:
        print(f"demo: {e}", file=sys.stderr)
    except KeyboardInterrupt as e:
        number = signal.Signals[str(e)] if str(e) else signal.SIGINT
        print(f"demo: ended by {number.name}; nothing is left of its labs", file=sys.stderr)
        return 128 + number
    return 1


if __name__ == "__main__":
    sys.exit(main())
