#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The resource agent from outside: its faces, codes and words, with the daemon there, gone, hanging, dying
and squatted on.

Working directory: the top of the build tree.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import xml.etree.ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from daemon_stand_in import NOBODY, REAL_ROOT, StandIn, main  # noqa: E402

BUILD = pathlib.Path(os.getcwd())
AGENT = BUILD / "tests/agent/agent-under-test"
STAND_IN = BUILD / "tests/agent/stand-in"
OCF_PATH = "/usr/lib/ocf/resource.d/migrationd/VirtualDomain"
OCF_SCHEMA = pathlib.Path("/usr/share/pcs/data/ocf-1.1.rng")  # what pcs holds every agent against
DAEMONS_ACTIONS = ["start", "stop", "monitor", "status", "migrate_to", "migrate_from", "reload-agent"]


class Daemon(StandIn):
    def __init__(self, *rules, user=None):
        super().__init__(STAND_IN, *rules, user=user)

    def requests(self):
        return [json.loads(line) for line in super().requests()]


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="migrationd-agent-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.directory.chmod(0o755)
        (self.directory / "sbin").mkdir()
        self.resources = self.directory / "etc/migrationd/resources"
        self.resources.mkdir(parents=True)

    def direct(self, code, more=""):
        """Installs a `migrationd` whose --direct notes how it was called and ends with `code`."""
        program = self.directory / "sbin/migrationd"
        program.write_text(f'#!/bin/sh\necho "$@" >> called\nenv > environment\n{more}\nexit {code}\n')
        program.chmod(0o755)

    def called(self):
        path = self.directory / "called"
        return path.read_text().splitlines() if path.exists() else []

    def call(self, program, *arguments, env=None, user=None, **more):
        environment = {"PATH": os.environ["PATH"], **(env or {})}
        return subprocess.run([program, *arguments], executable=str(AGENT), env=environment, cwd=self.directory, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60, user=user, **more)

    def ocf(self, *arguments, timeout=20000, env=None, **more):
        environment = {"OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": "vm1", "OCF_RESKEY_config": "/etc/vm/vm1.xml",
                       "OCF_RESKEY_CRM_meta_timeout": str(timeout), **(env or {})}
        return self.call(OCF_PATH, *arguments, env=environment, **more)

    def reason(self, result):
        lines = result.stderr.splitlines()
        self.assertTrue(lines and lines[-1].startswith("ocf-exit-reason:"), result.stderr)
        return lines[-1].removeprefix("ocf-exit-reason:")


class Words(Case):
    def test_meta_data_is_valid_for_anybody_without_a_daemon(self):
        result = self.call(OCF_PATH, "meta-data", user=NOBODY if REAL_ROOT else None)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        agent = xml.etree.ElementTree.fromstring(result.stdout)
        self.assertEqual(agent.get("name"), "VirtualDomain")
        names = [action.get("name") for action in agent.iter("action")]
        self.assertTrue({"start", "stop", "monitor", "meta-data", "validate-all", "migrate_to", "migrate_from",
                         "reload-agent"} <= set(names))
        lint = subprocess.run(["xmllint", "--noout", "--valid", "-"], input=result.stdout, text=True, capture_output=True)
        self.assertEqual((lint.returncode, lint.stderr), (0, ""))

    @unittest.skipUnless(OCF_SCHEMA.exists(), f"{OCF_SCHEMA} of the Debian package pcs is missing")
    def test_meta_data_fits_the_schema_of_ocf_1_1(self):
        result = self.call(OCF_PATH, "meta-data")
        lint = subprocess.run(["xmllint", "--noout", "--relaxng", OCF_SCHEMA, "-"], input=result.stdout, text=True,
                              capture_output=True)
        self.assertEqual(lint.returncode, 0, lint.stderr)
        self.assertIn("<version>1.1</version>", result.stdout)

    def test_usage_unknown_actions_and_no_action(self):
        self.assertEqual(self.ocf("usage").returncode, 0)
        self.assertIn("start|stop", self.ocf("help").stdout)
        for action in ["promote", "demote", "notify", "reload", ""]:
            result = self.ocf(action)
            self.assertEqual(result.returncode, 3, action)
            self.assertIn("is not implemented", self.reason(result))
        self.assertEqual(self.ocf().returncode, 2)

    def test_another_version_of_the_api_is_an_error(self):
        result = self.ocf("monitor", env={"OCF_RA_VERSION_MAJOR": "2"})
        self.assertEqual(result.returncode, 1)
        self.assertIn("version 2", self.reason(result))

    def test_validate_all_refuses_what_no_node_could_do(self):
        for name, value, part in [("confg", "/x", "confg is unknown"), ("handoff", "maybe", "auto, off"),
                                  ("handoff", "on", "in doubt a stop is a real one"),
                                  ("snapshot", "/x", "not implemented yet"), ("xmfile", "/x", "not implemented yet"),
                                  ("migration_transport", "pigeon", "migrationd, ssh, tls, tcp"), ("name", "a\nb", "control characters")]:
            result = self.ocf("validate-all", env={"OCF_RESKEY_" + name: value})
            self.assertEqual(result.returncode, 6, name)
            self.assertIn(part, self.reason(result))
        self.assertEqual(self.ocf("validate-all", env={"OCF_CHECK_LEVEL": "0"}).returncode, 0)
        self.assertEqual(self.ocf("validate-all", env={"OCF_CHECK_LEVEL": "0", "OCF_RESKEY_config": ""}).returncode, 6)


class WithDaemon(Case):
    def test_the_request_has_everything_and_nothing_else(self):
        with Daemon() as daemon:
            result = self.ocf("migrate_to", "ignored", timeout=30000,
                              env={"OCF_RESKEY_CRM_meta_migrate_target": "node2", "UNRELATED": "x"})
            self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
            [request] = daemon.requests()
        self.assertLess(request.pop("timeout_ms"), 30000)
        self.assertEqual(request, {"operation": "migrate_to", "face": "ocf", "resource": "vm1", "cause": "none",
                                   "parameters": {"config": "/etc/vm/vm1.xml", "CRM_meta_timeout": "30000",
                                                  "CRM_meta_migrate_target": "node2"}})

    def test_validate_all_is_not_asked_of_it(self):
        """It looks at the domain's disks, and the daemon must not hang with their storage."""
        self.direct(5, "echo ocf-exit-reason:said directly >&2")
        with Daemon() as daemon:
            result = self.ocf("validate-all")
            self.assertEqual((result.returncode, self.reason(result)), (5, "said directly"))
            self.assertEqual(daemon.requests(), [])
        self.assertEqual(self.called(), ["--direct validate-all"])

    def test_codes_and_reasons_go_through(self):
        for code in range(8):
            with Daemon(f"monitor={code}:because\nof this"):
                result = self.ocf("monitor")
                self.assertEqual(result.returncode, code)
                self.assertEqual(result.stdout, "")
                self.assertEqual(self.reason(result), "because of this")

    def test_a_daemon_that_hangs_is_an_error_with_a_reason_before_the_time_is_up(self):
        self.direct(7)
        with Daemon("monitor=hang", "stop=hang") as daemon:
            for action in ["monitor", "stop"]:
                result = self.ocf(action, timeout=300)
                self.assertEqual(result.returncode, 1)
                self.assertIn("hasn't answered within the action's time", self.reason(result))
            self.assertTrue(all(0 < request["timeout_ms"] < 300 for request in daemon.requests()))
        self.assertEqual(self.called(), [])

    def test_a_stopped_daemon_is_an_error_too(self):
        with Daemon() as daemon:
            daemon.process.send_signal(signal.SIGSTOP)
            result = self.ocf("monitor", timeout=300)
            daemon.process.send_signal(signal.SIGCONT)
            self.assertEqual(result.returncode, 1)
            self.assertIn("doesn't answer within the action's time", self.reason(result))

    def test_without_a_time_the_advertised_one_counts(self):
        with Daemon() as daemon:
            for time in ["", "soon", "-5", "0"]:
                self.ocf("stop", timeout=time)
            for request in daemon.requests():
                self.assertGreater(request["timeout_ms"], 80000)
                self.assertLess(request["timeout_ms"], 90000)

    def test_parameters_that_are_not_text_are_an_error(self):
        with Daemon():
            result = self.call(OCF_PATH, "monitor", env={b"OCF_RESKEY_config": b"/etc/\xff"})
            self.assertEqual(result.returncode, 1)
            self.assertIn("isn't UTF-8", self.reason(result))
            result = self.ocf("monitor", env={"OCF_RESKEY_config": "/" + 70000 * "x"})
            self.assertEqual(result.returncode, 1)
            self.assertIn("too long", self.reason(result))

    @unittest.skipUnless(REAL_ROOT, "needs root to become another user")
    def test_other_users_are_refused(self):
        with Daemon():
            result = self.ocf("monitor", user=NOBODY, group=NOBODY, extra_groups=[])
            self.assertEqual(result.returncode, 4)
            self.assertIn("only root and members of the group haclient", self.reason(result))

    @unittest.skipUnless(REAL_ROOT and shutil.which("ocf-tester"), "needs root and ocf-tester")
    def test_ocf_tester(self):
        agent = self.directory / "ocf/resource.d/migrationd/VirtualDomain"
        agent.parent.mkdir(parents=True)
        shutil.copy(AGENT, agent)
        self.direct(0)
        with Daemon("stateful"):
            result = subprocess.run(["ocf-tester", "-n", "vm1", "-o", "config=/etc/vm/vm1.xml", str(agent)], text=True,
                                    cwd=self.directory, capture_output=True, timeout=120)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("passed all tests", result.stdout)


class WithoutDaemon(Case):
    def test_what_needs_proof_is_refused(self):
        self.direct(0)
        for action in ["start", "migrate_to", "migrate_from", "reload-agent"]:
            result = self.ocf(action)
            self.assertEqual(result.returncode, 1)
            self.assertIn("start the service migrationd", self.reason(result))
        self.assertEqual(self.called(), [])

    def test_what_needs_none_is_done_directly(self):
        for action, code in [("monitor", 7), ("monitor", 0), ("stop", 0), ("status", 7), ("validate-all", 5)]:
            self.direct(code, "echo ocf-exit-reason:said directly >&2")
            result = self.ocf(action)
            self.assertEqual(result.returncode, code)
            self.assertEqual(self.reason(result), "said directly")
        self.assertEqual(self.called(), ["--direct " + a for a in ["monitor", "monitor", "stop", "monitor", "validate-all"]])
        self.assertIn("MIGRATIOND_FACE=ocf\n", (self.directory / "environment").read_text())
        environment = (self.directory / "environment").read_text()
        self.assertIn("OCF_RESKEY_config=/etc/vm/vm1.xml\n", environment)
        self.assertIn("OCF_RESOURCE_INSTANCE=vm1\n", environment)

    def test_without_the_program_nothing_is_claimed(self):
        for action in ["monitor", "status", "stop"]:
            result = self.ocf(action)
            self.assertEqual(result.returncode, 1, action)
            self.assertIn("migrationd isn't running on this node", self.reason(result))
            self.assertIn("can't be run in its place", self.reason(result))
        result = self.ocf("validate-all")
        self.assertEqual(result.returncode, 1)
        self.assertIn("sbin/migrationd can't be run: No such file", self.reason(result))

    def test_inherited_descriptors_are_closed(self):
        self.direct(0, "ls /proc/$$/fd > descriptors")
        read, write = os.pipe()
        self.ocf("monitor", pass_fds=[read, write])
        os.close(read), os.close(write)
        # The shell has its script open, too.
        self.assertEqual([fd for fd in (self.directory / "descriptors").read_text().split() if int(fd) < 10], ["0", "1", "2"])

    def test_a_daemon_that_dies_in_mid_call(self):
        self.direct(0)
        with Daemon("monitor=die"):
            self.assertEqual(self.ocf("monitor").returncode, 0)
        self.assertEqual(self.called(), ["--direct monitor"])
        with Daemon("start=die"):
            result = self.ocf("start")
        self.assertEqual(result.returncode, 1)
        self.assertIn("migrationd isn't running", self.reason(result))

    def test_a_daemon_that_is_restarted_is_waited_for(self):
        """A real stop at once would end a healthy domain, in the middle of its move, too."""
        self.direct(0)
        for action in ["stop", "start", "migrate_to", "migrate_from"]:
            result = []
            with Daemon(f"{action}=die") as dying:
                agent = threading.Thread(target=lambda a=action, r=result: r.append(self.ocf(a, timeout=40000)))
                agent.start()
                dying.process.wait(30)
            with Daemon() as daemon:
                agent.join()
                self.assertEqual([one["operation"] for one in daemon.requests()], [action])
            self.assertEqual(result[0].returncode, 0, result[0].stderr)
        self.assertEqual(self.called(), [])


@unittest.skipUnless(REAL_ROOT, "needs root to become another user")
class Squatted(Case):
    """Another user has the daemon's name, and answers what he likes."""

    def test_no_action_believes_him_and_none_is_done_directly(self):
        self.direct(7)
        with Daemon("monitor=7", "status=7", user=NOBODY) as squatter:
            for action in DAEMONS_ACTIONS:
                result = self.ocf(action)
                self.assertEqual(result.returncode, 1, action)
                self.assertIn(f"of user {NOBODY}, which is not believed", self.reason(result))
            result = self.call("/etc/init.d/x0", "status")
            self.assertEqual((result.returncode, result.stdout), (4, ""))
            self.assertEqual(squatter.requests(), [])  # he wasn't told anything
        self.assertEqual(self.called(), [])


class MonitorScripts(Case):
    """The administrator's own checks."""

    def script(self, name, text):
        path = self.directory / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return str(path)

    def checked(self, *scripts, action="monitor", code=0, **more):
        with Daemon(f"{action}={code}:why"):
            return self.ocf(action, env={"OCF_RESKEY_monitor_scripts": " ".join(scripts)}, **more)

    def test_monitor_runs_all_until_one_fails(self):
        good = self.script("good", 'echo "$OCF_RESKEY_config" >> ran; echo much; exit 0\n')
        bad = self.script("bad", "echo no page >&2; exit 3\n")
        self.assertEqual(self.checked(good, good).returncode, 0)
        self.assertEqual((self.directory / "ran").read_text(), "/etc/vm/vm1.xml\n" * 2)
        result = self.checked(good, bad, good)
        self.assertEqual((result.returncode, self.reason(result)), (1, f"monitor_scripts: {bad} ended with 3: no page"))
        self.assertEqual((self.directory / "ran").read_text(), "/etc/vm/vm1.xml\n" * 3)

    def test_only_a_domain_that_runs_is_checked(self):
        bad = self.script("bad", "touch ran; exit 1\n")
        for code in (1, 7):
            self.assertEqual(self.checked(bad, code=code).returncode, code)
        for action in ("stop", "migrate_from"):
            self.assertEqual(self.checked(bad, action=action).returncode, 0)
        self.assertFalse((self.directory / "ran").exists())

    def test_one_that_is_missing_dies_or_hangs_is_a_failure_in_time(self):
        killed = self.script("killed", "kill -9 $$\n")
        hangs = self.script("hangs", "echo $$ > pid; echo waits; exec sleep 60\n")
        for script, part in [("/no/such", "can't be run: No such file"), (killed, "ended by signal 9"),
                             (hangs, "did not end in time and was killed: waits")]:
            result = self.checked(script, timeout=1500)
            self.assertEqual(result.returncode, 1)
            self.assertIn(part, self.reason(result))
        self.assertFalse(pathlib.Path("/proc/" + (self.directory / "pid").read_text().strip()).exists())

    def test_a_start_waits_until_the_services_are_up(self):
        late = self.script("late", "test -e ran || { touch ran; echo not yet; exit 1; }\n")
        self.assertEqual(self.checked(late, action="start").returncode, 0)
        never = self.script("never", "echo not yet; exit 1\n")
        result = self.checked(never, action="start", timeout=2000)
        self.assertEqual((result.returncode, self.reason(result)), (1, f"monitor_scripts: {never} ended with 1: not yet"))

    def test_without_the_daemon_they_are_run_too(self):
        self.direct(0)
        bad = self.script("bad", "exit 1\n")
        result = self.ocf("monitor", env={"OCF_RESKEY_monitor_scripts": bad})
        self.assertEqual(result.returncode, 1)
        self.assertEqual(self.called(), ["--direct monitor"])


class InitScript(Case):
    def test_status_prints_one_word_and_has_the_codes_of_lsb(self):
        for code, word, expected in [(0, "running\n", 0), (7, "stopped\n", 3), (1, "", 4), (4, "", 4)]:
            with Daemon(f"status={code}:why"):
                result = self.call("/etc/init.d/x0", "status")
            self.assertEqual((result.stdout, result.returncode), (word, expected))
            self.assertEqual(result.stderr, "" if word else "x0: status unknown: why\n")

    def test_parameters_come_from_the_resources_file(self):
        (self.resources / "x0.conf").write_text("# x0\n\n config = /etc/vm/x 0.xml \nhandoff=off\n")
        with Daemon() as daemon:
            for program, arguments in [("/etc/init.d/x0", ["start"]), ("/etc/rc2.d/S20x0", ["start"]),
                                       ("/etc/ha.d/resource.d/migrationd", ["x0", "start"])]:
                result = self.call(program, *arguments, env={"OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": "other"})
                self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
            for request in daemon.requests():
                self.assertEqual(request["parameters"], {"config": "/etc/vm/x 0.xml", "handoff": "off"})
                self.assertEqual((request["face"], request["resource"], request["operation"]), ("lsb", "x0", "start"))
                self.assertEqual(request["timeout_ms"], 0)  # nobody set one, so start_timeout counts

    def test_without_a_file_the_definition_is_libvirts(self):
        with Daemon() as daemon:
            self.assertEqual(self.call("/etc/init.d/x0", "stop").returncode, 0)
            [request] = daemon.requests()
        self.assertEqual(request["parameters"], {"config": "/etc/libvirt/qemu/x0.xml"})
        self.assertEqual(request["cause"], "by_hand")

    def test_a_file_that_cannot_be_read_is_an_error(self):
        (self.resources / "x0.conf").write_text("config = /x\nwhat is this\n")
        (self.resources / "x1.conf").mkdir()
        (self.resources / "x2.conf").write_text("a = 1\na = 2\n")
        (self.resources / "x3.conf").write_text("# " + 70000 * "x")
        with Daemon() as daemon:
            for name, part in [("x0", "line 2 isn't NAME = VALUE"), ("x1", "Is a directory"), ("x2", "line 2 sets a once more"),
                               ("x3", "larger than 64 KiB")]:
                result = self.call("/etc/init.d/" + name, "start")
                self.assertEqual(result.returncode, 6)
                self.assertIn(part, result.stderr)
                result = self.call("/etc/init.d/" + name, "status")
                self.assertEqual((result.returncode, result.stdout), (4, ""))
            self.assertEqual(daemon.requests(), [])

    def test_a_stop_goes_on_with_what_can_be_read_of_the_file(self):
        (self.resources / "x0.conf").write_text("config = /x\nwhat is this\nname = y\n")
        (self.resources / "x1.conf").mkdir()
        (self.resources / "x2.conf").write_text("config = /x\nconfig = /y\nforce_stop = yes\n")
        (self.resources / "x3.conf").write_text("# " + 70000 * "x")
        (self.resources / "x4.conf").write_bytes(b"config = /etc/b\xf6se.xml\nname = y\n")
        expected = [("x0", "line 2 isn't NAME = VALUE", {"config": "/x", "name": "y"}), ("x1", "Is a directory", {}),
                    ("x2", "line 2 sets config once more", {"force_stop": "yes"}), ("x3", "larger than 64 KiB", {}),
                    ("x4", "config isn't UTF-8", {"name": "y"})]
        for name, part, parameters in expected:
            with Daemon("stop=0") as daemon:
                result = self.call("/etc/init.d/" + name, "stop")
                self.assertEqual(result.returncode, 0, name)
                self.assertIn(part, result.stderr)
                [request] = daemon.requests()
            self.assertEqual((request["resource"], request["operation"], request["parameters"]), (name, "stop", parameters))
        self.direct(0)
        self.assertEqual(self.call("/etc/init.d/x0", "stop").returncode, 0)
        self.assertEqual(self.called(), ["--direct stop"])

    def test_bad_names_and_words_are_refused(self):
        with Daemon() as daemon:
            for name in ["../x0", ".x0", "-x0", "", "a/b", "a\nb", 201 * "x"]:
                result = self.call("/etc/ha.d/resource.d/migrationd", name, "start")
                self.assertEqual(result.returncode, 2, name)
                self.assertIn("is no name of a resource", result.stderr)
            self.assertEqual(self.call("/etc/ha.d/resource.d/migrationd", "start").returncode, 2)
            self.assertEqual(self.call("/etc/init.d/x0").returncode, 2)
            self.assertEqual(self.call("/etc/init.d/x0", "explode").returncode, 3)
            self.assertEqual(daemon.requests(), [])

    def test_restart_and_force_reload(self):
        with Daemon() as daemon:
            self.assertEqual(self.call("/etc/init.d/x0", "restart").returncode, 0)
            self.assertEqual(self.call("/etc/init.d/x0", "force-reload").returncode, 0)
            self.assertEqual([request["operation"] for request in daemon.requests()], ["stop", "start", "reload-agent"])
        with Daemon("stop=1:busy") as daemon:
            result = self.call("/etc/init.d/x0", "restart")
            self.assertEqual((result.returncode, result.stderr), (1, "x0: restart failed: busy\n"))
            self.assertEqual([request["operation"] for request in daemon.requests()], ["stop"])

    def test_without_daemon(self):
        for code, word, expected in [(0, "running\n", 0), (7, "stopped\n", 3), (1, "", 4)]:
            self.direct(code)
            result = self.call("/etc/init.d/x0", "status")
            self.assertEqual((result.stdout, result.returncode), (word, expected))
        self.direct(0)
        self.assertEqual(self.call("/etc/init.d/x0", "stop").returncode, 0)
        result = self.call("/etc/init.d/x0", "start")
        self.assertEqual(result.returncode, 1)
        self.assertIn("start the service migrationd", result.stderr)
        self.assertEqual(self.called(), 3 * ["--direct monitor"] + ["--direct stop"])
        environment = (self.directory / "environment").read_text()
        for line in ["OCF_RESOURCE_INSTANCE=x0", "OCF_RESKEY_config=/etc/libvirt/qemu/x0.xml", "MIGRATIOND_FACE=lsb"]:
            self.assertIn(line + "\n", environment)
        (self.directory / "sbin/migrationd").unlink()
        result = self.call("/etc/init.d/x0", "status")
        self.assertEqual((result.returncode, result.stdout), (4, ""))
        self.assertIn("can't be run in its place", result.stderr)

    def test_the_cause_is_told_by_the_processes_above(self):
        script = self.directory / "x0"
        os.symlink(AGENT, script)
        run = f'exec -a /etc/init.d/x0 {AGENT} stop'
        for name in ["ResourceManager", "ip-request"]:
            (self.directory / name).write_text('#!/bin/bash\n"${@:2}"\ntrue\n')
            (self.directory / name).chmod(0o755)
        agent = ["bash", "-c", run]
        manager, request = str(self.directory / "ResourceManager"), str(self.directory / "ip-request")
        shutdown = ["bash", "-c", f"(exec -a 'heartbeat: hb_signal_giveup_resources' bash -c '{manager} givegroup bash -c \"{run}\"; true'); true"]
        for cause, command in [("by_hand", agent), ("standby", [manager, "givegroup", *agent]), ("roll_back", [manager, "takegroup", *agent]),
                               ("peer_request", [request, "ip-request", manager, "givegroup", *agent]), ("shutdown", shutdown)]:
            with Daemon() as daemon:
                subprocess.run(command, cwd=self.directory, check=True, stdin=subprocess.DEVNULL, timeout=60)
                self.assertEqual([one["cause"] for one in daemon.requests()], [cause])


if __name__ == "__main__":
    main()
