# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lab's tests share: running named cases, and finding what a lab left behind.

A test file defines functions case_NAME(); run() calls them in order and prints "PASS name" or "FAIL name: reason".
"""

import os
import re
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
LAB = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB))

from migrationd_lab import Lab, LabError  # noqa: E402
from migrationd_lab.lab import all_labs, end_on_signals, take_down  # noqa: E402
from migrationd_lab.layout import labs_folder  # noqa: E402
from migrationd_lab.namespaces import all_pids, wait_until  # noqa: E402

__all__ = ["LAB", "Lab", "LabError", "all_labs", "take_down", "labs_folder", "wait_until", "check", "run", "name",
           "traces", "machine_state", "SKIP"]

SKIP = 77
LOGS = ("migrationd.out", "pacemaker/pacemaker.log", "ha-log", "libvirt/qemu/vm1.log")
LOG_LINES = 25


def name(suffix=""):
    """A lab's name that no other test run uses."""
    return f"t{os.getpid()}{suffix}"


def check(true, text):
    if not true:
        raise AssertionError(text)


def run(cases):
    """Runs the case_* functions of a test's globals(); the process's exit code. The lab that the test keeps in `lab` is
    taken down at the end; when a signal ends it, all labs of its name."""
    if os.geteuid() != 0:
        print("SKIP: the lab needs root")
        return SKIP
    end_on_signals()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    try:
        return run_each(cases)
    except KeyboardInterrupt as e:
        for lab in own_labs():
            take_down(lab)
        number = signal.Signals[str(e)] if str(e) else signal.SIGINT
        print(f"ended by {number.name}", flush=True)
        os._exit(128 + number)  # what is left to do would look for the lab
    finally:
        if cases.get("lab"):
            cases["lab"].down()


def run_each(cases):
    failed = 0
    for function_name, function in list(cases.items()):
        if not function_name.startswith("case_"):
            continue
        case = function_name[5:].replace("_", "-")
        started = time.monotonic()
        try:
            function()
        except (AssertionError, LabError) as e:
            failed += 1
            tell_logs(case)
            print(f"FAIL {case}: {e}", flush=True)
        except Exception as e:
            failed += 1
            traceback.print_exc()
            tell_logs(case)
            print(f"FAIL {case}: {e!r}", flush=True)
        else:
            print(f"PASS {case} ({time.monotonic() - started:.1f} s)", flush=True)
    return 1 if failed else 0


def tell_logs(case):
    """What the nodes of this test's labs have logged: the end of the daemons' own here, all of it in the folder that
    MIGRATIOND_LOGS names."""
    kept = os.environ.get("MIGRATIOND_LOGS")
    for lab in own_labs():
        for path in sorted((labs_folder() / lab / "nodes").glob("*/var/log")):
            node = path.parent.parent.name
            for log in LOGS:
                if not (path / log).is_file():
                    continue
                if kept:
                    shutil.copy(path / log, Path(kept) / f"{Path(sys.argv[0]).stem}.{case}.{node}.{Path(log).name}")
                if log == LOGS[0]:
                    for line in (path / log).read_text(errors="replace").splitlines()[-LOG_LINES:]:
                        print(f"{node}: {line[:300]}")


def own_labs():
    return [lab for lab in all_labs() if re.fullmatch(rf"t{os.getpid()}(\D.*)?", lab)]


def traces(lab_name):
    """What is left of a lab: its folder, processes by their environment, command line or mounts."""
    found = []
    folder = labs_folder() / lab_name
    if folder.exists():
        found.append(f"folder {folder}")
    for pid in all_pids():
        if pid == os.getpid():
            continue
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            mounts = Path(f"/proc/{pid}/mountinfo").read_text(errors="replace")
        except OSError:
            continue
        ours = (f"MIGRATIOND_LAB={lab_name}".encode() in environment or f"{folder}/" in mounts
                or (b"migrationd_lab.rack" in words and lab_name.encode() in words))
        if ours:
            found.append(f"process {pid}: {b' '.join(words).decode(errors='replace')[:100]}")
    return found


def machine_state():
    """What a lab may never change on the machine: links, mounts, named network namespaces, cgroups, nftables' tables,
    settings and state files of the software it runs."""
    state = {"links": set(os.listdir("/sys/class/net")),
             "mounts": set(Path("/proc/self/mountinfo").read_text().splitlines()),
             "netns": set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set(),
             "hostname": {os.uname().nodename}}
    state["cgroups"] = {path for path, *_ in os.walk("/sys/fs/cgroup") if "machine" in path or "qemu" in path}
    state["files"] = set()
    for top in ("/etc", "/run", "/var/lib/libvirt", "/var/lib/pacemaker", "/var/lib/corosync", "/var/lib/heartbeat",
                "/var/log/libvirt", "/var/log/pacemaker", "/var/log/corosync", "/var/cache/libvirt"):
        for path, _, files in os.walk(top):
            for file in files:
                try:
                    there = os.lstat(os.path.join(path, file))
                except FileNotFoundError:
                    continue
                state["files"].add((os.path.join(path, file), there.st_size, there.st_mtime_ns))
    return state
