#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo: it ends well, its figures keep what the README promises, and nothing is left of it; also when it is
interrupted, and when it has nothing to run."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

from handoff_lab import TOP, check, run
from lab_test import machine_state, traces
from migrationd_lab.demo import SCENARIOS, faults

DEMO = str(TOP / "lab/demo")
STAGE = os.environ.get("MIGRATIOND_STAGE") or "MIGRATIOND_STAGE-is-not-set"
GOOD = {"up": True, "boot_id_before": "a", "boot_id_after": "a", "boot_id_kept": True, "tcp_kept": True,
        "tcp_broken": None, "writers": "one"}


def left_of(demo, before):
    """What it left: of its lab, in the temporary folder, on the machine."""
    found = traces(f"demo-{demo.pid}") + [str(p) for p in pathlib.Path(tempfile.gettempdir()).glob("migrationd-demo-*")]
    after = machine_state()
    return found + [f"{kind}: {after[kind] ^ before[kind]}" for kind in before if after[kind] != before[kind]]


def case_nothing_to_run_is_said():
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run([DEMO, "--stage", empty], capture_output=True, text=True, timeout=60)
    check(done.returncode == 1 and "make DESTDIR=" in done.stderr, f"{done.returncode}: {done.stderr}")
    done = subprocess.run([DEMO, "--stag", STAGE], capture_output=True, text=True, timeout=60)
    check(done.returncode == 2 and "--stag" in done.stderr, f"{done.returncode}: {done.stderr}")


def case_what_should_not_be_is_a_fault():
    check(faults(GOOD, "migrationd") == [], faults(GOOD, "migrationd"))
    for wrong in ({"boot_id_kept": False}, {"tcp_kept": False}, {"writers": "two"}, {"up": False}):
        check(faults({**GOOD, **wrong}, "migrationd"), f"{wrong} is no fault of migrationd's")
    check(faults({**GOOD, "boot_id_kept": False, "tcp_kept": False}, "VirtualDomain") == [], "a restart is its way")
    check(faults({**GOOD, "up": False}, "VirtualDomain"), "a lost guest is a fault of anybody's")


def case_interrupted_it_leaves_nothing():
    before = machine_state()
    with subprocess.Popen([DEMO, "--stage", STAGE], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          start_new_session=True) as demo:
        try:
            said = ""
            for line in demo.stdout:
                said += line
                if "crm node standby" in line:
                    os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
            code = demo.wait(60)
        finally:
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGTERM)
    check(code == 130 and "ended by SIGINT" in said, f"ended with {code}: {said[-1000:]}")
    check(not left_of(demo, before), f"left behind: {left_of(demo, before)}")


def case_the_demo():
    before = machine_state()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "figures.json")
        with subprocess.Popen([DEMO, "--stage", STAGE, "--json", str(file)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, start_new_session=True) as demo:
            try:
                said, _ = demo.communicate(timeout=500)
            finally:
                if demo.poll() is None:
                    os.killpg(demo.pid, signal.SIGTERM)
        print(said)
        check(demo.returncode == 0, f"ended with {demo.returncode}")
        scenarios = json.loads(file.read_text())["scenarios"]
    check(set(scenarios) == set(SCENARIOS) and len(scenarios) == 4, f"played {list(scenarios)}")
    for key, by in scenarios.items():
        ours, title = by["migrationd"], SCENARIOS[key][0]
        check(ours["boot_id_kept"], f"{title}: the guest was restarted: {ours}")
        check(ours["tcp_kept"], f"{title}: the TCP connection broke: {ours}")
        check(ours["writers"] == "one", f"{title}: two writers: {ours}")
        check(f"\n{title}\n" in said, f"the table has no {title!r}")
    check(scenarios["started-by-hand"]["VirtualDomain"]["writers"] == "two" and "TWO WRITERS" in said,
          "VirtualDomain's second guest on the same disk is not shown")
    # By the pings: the web page is asked for too seldom, and waited for too long, to tell a short outage.
    ours, restart = (scenarios["heartbeat-stop"][agent]["longest_gap_ms"] for agent in ("migrationd", "VirtualDomain"))
    check(ours * 10 <= restart, f"Heartbeat's stop: an outage of {ours} ms, and of {restart} ms when restarted")
    check(not left_of(demo, before), f"left behind: {left_of(demo, before)}")


if __name__ == "__main__":
    sys.exit(run(globals()))
