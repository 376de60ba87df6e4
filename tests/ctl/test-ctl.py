#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""migrationctl from outside: its words, exit codes and complaints, with a daemon that answers, refuses, or isn't there.

Working directory: the top of the build tree.
"""

import json
import os
import pathlib
import pty
import signal
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from daemon_stand_in import NOBODY, REAL_ROOT, StandIn, main  # noqa: E402

BUILD = pathlib.Path(os.getcwd())
CTL = BUILD / "migrationctl/migrationctl"
STAND_IN = BUILD / "tests/ctl/stand-in"
# No cluster here: the tools of Pacemaker would wait for one.
NO_TOOLS = {"PATH": "/nonexistent"}


def domain(**more):
    return {"name": "vm1", "resource": "r1", "phase": "held", "here": "running", "detail": "", "healthy": True, "doubt": "",
            "peer": None, "holder": "alpha", "offer_left_ms": None, **more}


def status(*domains):
    return json.dumps({"node": "alpha", "hypervisor": "answers", "warnings": [], "domains": domains,
                       "peers": [{"node": "beta", "linked": True, "member": True, "farewell": False}]})


class Daemon(StandIn):
    def __init__(self, *answers):
        super().__init__(STAND_IN, *answers)


def ctl(*arguments, user=None, answer="", env=None):
    return subprocess.run([str(CTL), *arguments], input=answer, text=True, capture_output=True, timeout=60, user=user,
                          group=user, extra_groups=None if user is None else [], env=env if env is not None else NO_TOOLS)


class Case(unittest.TestCase):
    def live(self, cib):
        """An environment in which the cluster's CIB is that file."""
        tools = tempfile.TemporaryDirectory()
        self.addCleanup(tools.cleanup)
        cibadmin = pathlib.Path(tools.name, "cibadmin")
        cibadmin.write_text(f"#!/bin/sh\nexec cat '{cib}'\n")
        cibadmin.chmod(0o755)
        return {**os.environ, "PATH": f"{tools.name}:{os.environ['PATH']}"}

    def complains(self, result, *parts, code=1):
        self.assertEqual((result.returncode, result.stdout), (code, ""))
        for part in parts:
            self.assertIn(part, result.stderr)
        self.assertTrue(result.stderr.endswith("\n"))


class Complaints(Case):
    def test_without_a_daemon(self):
        for arguments in [["status"], ["status", "--json"], ["watch"], ["alarms"], ["alarms", "ack", "1"], ["alarms", "clear", "1"],
                          ["events"], ["events", "--follow"], ["forget", "beta", "--yes"], ["evacuate", "alpha"]]:
            self.complains(ctl(*arguments), "migrationctl: ", "isn't running on this node", "systemctl start migrationd")

    def test_usage(self):
        for arguments in [[], ["explode"], ["forget"], ["explain"], ["status", "x"], ["watch", "--nonsense"],
                          ["explain", "vm1", "--cib", "x"], ["plan"], ["evacuate"], ["return"], ["adopt"], ["adopt", "--all", "vm1"],
                          ["alarms", "ack"], ["alarms", "ack", "x"], ["alarms", "ack", "1", "--all"], ["alarms", "clear"], ["alarms", "x"],
                          ["events", "--since", "now"]]:
            self.assertEqual(ctl(*arguments).returncode, 2, arguments)
        for arguments in [["--help"], ["--version"], ["watch", "--help"]]:
            result = ctl(*arguments)
            self.assertEqual((result.returncode, result.stderr), (0, ""), arguments)

    @unittest.skipUnless(REAL_ROOT, "only root can become somebody else")
    def test_somebody_else_is_told_who_may_ask(self):
        with Daemon(status()):
            self.complains(ctl("status", user=NOBODY), "haclient")

    def test_an_answer_of_another_version(self):
        with Daemon('{"node": 7}'):
            self.complains(ctl("status"), "another version")

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_a_full_disk_is_a_failure(self):
        with Daemon(status()), open("/dev/full", "w") as full:
            result = subprocess.run([str(CTL), "status"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn("standard output", result.stderr)


class Words(Case):
    def test_status(self):
        with Daemon(status(domain()), status(domain())) as daemon:
            result = ctl("status")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("vm1     r1        running     held   alpha", result.stdout)
            self.assertIn("beta  up    yes", result.stdout)
            self.assertEqual(json.loads(ctl("status", "--json").stdout)["domains"][0]["phase"], "held")
            self.assertEqual(daemon.requests(), ["ctl-status ", "ctl-status "])

    def test_forget_asks_first(self):
        with Daemon('{"domains": ["vm1", "vm2"]}') as daemon:
            for answer in ["", "no\n", "y\n"]:
                result = ctl("forget", "beta", answer=answer)
                self.complains(result, "will run twice", "nothing was forgotten")
            result = ctl("forget", "beta", answer="yes\n")
            self.assertEqual(result.returncode, 0)
            self.assertIn("beta held last: vm1, vm2.", result.stdout)
            self.assertEqual(daemon.requests(), ["ctl-forget beta"])
        with Daemon('{"domains": []}'):
            result = ctl("forget", "beta", "--yes")
            self.assertEqual(result.returncode, 0)
            self.assertIn("There was nothing to forget", result.stdout)
        with Daemon("2:beta is not a configured node of this cluster") as daemon:
            self.complains(ctl("forget", "beta", "--yes"), "not a configured node")

    def test_explain_says_what_it_can(self):
        history = [{"ago_ms": 5000, "text": "taken back: it stays here", "alarm": False}]
        answers = [status(), json.dumps(domain(history=history))]
        with Daemon(*answers) as daemon:
            result = ctl("explain", "vm1")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("5 s ago     taken back: it stays here\n", result.stdout)
            self.assertIn("can't be asked of Pacemaker's scheduler", result.stdout)
            self.assertEqual(daemon.requests(), ["ctl-status ", "ctl-explain vm1"])
        with Daemon(*answers):
            answer = json.loads(ctl("explain", "vm1", "--json").stdout)
            self.assertIsNone(answer["intent"])
            self.assertEqual(answer["domain"]["history"], history)
        with Daemon(status(), "1:no domain or resource 'vm9' is known"):
            self.complains(ctl("explain", "vm9"), "'vm9' is known", "; and ")
        with Daemon(status()) as daemon:  # the daemon of this node knows nothing of another's decisions
            self.complains(ctl("explain", "vm1", "--node", "beta"), "the daemon on beta")
            self.assertEqual(daemon.requests(), ["ctl-status "])

    def test_explain_under_heartbeat(self):
        under_heartbeat = json.dumps({**json.loads(status()), "cluster": "heartbeat"})
        with Daemon(under_heartbeat, json.dumps(domain())):
            result = ctl("explain", "vm1")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("judged when it comes, by why Heartbeat stops", result.stdout)
            self.assertNotIn("scheduler", result.stdout)
        with Daemon(under_heartbeat, json.dumps(domain(real_stop="handoff=off"))):
            self.assertIn("would really stop it: handoff=off", ctl("explain", "vm1").stdout)
        with Daemon(under_heartbeat, json.dumps(domain())):
            answer = json.loads(ctl("explain", "vm1", "--json").stdout)
            self.assertIsNone(answer["intent"])
            self.assertIn("by why Heartbeat stops", answer["reason"])

    def test_explain_asks_the_destination_as_a_stop_would(self):
        """A cluster whose scheduler plans a move of vm from n1 to n2, by a saved CIB in place of the live one."""
        cib = pathlib.Path(__file__).resolve().parent.parent / "unit/data/intent/move.xml"
        here = status().replace('"alpha"', '"n1"')
        asked = ["ctl-status ", "ctl-explain vm", "ctl-ready vm1 node=n2"]
        live = self.live(cib)

        def explain(*answers, node=(), asked=asked):
            with Daemon(*answers) as daemon:
                result = ctl("explain", "vm", "--json", *node, env=live)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(daemon.requests(), asked)
                answer = json.loads(result.stdout)
                self.assertEqual(list(answer), ["intent", "to", "reason", "domain"])  # as in migrationctl(8)
                return answer["intent"], answer["to"], answer["reason"]

        vm = json.dumps(domain(resource="vm", real_stop=None))
        intent, to, reason = explain(here, vm, '{"ready": true, "why": null}')
        self.assertEqual((intent, to), ("offer", "n2"))
        self.assertTrue(reason.endswith(", and its daemon says that it is ready"), reason)
        intent, to, reason = explain(here, vm, '{"ready": false, "why": "n2 can\'t take it: no memory"}')
        self.assertEqual((intent, to), ("stop", None))
        self.assertTrue(reason.endswith("n2 is not ready: n2 can't take it: no memory"), reason)
        intent, to, reason = explain(here, vm, "1:it is being stopped")
        self.assertEqual((intent, to), ("offer", "n2"))
        self.assertTrue(reason.endswith("if it is ready, which was not asked: it is being stopped"), reason)
        # What makes it a real stop here needs no destination.
        for why in ["handoff=off", "it is paused (I/O error)"]:
            self.assertEqual(explain(here, json.dumps(domain(resource="vm", real_stop=why)), asked=asked[:2]), ("stop", None, why))
        # Another node's stop: its own daemon would ask.
        intent, to, reason = explain(status(), node=["--node", "n1"], asked=asked[:1])
        self.assertEqual((intent, to), ("offer", "n2"))
        self.assertIn("was not asked: only the daemon on n1", reason)

    def test_explain_offline_asks_no_daemon(self):
        cib = pathlib.Path(__file__).resolve().parent.parent / "unit/data/intent/move.xml"
        node = next(line.split('uname="')[1].split('"')[0] for line in cib.read_text().splitlines() if "<node " in line)
        resource = next(line.split('id="')[1].split('"')[0] for line in cib.read_text().splitlines() if "<primitive " in line)
        with Daemon() as daemon:
            answer = ctl("explain", resource, "--cib", str(cib), "--node", node, "--json", env=dict(os.environ))
            self.assertEqual(answer.returncode, 0, answer.stderr)
            self.assertEqual(list(json.loads(answer.stdout)), ["intent", "to", "reason"])
            self.assertEqual(daemon.requests(), [])


class Plan(Case):
    DATA = pathlib.Path(__file__).resolve().parent.parent / "unit/data/intent"

    def saved(self, name):
        """One of the saved CIBs, with the domain under our agent."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        cib = pathlib.Path(folder.name, "cib.xml")
        cib.write_text((self.DATA / name).read_text().replace('provider="heartbeat"', 'provider="migrationd"'))
        return str(cib)

    def plan(self, *arguments, env=None):
        result = ctl("plan", *arguments, env=env or dict(os.environ))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def test_what_a_standby_would_do_is_said_of_each_domain(self):
        cib = self.saved("quiet.xml")
        before = pathlib.Path(cib).read_text()
        self.assertEqual(self.plan("n1", "--cib", cib), "RESOURCE  HOW   TO  TAKES      WHY\n"
                         "vm        live  n2  not known  it is to be started on n2\nStandby of n1 would move 1 of 1 live.\n")
        self.assertEqual(pathlib.Path(cib).read_text(), before)
        [one] = json.loads(self.plan("n1", "--json", "--cib", cib))
        self.assertEqual(one, {"resource": "vm", "intent": "offer", "to": "n2", "reason": "it is to be started on n2",
                               "migrate_to": False, "takes_ms": None, "priority": None})
        stopped = self.plan("n1", "--cib", self.saved("storage-group.xml"))
        self.assertIn("vm        stopped  -   -      fs stops on n1 once it has stopped", stopped)
        self.assertIn("would move 0 of 1 live", stopped)
        self.assertIn("No domain of ocf:migrationd:VirtualDomain is active on n2", self.plan("n2", "--cib", cib))
        self.assertEqual(json.loads(self.plan("n2", "--json", "--cib", cib)), [])

    def test_on_the_node_itself_the_destination_is_asked(self):
        vm = json.dumps(domain(resource="vm", real_stop=None))
        with Daemon(status().replace('"alpha"', '"n1"'), vm, '{"ready": false, "why": "no memory"}') as daemon:
            said = self.plan("n1", env=self.live(self.saved("quiet.xml")))
            self.assertEqual(daemon.requests(), ["ctl-status ", "ctl-explain vm", "ctl-ready vm1 node=n2"])
        self.assertIn("vm        stopped  -   ", said)
        self.assertIn("no memory", said)

    def test_the_time_that_it_will_probably_take_is_said(self):
        vm = json.dumps(domain(resource="vm", real_stop=None))
        for answer, text, number in [({"takes_ms": 12500, "priority": 7}, "vm        live  n2  about 13 s  ", 12500),
                                     ({"takes_ms": None, "priority": 0}, "vm        live  n2  not known  ", None),
                                     ({}, "vm        live  n2  not known  ", None)]:
            ready = json.dumps({"ready": True, "why": None, **answer})
            with Daemon(status().replace('"alpha"', '"n1"'), vm, ready):
                self.assertIn(text, self.plan("n1", env=self.live(self.saved("quiet.xml"))))
            with Daemon(status().replace('"alpha"', '"n1"'), vm, ready):
                [one] = json.loads(self.plan("n1", "--json", env=self.live(self.saved("quiet.xml"))))
                self.assertEqual((one["takes_ms"], one["priority"]), (number, answer.get("priority")))

    def test_what_cannot_be_planned_is_said(self):
        self.complains(ctl("plan", "n9", "--cib", self.saved("quiet.xml"), env=dict(os.environ)), 'no node named "n9"', "n1, n2")
        self.complains(ctl("plan", "n1", "--cib", "/no/such", env=dict(os.environ)), "/no/such")


class Evacuate(Case):
    def test_what_is_in_the_way_is_said(self):
        here = json.loads(status(domain(resource="vm")))
        with Daemon(json.dumps(here)):
            self.complains(ctl("evacuate", "beta", "--yes"), "this node is alpha", "type it there")
        with Daemon(json.dumps({**here, "cluster": "heartbeat"})):
            self.complains(ctl("evacuate", "alpha"), "hb_standby")
        with Daemon(json.dumps({**here, "cluster": "pacemaker"})):
            self.complains(ctl("evacuate", "alpha"), "alpha is not evacuated", "cibadmin")

    def test_without_a_cluster_nothing_is_touched(self):
        self.complains(ctl("return", "alpha"), "alpha does not return", "cibadmin")
        self.complains(ctl("adopt", "vm1"), "can't be read", "nothing was changed")


class Adopt(Case):
    """What comes before the cluster is changed; tests/lab/test-adopt.py has the rest."""

    DATA = pathlib.Path(__file__).resolve().parent.parent / "unit/data/intent"

    def test_what_there_is_to_adopt(self):
        env = self.live(self.DATA / "quiet.xml")
        self.complains(ctl("adopt", "vm9", env=env), 'no resource, group or template "vm9"', "domains are: vm", "nothing was changed")
        result = ctl("adopt", "--undo", "vm", env=env)
        self.assertEqual((result.returncode, result.stdout), (0, "vm is run by ocf:heartbeat:VirtualDomain already.\nThere is nothing to do.\n"))

    def test_the_daemon_must_be_asked(self):
        self.complains(ctl("adopt", "vm", "--dry-run", env=self.live(self.DATA / "quiet.xml")), "systemctl start migrationd", "nothing was changed")


def alarm(**more):
    return {"id": 3, "kind": "domain-unhealthy", "severity": "critical", "text": "paused (I/O error)", "raised": "2026-11-28T20:41:35.120Z",
            "subject": {"what": "domain", "name": "vm1", "uuid": "u", "resource": "r1"}, "last": "2026-11-28T20:41:35.120Z", "count": 4,
            "acknowledged": None, "acknowledged_by": "", "cleared": None, "cleared_why": "", **more}


def alarms(*them):
    return json.dumps({"node": "alpha", "alarms": them, "left_off": 0})


class Alarms(Case):
    def test_those_that_stand(self):
        with Daemon(alarms(alarm()), alarms(), alarms(alarm())) as daemon:
            result = ctl("alarms", env={**NO_TOOLS, "TZ": "UTC"})
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(result.stdout, "ALARM  SEVERITY  SINCE                TIMES  ABOUT     SEEN BY  KIND              TEXT\n"
                             "3      critical  2026-11-28 20:41:35  4      vm1 (r1)  -        domain-unhealthy  paused (I/O error)\n")
            self.assertEqual(ctl("alarms").stdout, "No alarm stands on alpha.\n")
            self.assertEqual(json.loads(ctl("alarms", "--json").stdout)["alarms"], [alarm()])
            self.assertEqual(daemon.requests(), ["ctl-alarms "] * 3)

    def test_those_that_were(self):
        with Daemon(alarms(alarm(cleared="2026-11-28T21:00:00.000Z", cleared_why="it runs here"))) as daemon:
            result = ctl("alarms", "--all")
            self.assertEqual(result.returncode, 0)
            self.assertIn("No alarm stands on alpha.\n\nCLEARED", result.stdout)
            self.assertIn("it runs here", result.stdout)
            self.assertEqual(daemon.requests(), ["ctl-alarms  all=yes"])

    def test_by_hand(self):
        who = {**NO_TOOLS, "SUDO_USER": "ann"}
        with Daemon('{"acknowledged": 1}', '{"acknowledged": 2}', '{"cleared": 1}') as daemon:
            self.assertEqual(ctl("alarms", "ack", "3", env=who).returncode, 0)
            self.assertEqual(ctl("alarms", "ack", "--all", env=who).stdout, "2 alarms acknowledged\n")
            self.assertEqual(ctl("alarms", "clear", "3", env=who).returncode, 0)
            self.assertEqual(daemon.requests(), ["ctl-alarm-acknowledge 3 by=ann", "ctl-alarm-acknowledge  all=yes by=ann", "ctl-alarm-clear 3 by=ann"])
        with Daemon("1:there is no alarm 3", "1:there is no alarm 3"):
            self.complains(ctl("alarms", "ack", "3"), "not acknowledged: there is no alarm 3")
            self.complains(ctl("alarms", "clear", "3"), "not cleared: there is no alarm 3")

    @unittest.skipUnless(REAL_ROOT, "only root can become somebody else")
    def test_somebody_else_may_not(self):
        with Daemon(alarms()):
            for arguments in [["alarms"], ["alarms", "clear", "3"], ["events"]]:
                self.complains(ctl(*arguments, user=NOBODY), "haclient")


def events(*numbers, lost=0, **more):
    return json.dumps({"node": "alpha", "lost": lost, "last": 9, "events": [
        {"number": number, "at": "2026-11-28T20:41:35.120Z", "kind": "link-up", "text": "the link to beta is up", "alarm": None,
         "subject": {"what": "node", "name": "beta", "uuid": "", "resource": ""}, **more} for number in numbers]})


class Events(Case):
    def test_a_line_each(self):
        with Daemon(events(1, 2), events(3)) as daemon:
            result = ctl("events", env={**NO_TOOLS, "TZ": "UTC"})
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(result.stdout.splitlines(), [f"2026-11-28 20:41:35 {n} link-up node beta: the link to beta is up" for n in (1, 2, 3)])
            self.assertEqual(daemon.requests(), ["ctl-events "])
        with Daemon(events(1, 2), events(3)) as daemon:
            result = ctl("events", "--json", "--since", "7")
            self.assertEqual([json.loads(line)["number"] for line in result.stdout.splitlines()], [1, 2, 3])
            self.assertEqual(daemon.requests(), ["ctl-events  since=7"])

    def test_what_is_lost_is_said(self):
        with Daemon(events(5, lost=3)):
            self.assertIn("3 events are lost", ctl("events", "--since", "1").stderr)
        with Daemon(events(5, lost=3)):
            self.assertEqual(ctl("events").stderr, "")

    def test_followed_until_interrupted(self):
        with Daemon(events(1), events(), events(2), events(3)) as daemon:
            process = subprocess.Popen([str(CTL), "events", "--follow", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            seen = [json.loads(process.stdout.readline())["number"] for _ in range(3)]
            process.send_signal(signal.SIGINT)
            rest, complaint = process.communicate(timeout=60)
            self.assertEqual((seen, process.returncode, rest, complaint), ([1, 2, 3], 0, "", ""))
            self.assertEqual(daemon.requests(), ["ctl-events  follow=yes"])


class Watch(Case):
    """Ends by itself when the daemon does, which is a failure; and quietly when it is interrupted."""

    ANSWERS = [status(domain(phase="offered", offer_left_ms=90000)), status(domain(phase="offered", offer_left_ms=89000)),
               status(domain(phase="moving", peer="beta"))]

    def watch(self, *arguments, lines, stdout=subprocess.PIPE):
        with Daemon(*self.ANSWERS):
            process = subprocess.Popen([str(CTL), "watch", *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True)
            said = [process.stdout.readline() for _ in range(lines)]
            process.send_signal(signal.SIGINT)
            rest, complaint = process.communicate(timeout=60)
        self.assertEqual((process.returncode, rest, complaint), (0, "", ""))
        return said

    def test_each_change_is_a_line(self):
        said = [line[9:] for line in self.watch(lines=4)]
        self.assertEqual(said, ["the hypervisor answers\n", "node beta: linked, member\n", "vm1: offered on alpha, running here\n",
                                "vm1: moving alpha -> beta, running here\n"])

    def test_progress(self):
        job = {"elapsed_ms": 3000, "total_bytes": 100 << 20, "remaining_bytes": 25 << 20, "bytes_per_second": 8 << 20,
               "iteration": 1}
        moving = domain(phase="moving", peer="beta", job=job)
        self.ANSWERS = [status(moving), status(moving), status({**moving, "job": {**job, "remaining_bytes": 0}})]
        said = [line[9:] for line in self.watch(lines=5)]
        self.assertEqual(said[3:], ["vm1: migration alpha -> beta: 75 % done, 25 MiB of 100 MiB left, 8 MiB/s, pass 1, 3 s\n",
                                    "vm1: migration alpha -> beta: 100 % done, 0 KiB of 100 MiB left, 8 MiB/s, pass 1, 3 s\n"])
        said = [json.loads(line)["domains"][0]["job"]["remaining_bytes"] for line in self.watch("--json", lines=2)]
        self.assertEqual(said, [25 << 20, 0])

    def test_json(self):
        said = [json.loads(line)["domains"][0]["phase"] for line in self.watch("--json", lines=2)]
        self.assertEqual(said, ["offered", "moving"])

    def test_on_a_terminal_it_draws_anew(self):
        ours, theirs = pty.openpty()
        with Daemon(*self.ANSWERS):
            process = subprocess.Popen([str(CTL), "watch"], stdout=theirs, stderr=subprocess.PIPE)
            os.close(theirs)
            seen = b""
            while b"alpha -> beta" not in seen:
                seen += os.read(ours, 4096)
            process.send_signal(signal.SIGINT)
            self.assertEqual((process.wait(60), process.stderr.read()), (0, b""))
            process.stderr.close()
        os.close(ours)
        self.assertEqual(seen.count(b"\033[H"), 3)
        self.assertEqual(seen.count(b"\033[2J"), 1)

    def test_the_daemon_ends(self):
        daemon = Daemon(*self.ANSWERS)
        process = subprocess.Popen([str(CTL), "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4):
            process.stdout.readline()
        daemon.__exit__()
        _, complaint = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn("went away", complaint)


if __name__ == "__main__":
    main()
