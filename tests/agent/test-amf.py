#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent as AMF's CLC-CLI program: called as amfnd calls it, with the stand-in for the daemon there, away, or with bad news.

Working directory: the top of the build tree.
"""

import ctypes
import fcntl
import json
import os
import pathlib
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from daemon_stand_in import StandIn, main  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.getcwd())
AGENT = BUILD / "tests/agent/agent-under-test"
STAND_IN = BUILD / "tests/agent/stand-in"
EXAMPLE = TOP / "opensaf/vm1.xml"
PROGRAM = "/usr/lib/migrationd/amf"
COMPONENT = "safComp=vm1,safSu=1,safSg=2N,safApp=vms"
WORDS = ["instantiate", "terminate", "cleanup", "am_start", "am_stop"]
NO_MORE_ATTEMPTS = 200
LIMIT = 30  # seconds that anything is awaited


class Daemon(StandIn):
    def __init__(self, *rules):
        super().__init__(STAND_IN, *rules)

    def requests(self):
        return [json.loads(line) for line in super().requests()]


class Case(unittest.TestCase):
    """A stand-in for amfnd: it takes over whom its commands leave behind, so that their ends are seen."""

    def setUp(self):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="migrationd-amf-"))
        self.addCleanup(shutil.rmtree, self.directory)
        (self.directory / "sbin").mkdir()
        self.resources = self.directory / "etc/migrationd/resources"
        self.resources.mkdir(parents=True)
        self.path = self.directory / "bin"
        self.path.mkdir()
        self.news = self.directory / "news"
        os.mkfifo(self.news)
        self.hears = os.open(self.news, os.O_RDWR)
        self.addCleanup(os.close, self.hears)
        self.addCleanup(self.end_monitor)

    def end_monitor(self):
        if self.monitor():
            os.killpg(self.monitor(), signal.SIGKILL)

    def script(self, path, text):
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return str(path)

    def direct(self, code):
        """Installs a `migrationd` whose --direct notes how it was called and ends with `code`."""
        self.script(self.directory / "sbin/migrationd", f'echo "$@" >> called\nenv > environment\nexit {code}\n')

    def amfnd(self, *words, component=COMPONENT, timeout=LIMIT, env=None, **more):
        """Calls the CLC-CLI command. That its output ends shows that nothing that it leaves behind holds amfnd's descriptors."""
        environment = {"PATH": f"{self.path}:{os.environ['PATH']}", "NCS_ENV_NODE_ID": "131343", **(env or {})}
        if component is not None:
            environment["SA_AMF_COMPONENT_NAME"] = component
        return subprocess.run([PROGRAM, *words], executable=str(AGENT), env=environment, cwd=self.directory, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, process_group=0, **more)

    def succeeds(self, *words, **more):
        result = self.amfnd(*words, **more)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def monitor(self, name="vm1"):
        """The process that watches, as the kernel knows it by its lock; 0: none."""
        lock = self.directory / "run/amf" / f"{name}.monitor"
        if not lock.exists():
            return 0
        with open(lock, "r+") as file:
            kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)))
        return 0 if kind == fcntl.F_UNLCK else pid

    def hear(self):
        """The next line that a script has written to news."""
        self.assertTrue(select.select([self.hears], [], [], LIMIT)[0], "no news")
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self.hears, 1)
        return line.decode().rstrip("\n")

    def await_end(self, pid):
        """How the process ended that amfnd has inherited; nothing of its group may be left."""
        process = os.pidfd_open(pid)
        self.assertTrue(select.select([process], [], [], LIMIT)[0], f"process {pid} does not end")
        os.close(process)
        status = os.waitpid(pid, 0)[1]
        with self.assertRaises(ProcessLookupError):
            os.killpg(pid, 0)
        return status

    def reporter(self):
        """A program that tells by whom and how it was called to report an error."""
        return {"MIGRATIOND_AMF_REPORT": self.script(self.path / "report", f'echo "$PPID" "$@" > {self.news}\n'), "MIGRATIOND_AMF_INTERVAL": "100ms", "MIGRATIOND_AMF_PATIENCE": "100ms"}

    def amfpm(self, code=0):
        self.script(self.path / "amfpm", f'echo "$@" >> {self.directory}/amfpm-calls\nexit {code}\n')

    def amfpm_calls(self):
        return (self.directory / "amfpm-calls").read_text().splitlines()


class LifeCycle(Case):
    def test_each_command_is_what_an_init_script_would_ask_for(self):
        config = {"config": "/etc/libvirt/qemu/vm1.xml"}
        for word, operation, parameters in [("instantiate", "start", config), ("terminate", "stop", config),
                                            ("cleanup", "stop", {**config, "force_stop": "yes", "handoff": "off"})]:
            with Daemon() as daemon:
                self.succeeds(word)
                [request] = daemon.requests()
            self.assertEqual(request, {"operation": operation, "face": "lsb", "resource": "vm1", "cause": "by_hand", "timeout_ms": 0,
                                       "parameters": parameters})

    def test_the_resource_is_the_argument_the_variable_or_the_component(self):
        (self.resources / "web 1.conf").write_text("config = /etc/vm/web.xml\n")
        for words, env, component, name in [
                ([], {}, COMPONENT, "vm1"), ([], {"MIGRATIOND_RESOURCE": "x0"}, COMPONENT, "x0"),
                (["x1"], {"MIGRATIOND_RESOURCE": "x0"}, COMPONENT, "x1"), ([], {}, "safComp=web 1,safSu=2", "web 1"),
                ([], {}, r"safComp=a\,b\\c\3D\c3\b6,safSu=2", "a,b\\c=ö"), ([], {}, "safComp=alone", "alone")]:
            with Daemon() as daemon:
                self.succeeds("terminate", *words, env=env, component=component)
                [request] = daemon.requests()
            self.assertEqual(request["resource"], name)
            self.assertEqual(request["parameters"], {"config": "/etc/vm/web.xml" if name == "web 1" else f"/etc/libvirt/qemu/{name}.xml"})

    def test_names_that_are_none_reach_nobody(self):
        self.direct(0)
        with Daemon() as daemon:
            for component in [None, "", "vm1", "safSu=1,safSg=2N", "safcomp=vm1", "safComp=", "safComp=,safSu=1", "safComp=../vm1,safSu=1",
                              r"safComp=\2e\2e\2fvm1", r"safComp=..\/vm1", "safComp=.vm1", "safComp=-vm1", "safComp=a\nb", r"safComp=a\00b",
                              "safComp=vm1\\", r"safComp=\2", r"safComp=\zz", "safComp=" + 201 * "x", "safComp=vm1," + 2048 * "x"]:
                for word in WORDS:
                    result = self.amfnd(word, component=component)
                    self.assertEqual(result.returncode, NO_MORE_ATTEMPTS if word == "instantiate" else 2, component)
                    self.assertRegex(result.stderr, "SA_AMF_COMPONENT_NAME|is no name of a resource")
            for name in ["", "../vm1", "a/b", ".", "-x"]:
                self.assertEqual(self.amfnd("cleanup", env={"MIGRATIOND_RESOURCE": name}).returncode, 2, name)
                self.assertEqual(self.amfnd("am_start", name).returncode, 2, name)
            self.assertEqual(daemon.requests(), [])
        self.assertFalse((self.directory / "run").exists())
        self.assertFalse((self.directory / "called").exists())

    def test_unknown_words_are_refused(self):
        with Daemon() as daemon:
            for words in [["explode"], ["start"], ["Instantiate"], [""]]:
                result = self.amfnd(*words)
                self.assertEqual(result.returncode, 3, words)
                self.assertIn("instantiate|terminate|cleanup|am_start|am_stop", result.stderr)
            for words in [[], ["terminate", "vm1", "vm2"]]:
                self.assertEqual(self.amfnd(*words).returncode, 2)
            self.assertEqual(daemon.requests(), [])

    def test_an_instantiate_says_whether_another_attempt_can_help(self):
        for code in range(1, 8):
            with Daemon(f"start={code}:because of this", f"stop={code}:because of that"):
                result = self.amfnd("instantiate")
                self.assertEqual(result.returncode, NO_MORE_ATTEMPTS if 2 <= code <= 6 else 1, code)
                self.assertEqual(result.stderr, "vm1: instantiate failed: because of this\n")
                for word in ["terminate", "cleanup"]:
                    result = self.amfnd(word)
                    self.assertEqual((result.returncode, result.stderr), (1, f"vm1: {word} failed: because of that\n"))

    def test_a_bad_file_starts_nothing_and_keeps_nothing_running(self):
        (self.resources / "vm1.conf").write_text("config = /x\nwhat is this\nname = y\n")
        with Daemon() as daemon:
            self.assertEqual(self.amfnd("instantiate").returncode, NO_MORE_ATTEMPTS)
            self.assertEqual(self.amfnd("am_start").returncode, 1)
            self.assertEqual(self.amfnd("terminate").returncode, 0)
            self.assertEqual(self.amfnd("cleanup").returncode, 0)
            self.assertEqual([one["parameters"] for one in daemon.requests()],
                             [{"config": "/x", "name": "y"}, {"config": "/x", "name": "y", "force_stop": "yes", "handoff": "off"}])

    def test_a_command_that_amfnd_kills_leaves_the_way_for_a_cleanup(self):
        with Daemon("start=hang", "stateful") as daemon:
            with self.assertRaises(subprocess.TimeoutExpired):
                self.amfnd("instantiate", timeout=1)
            self.succeeds("cleanup")
            self.assertEqual([one["operation"] for one in daemon.requests()], ["start", "stop"])

    def test_without_the_daemon_it_is_cleaned_up_and_not_started(self):
        self.direct(0)
        (self.resources / "vm1.conf").write_text("config = /etc/vm/vm1.xml\nforce_stop = no\n")
        for _ in range(2):
            self.succeeds("cleanup")
        self.assertEqual((self.directory / "called").read_text(), "--direct stop\n" * 2)
        environment = (self.directory / "environment").read_text().splitlines()
        for line in ["OCF_RESOURCE_INSTANCE=vm1", "OCF_RESKEY_config=/etc/vm/vm1.xml", "OCF_RESKEY_force_stop=yes", "MIGRATIOND_FACE=lsb"]:
            self.assertIn(line, environment)
        result = self.amfnd("instantiate")
        self.assertEqual(result.returncode, 1)  # the daemon may be back for the next attempt
        self.assertIn("start the service migrationd", result.stderr)
        self.direct(1)
        self.assertEqual(self.amfnd("cleanup").returncode, 1)


class Monitor(Case):
    def test_a_domain_that_is_gone_is_reported_and_the_monitor_ends(self):
        env = {**self.reporter(), "MIGRATIOND_AMF_RECOVERY": "compfailover"}
        with Daemon("stateful"):
            self.succeeds("instantiate")
            self.succeeds("am_start", env=env)
            monitor = self.monitor()
            self.assertEqual(os.getsid(monitor), monitor)
            self.assertEqual({os.readlink(f"/proc/{monitor}/fd/{fd}") for fd in range(3)}, {"/dev/null"})
            self.succeeds("terminate")
            self.assertEqual(self.hear(), f"{monitor} {COMPONENT} compfailover")
            self.assertEqual(self.await_end(monitor), 0)
            self.succeeds("am_stop", env=env)

    def test_bad_news_must_last(self):
        """A libvirt that is restarted answers for a while that it doesn't know."""
        with Daemon("monitor=1:crashed") as daemon:
            self.succeeds("am_start", env=self.reporter())
            monitor, *words = self.hear().split()
            self.assertEqual(words, [COMPONENT, "norec"])
            self.assertEqual(self.await_end(int(monitor)), 0)
            self.assertEqual([one["operation"] for one in daemon.requests()], ["monitor", "monitor"])

    def test_a_report_that_fails_is_made_again(self):
        env = self.reporter()
        self.script(self.path / "report", f'echo "$@" > {self.news}\ntest -e {self.directory}/again && exit 0\ntouch {self.directory}/again\nexit 1\n')
        with Daemon("monitor=7"):
            self.succeeds("am_start", env=env)
            for _ in range(2):
                self.assertEqual(self.hear(), f"{COMPONENT} norec")

    def test_am_stop_ends_it_with_all_that_it_runs(self):
        """Also when amfnd has its children begin with signals held back or ignored."""
        def as_amfnd_was():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        env = self.reporter()
        self.script(self.path / "report", f"echo $$ > {self.news}\nexec sleep 20\n")
        self.direct(7)  # and there is no daemon
        self.succeeds("am_start", env=env, preexec_fn=as_amfnd_was)
        monitor, report = self.monitor(), int(self.hear())
        self.assertEqual(os.getpgid(report), monitor)
        self.succeeds("am_stop", env=env)
        self.assertEqual(self.monitor(), 0)
        self.were_killed([monitor, report])
        self.succeeds("am_stop", env=env)

    def were_killed(self, processes):
        for one in processes:
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]), -signal.SIGKILL)
        with self.assertRaises(ProcessLookupError):
            os.killpg(processes[0], 0)

    def test_am_stop_ends_one_that_does_not_listen(self):
        with Daemon():
            self.succeeds("am_start", env=self.reporter())
            monitor = self.monitor()
            os.kill(monitor, signal.SIGSTOP)
            self.succeeds("am_stop", env=self.reporter())
            self.await_end(monitor)

    def test_am_stop_without_a_monitor_does_nothing(self):
        self.amfpm()
        self.succeeds("am_stop")
        self.assertFalse((self.directory / "run").exists())
        self.assertFalse((self.directory / "amfpm-calls").exists())
        self.assertEqual(self.amfnd("am_stop", env={"MIGRATIOND_AMF_RECOVERY": "prayer"}).returncode, 0)

    def test_amfs_passive_monitoring_hears_of_its_end(self):
        self.amfpm()
        with Daemon("stateful"):
            self.succeeds("instantiate")
            self.succeeds("am_start", env={"MIGRATIOND_AMF_INTERVAL": "100ms", "MIGRATIOND_AMF_RECOVERY": "comprestart"})
            first = self.monitor()
            self.succeeds("am_start", env={"MIGRATIOND_AMF_INTERVAL": "100ms"})
            second = self.monitor()
            self.assertNotIn(second, (0, first))
            self.await_end(first)
            self.succeeds("terminate")
            self.assertEqual(os.waitstatus_to_exitcode(self.await_end(second)), 1)
            self.succeeds("am_stop")
            self.assertEqual(self.amfpm_calls(), [f"--start --pid={first} --recrec=comprestart {COMPONENT}", f"--stop --pid={first} {COMPONENT}",
                                                  f"--start --pid={second} --recrec=norec {COMPONENT}"])
            self.succeeds("instantiate")
            self.succeeds("am_start")
            third = self.monitor()
            self.succeeds("am_stop")
            self.await_end(third)
            self.assertEqual(self.amfpm_calls()[-1], f"--stop --pid={third} {COMPONENT}")

    def test_a_monitor_that_amf_does_not_know_of_is_none(self):
        with Daemon():
            result = self.amfnd("am_start")
            self.assertEqual(result.returncode, 1)
            self.assertIn("amfpm can't be run: No such file", result.stderr)
            self.amfpm(code=1)
            result = self.amfnd("am_start")
            self.assertEqual(result.returncode, 1)
            self.assertIn("amfpm ended with 1", result.stderr)
            self.assertEqual(self.monitor(), 0)

    def test_settings_that_can_not_be_used_are_refused(self):
        self.amfpm()
        with Daemon() as daemon:
            for name, value in [("INTERVAL", "soon"), ("INTERVAL", "-1"), ("REPORT", "report"), ("RECOVERY", "prayer"), ("RECOVERY", "norec x")]:
                result = self.amfnd("am_start", env={"MIGRATIOND_AMF_" + name: value})
                self.assertEqual(result.returncode, 1, value)
                self.assertIn("MIGRATIOND_AMF_" + name, result.stderr)
            self.assertEqual(daemon.requests(), [])
        self.assertEqual(self.monitor(), 0)

    def test_a_lock_that_others_could_have_made_is_not_used(self):
        env = self.reporter()
        locks = self.directory / "run/amf"
        locks.mkdir(parents=True, mode=0o700)
        other = self.directory / "other"
        other.write_text("mine")
        (locks / "vm1.monitor").symlink_to(other)
        for reason in ["can't be opened", "is open to others"]:
            result = self.amfnd("am_start", env=env)
            self.assertEqual(result.returncode, 1)
            self.assertIn(reason, result.stderr)
            (locks / "vm1.monitor").unlink(missing_ok=True)
            locks.chmod(0o777)
        self.assertEqual(other.read_text(), "mine")
        locks.rmdir()
        locks.symlink_to(self.directory)
        self.assertEqual(self.amfnd("am_start", env=env).returncode, 1)


class Example(Case):
    """The IMM file of the documentation."""

    def setUp(self):
        super().setUp()
        self.objects = {}
        for one in xml.etree.ElementTree.parse(EXAMPLE).getroot().findall("object"):
            dn = one.findtext("dn")
            self.assertNotIn(dn, self.objects)
            self.objects[dn] = (one.get("class"), {a.findtext("name"): [v.text for v in a.findall("value")] for a in one.findall("attr")})

    def of_class(self, name):
        return {dn: attributes for dn, (kind, attributes) in self.objects.items() if kind == name}

    def test_all_that_is_named_is_there(self):
        def parent(dn):
            return re.split(r"(?<!\\),", dn, maxsplit=1)[1:]
        elsewhere = {f"safAmfNode=SC-{i},safAmfCluster=myAmfCluster" for i in (1, 2)}
        for dn, (_, attributes) in self.objects.items():
            named = [value for values in attributes.values() for value in values if value.startswith("saf")] + parent(dn)
            for escaped in re.findall(r"(?:safMember\w+|safSupportedCsType)=((?:[^,\\]|\\.)*)", dn):
                named.append(escaped.replace("\\,", ","))
            for other in named:
                self.assertIn(other, elsewhere | set(self.objects), dn)

    def test_it_is_two_ranked_units_of_a_2n_group(self):
        [(_, group_type)] = self.of_class("SaAmfSGType").items()
        self.assertEqual(group_type["saAmfSgtRedundancyModel"], ["1"])
        units = self.of_class("SaAmfSU")
        self.assertEqual(sorted(unit["saAmfSURank"][0] for unit in units.values()), ["1", "2"])
        self.assertEqual(len({unit["saAmfSUHostNodeOrNodeGroup"][0] for unit in units.values()}), 2)
        self.assertEqual({dn.split(",")[0] for dn in self.of_class("SaAmfComp")}, {"safComp=vm1"})

    def test_the_agent_takes_each_of_its_commands(self):
        self.amfpm()
        [(_, kind)] = self.of_class("SaAmfCompType").items()
        commands = {part: [kind[f"saAmfCtRelPath{part}Cmd"][0], kind[f"saAmfCtDef{part}CmdArgv"][0]]
                    for part in ["Instantiate", "AmStart", "AmStop", "Terminate", "Cleanup"]}
        self.assertEqual(sorted(words[1] for words in commands.values()), sorted(WORDS))
        makefile = (TOP / "Makefile.am").read_text()
        for dn, component in self.of_class("SaAmfComp").items():
            env = dict(one.split("=", 1) for one in component["saAmfCompCmdEnv"])
            for bundle in self.of_class("SaAmfNodeSwBundle").values():
                for program, *words in commands.values():
                    path = bundle["saAmfNodeSwBundlePathPrefix"][0] + "/" + program
                    self.assertEqual(path, PROGRAM)
                    with Daemon():
                        self.succeeds(*words, component=dn, env=env)
        self.assertIn("amfdir = $(prefix)/lib/migrationd\n", makefile)


if __name__ == "__main__":
    main()
