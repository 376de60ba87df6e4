# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the tree in build/ and installs it into build/stage, from where labs take it: for tests/run and lab/demo."""

import os
import signal
import subprocess

from .layout import LAB_ROOT

TOP = LAB_ROOT.parent
BUILD = TOP / "build"
STAGE = BUILD / "stage"
BUILD_LIMIT = 3000  # seconds for one step


class BuildError(Exception):
    """A step of the build failed: what it was, its command, its exit code and the end of what it said."""

    def __init__(self, what, command, status, output):
        super().__init__(f"{what}: {' '.join(command)} ended with {status}")
        self.output = output[-6000:]


def run(command, limit, cwd=BUILD, log=None):
    """Runs a command in a process group of its own; returns (status, output). Killed at the limit (seconds)."""
    process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            output, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        output += f"\nkilled after {limit} s\n"
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        raise
    if log:
        log.write_text(output)
    return process.returncode, output


def build(say, tests=True):
    """From the sources to STAGE, doing only what is not done yet; say(text) before each step; tests: the test programs
    too. BuildError when a step fails."""
    def step(command, what, cwd=BUILD):
        say(what)
        status, output = run(command, BUILD_LIMIT, cwd)
        if status != 0:
            raise BuildError(what, command, status, output)

    BUILD.mkdir(exist_ok=True)
    if not (TOP / "configure").exists() or (TOP / "configure").stat().st_mtime < max(
            (TOP / name).stat().st_mtime for name in ("configure.ac", "Makefile.am")):
        step(["autoreconf", "-fi"], "autoreconf", TOP)
    if not (BUILD / "Makefile").exists():
        step([str(TOP / "configure"), "-q", "--prefix=/usr", "--sysconfdir=/etc", "--localstatedir=/var"], "configure")
    jobs = f"-j{os.cpu_count() or 1}"
    step(["make", jobs, "all"], "build")
    if tests:
        step(["make", jobs, "check", "TESTS="], "build the tests")
        step(["make", jobs, "tests/lab/hypervisor-probe"], "build the hypervisor's probe")
    step(["make", f"DESTDIR={STAGE}", "install"], "install into a stage for the lab")
