#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the tree in build/, runs `make check` and the lab's tests, and counts.

A test program says what it found in lines of its own: `PASS name`, `FAIL name: reason`, `SKIP name: reason`;
doctest's summary counts its cases. A program that says nothing, or ends in an error without a FAIL line, is a
failed test itself. A skip counts as failed unless the README's list of allowed skips names it.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))

from migrationd_lab.build import BUILD, BUILD_LIMIT, STAGE, TOP, BuildError, build, run  # noqa: E402
from migrationd_lab.lab import end_on_signals  # noqa: E402

LAB_TEST_LIMIT = 900  # seconds
AT_ONCE = 1  # two at once on two processors made fencing and guests too slow for their clusters


class Tally:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []
        readme = (TOP / "README.md").read_text()
        section = re.search(r"^#+ *Allowed skips\n(.*?)(?=^#|\Z)", readme, re.M | re.S)
        self.allowed = re.findall(r"^- `([^`]+)`", section.group(1), re.M) if section else []

    def read(self, program, output, status):
        """Counts what one program said."""
        before = self.passed + len(self.failed) + len(self.skipped)
        for line in output.splitlines():
            if re.search(r"\(exit status: \d+\)$", line):  # Automake's own last line
                continue
            if line.startswith("PASS "):
                self.passed += 1
            elif line.startswith("FAIL "):
                self.fail(f"{program}: {line[5:]}")
            elif line.startswith("SKIP "):
                self.skip(f"{program}: {line[5:]}", line[5:].split(":")[0])
            found = re.search(r"test cases: +(\d+) \| +(\d+) passed \| +(\d+) failed", line)
            if found:
                self.passed += int(found.group(2))
                for case in failed_cases(output, int(found.group(3))):
                    self.fail(f"{program}: {case}")
        said = self.passed + len(self.failed) + len(self.skipped) - before
        if status == 77:
            self.skip(f"{program}: skipped as a whole", program)
        elif said == 0:
            self.fail(f"{program}: ended with {status} and reported no test")
        elif status != 0 and not any(one.startswith(program + ":") for one in self.failed):
            self.fail(f"{program}: ended with {status}")

    def fail(self, text):
        self.failed.append(text)
        print(f"FAIL {text}", flush=True)

    def skip(self, text, name):
        if name in self.allowed:
            self.skipped.append(text)
            print(f"SKIP {text}", flush=True)
        else:
            self.fail(f"{text} (a skip that the README does not allow)")


def failed_cases(output, number):
    """What doctest says of each case that failed: its name, and the first check that did."""
    found = re.findall(r"^TEST CASE: +(.*?)\n(?:.*\n)*?(.*ERROR: .*\n.*)", output, re.M)
    first = {}
    for case, error in found:
        first.setdefault(case, f"{case}: {' '.join(error.split())[:300]}")
    return (list(first.values()) + ["a doctest case, see its log"] * number)[:number]


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def must_build():
    try:
        build(say)
    except BuildError as e:
        print(e.output)
        print(f"FAIL {e}")
        print("0 passed, 1 failed")
        sys.exit(1)


def make_check(tally):
    say("make check")
    status, output = run(["make", f"-j{os.cpu_count() or 1}", "check"], BUILD_LIMIT, log=BUILD / "check.log")
    programs = re.findall(r"^(PASS|FAIL|SKIP|ERROR|XPASS): (.*)$", output, re.M)
    for _, program in programs:
        log = BUILD / (re.sub(r"\.(py|sh|test)$", "", program) + ".log")
        if not log.exists():
            log = BUILD / (program + ".log")
        result = BUILD / (str(log.relative_to(BUILD))[:-4] + ".trs")
        ended = 0
        if result.exists():
            word = re.search(r":test-result: (\w+)", result.read_text())
            ended = {"PASS": 0, "SKIP": 77}.get(word.group(1) if word else "", 1)
        tally.read(program, log.read_text(errors="replace") if log.exists() else "", ended)
    if not programs:
        print(output[-4000:])
        tally.fail(f"make check ended with {status} and ran no test")


class LabTest:
    """One of the lab's test programs while it runs, in a process group of its own; its output goes to a file."""

    def __init__(self, path):
        self.name = str(path.relative_to(TOP))
        self.log = BUILD / "lab" / (path.stem + ".log")
        self.begun = self.ends = time.monotonic()
        self.ends += LAB_TEST_LIMIT
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([str(path)], cwd=TOP, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)

    def ended(self):
        if self.process.poll() is None and time.monotonic() > self.ends:
            self.end()
        return self.process.poll() is not None

    def end(self):
        """It takes down its labs when it is asked to end."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                os.killpg(self.process.pid, number)
                try:
                    self.process.wait(60)
                except subprocess.TimeoutExpired:
                    pass
        with open(self.log, "a") as log:
            print(f"ended after {time.monotonic() - self.begun:.0f} s", file=log)


def lab_tests(tally):
    """The product's own first, AT_ONCE beside each other."""
    waiting = sorted(TOP.glob("tests/lab/test-*.py")) + sorted(TOP.glob("lab/tests/test-*.py"))
    os.environ.update({"MIGRATIOND_STAGE": str(STAGE),
                       "HYPERVISOR_PROBE": str(BUILD / "tests/lab/hypervisor-probe"),
                       "MIGRATIOND_LOGS": str(BUILD / "lab")})
    (BUILD / "lab").mkdir(exist_ok=True)
    if not waiting:
        tally.fail("no test of the lab was found")
    running = []
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                running.append(LabTest(waiting.pop(0)))
                say(running[-1].name)
            time.sleep(0.2)
            for test in [one for one in running if one.ended()]:
                running.remove(test)
                before = len(tally.failed)
                output = test.log.read_text(errors="replace")
                tally.read(test.name, output, test.process.returncode)
                if len(tally.failed) > before:
                    print(output[-12000:])
                say(f"{test.name}: {time.monotonic() - test.begun:.0f} s")
    finally:
        for test in running:
            test.end()


def main():
    if sys.argv[1:] not in ([], ["quick"]):
        print("usage: tests/run [quick]", file=sys.stderr)
        return 2
    end_on_signals()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    must_build()
    tally = Tally()
    make_check(tally)
    if sys.argv[1:] != ["quick"]:
        lab_tests(tally)
    if tally.failed:
        print("failed:")
        for one in tally.failed:
            print(f"  {one}")
    print(f"{tally.passed} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt as e:
        number = signal.Signals[str(e)] if str(e) else signal.SIGINT
        print(f"ended by {number.name}", file=sys.stderr)
        sys.exit(128 + number)
