# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests from outside (of the agent, of migrationctl) share: a stand-in for the daemon, and a network namespace
of their own, because the daemon's socket name is the same everywhere."""

import os
import subprocess
import sys
import unittest

INSIDE = "MIGRATIOND_TEST_NAMESPACE"
NOBODY = 65534
REAL_ROOT = open("/proc/self/uid_map").read().split()[1] == "0" and os.geteuid() == 0


class StandIn:
    """A stand-in program, by the rules of its source."""

    def __init__(self, program, *rules, user=None):
        self.process = subprocess.Popen([str(program), *rules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        user=user, group=user, extra_groups=None if user is None else [])
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the stand-in didn't come up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def requests(self):
        """All requests so far, a line each; ends the daemon."""
        self.process.stdin.close()
        lines = self.process.stdout.read().splitlines()
        self.process.wait()
        return lines


class Result(unittest.TextTestResult):
    """A line per case, as tests/runner.py counts them."""

    def addSuccess(self, test):
        print(f"PASS {test.id()}", flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print(f"FAIL {test.id()}", flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        print(f"FAIL {test.id()}: an error", flush=True)

    def addSkip(self, test, reason):
        print(f"SKIP {test.id()}: {reason}", flush=True)


def main():
    """Runs the cases of the test's module in a network namespace; skips (77) where none can be made."""
    if INSIDE not in os.environ:
        options = "-n" if os.geteuid() == 0 else "-rn"
        if subprocess.run(["unshare", options, "true"], stderr=subprocess.DEVNULL).returncode != 0:
            print("SKIP no-namespace: no network namespace can be made here")
            sys.exit(77)
        os.environ[INSIDE] = "yes"
        os.execvp("unshare", ["unshare", options, sys.executable, *sys.argv])
    unittest.main(testRunner=unittest.TextTestRunner(resultclass=Result, verbosity=0))
