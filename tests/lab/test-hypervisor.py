#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""LibvirtHypervisor and direct mode on the lab's real libvirt and QEMU: what is said of a domain and how a job ends
when everything goes well, when daemons are killed or hang, and when nobody is left but the dead-man.

Needs `make tests/lab/hypervisor-probe` first; HYPERVISOR_PROBE names the program when it isn't in the current
directory's tests/lab."""

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "lab" / "tests"))

from lab_test import Lab, check, name, run, wait_until  # noqa: E402

PROGRAM = Path(os.environ.get("HYPERVISOR_PROBE", "tests/lab/hypervisor-probe")).resolve()
IN_NODE = "/root/hypervisor-probe"
STATE = "/root/probe-state"
lab = None
probes = []


class Probe:
    """A hypervisor-probe on a node; `do` sends a command and waits for its answer."""

    def __init__(self, node):
        self.node = lab.node(node)
        self.process = self.node.popen([IN_NODE, f"--state={STATE}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=(log := tempfile.TemporaryFile()), text=True)
        self.log = log
        self.lines, self.news = [], threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        self.pid = self.wait(lambda line: line.get("event") == "started")["pid"]
        self.wait(lambda line: line.get("event") == "hypervisor" and line["usable"])

    def _read(self):
        for text in self.process.stdout:
            with self.news:
                self.lines.append(json.loads(text))
                self.news.notify_all()

    def wait(self, wanted, timeout=60):
        """The next line that is wanted; it and those before it are taken."""
        ends = time.monotonic() + timeout
        with self.news:
            while True:
                for at, line in enumerate(self.lines):
                    if wanted(line):
                        del self.lines[:at + 1]
                        return line
                if time.monotonic() > ends:
                    self.log.seek(0)
                    raise AssertionError(f"{self.node}: it did not come within {timeout} s; last: {self.lines[-5:]}; "
                                         f"exit code {self.process.poll()}; {self.log.read()[-1500:].decode()}")
                self.news.wait(0.5)

    def send(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def do(self, text, timeout=60):
        self.send(text)
        return self.wait(lambda line: line.get("done") == text.split()[0], timeout)

    def look(self):
        return self.do(f"look {uuid()}")

    def here(self):
        return self.look()["here"]

    def until(self, here, timeout=30):
        wait_until(lambda: self.here() == here, timeout, f"{self.node} to show the domain as {here}")

    def close(self):
        """As kill -9 of a daemon."""
        self.node.run(["kill", "-KILL", str(self.pid)], check=False)
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


@functools.cache
def uuid():
    """The guest's; asked for once, because later libvirtd may hang."""
    return lab.node("node1").virsh("domuuid", "vm1").stdout.strip()


def pid_of(node, file):
    return lab.node(node).run(["cat", file]).stdout.strip()


def send_signal(node, number, file):
    lab.node(node).run(["kill", f"-{number.name[3:]}", pid_of(node, file)])


LIBVIRTD, QEMU = "/run/libvirtd.pid", "/run/libvirt/qemu/vm1.pid"


def slow(to="node2", limit=0):
    """A migration that takes seconds: 1 MiB/s."""
    return f"migrate {uuid()} qemu+tcp://{to}/system - 30 1 {limit}"


def comes_back_to(probe):
    """It may still be being cleaned up there, and the check says so until it can."""
    said = set()
    wait_until(lambda: (answer := probe.do(f"check {lab.guest('vm1').xml}"))["ok"] or said.add(answer["why"]), 30, "the domain to be let in again")
    check(all("cleaned up" in why for why in said), said)


def ask_while_it_is_paused(probe):
    """One ping, on its way to the guest on that node when this returns. The network still knew the guest where it came from."""
    mac = re.search(r"<mac address='(.*?)'", probe.node.virsh("dumpxml", "vm1").stdout)[1]
    probe.do(f"announce {uuid()}")
    wait_until(lambda: f"{mac} dev vnet" in probe.node.run("bridge fdb show br br0").stdout, 10, "the bridge to know the guest")
    address = lab.guest("vm1").address
    lab.client.run(f"ip neigh replace {address} lladdr {mac} dev eth0")  # or it would ask, and be answered, first
    before = sent_pings()
    asked = lab.client.popen(["fping", "-c", "1", "-t", "30000", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: sent_pings() > before, 10, "the ping to leave")
    return asked


def sent_pings():
    names, figures = [line.split() for line in lab.client.run("cat /proc/net/snmp").stdout.splitlines() if line.startswith("Icmp:")]
    return int(dict(zip(names, figures))["OutEchos"])


def case_up():
    global lab
    lab = Lab.up(name=name(), stack="none")
    for node in ("node1", "node2"):
        shutil.copy(PROGRAM, lab.settings.node_folder(node) / "root" / "hypervisor-probe")
    probes.extend((Probe("node1"), Probe("node2")))
    check(probes[0].look()["healthy"] and probes[1].here() == "absent", "before anything")


def case_a_copy_arrives_paused_and_is_known_as_one_after_a_restart():
    one, two = probes
    end = one.do(f"migrate {uuid()} qemu+tcp://node2/system - 30")
    check(end["end"] == "migrated", end)
    two.wait(lambda line: line.get("here") == "incoming")
    check(one.here() != "running", "after the switchover")
    two.until("paused")
    two.close()
    probes[1] = two = Probe("node2")
    check(two.here() == "paused", "after a restart of the daemon")
    check("urn:migrationd:copy" in lab.node("node2").virsh("dumpxml", "vm1").stdout, "no mark")
    asked = ask_while_it_is_paused(two)
    check(two.do(f"resume {uuid()}")["ok"] and two.look()["healthy"], "resumed")
    check(asked.wait(30) == 0, "what a client sent to the guest before it was resumed was lost")
    lab.guest("vm1").wait_up()
    # From now on a pause is the administrator's.
    lab.node("node2").virsh("suspend", "vm1")
    two.wait(lambda line: "administrator" in line.get("detail", ""))
    check(two.here() == "running", two.look())
    check("urn:migrationd:copy" not in lab.node("node2").virsh("dumpxml", "vm1").stdout, "the mark is left behind")


def case_a_domain_paused_by_its_administrator_stays_so():
    one, two = probes
    comes_back_to(one)
    check(two.do(f"migrate {uuid()} qemu+tcp://node1/system -")["end"] == "migrated", "paused domain")
    one.until("paused")
    check(one.do(f"resume {uuid()}")["ok"], "resume")
    check("paused" in lab.node("node1").virsh("domstate", "vm1").stdout, "it was resumed")
    check(one.here() == "running", one.look())
    lab.node("node1").virsh("resume", "vm1")


def case_a_job_is_aborted_at_its_limit():
    end = probes[0].do(slow(limit=1500))
    check(end["end"] == "runs_here" and "canceled" in end["why"], end)
    check(probes[0].look()["healthy"], probes[0].look())
    probes[1].until("absent")


def case_source_libvirtd_killed_in_mid_flight():
    one = probes[0]
    one.send(slow())
    probes[1].wait(lambda line: line.get("here") == "incoming")
    send_signal("node1", signal.SIGKILL, LIBVIRTD)
    one.wait(lambda line: line.get("event") == "hypervisor" and not line["usable"])
    check(one.here() == "unknown", "while libvirt is away")
    lab.node("node1").run(["libvirtd", "-d"])
    end = one.wait(lambda line: line.get("done") == "migrate")
    check(end["end"] == "runs_here", end)
    lab.guest("vm1").wait_up()
    probes[1].until("absent")


def case_our_daemon_killed_in_mid_flight_follows_the_job_again():
    probes[0].send(slow())
    probes[1].wait(lambda line: line.get("here") == "incoming")
    probes[0].close()
    probes[0] = one = Probe("node1")
    check(one.look()["job"], one.look())
    one.send(f"watch {uuid()}")
    one.do(f"abort {uuid()}")
    end = one.wait(lambda line: line.get("done") == "watch")
    check(end["end"] == "runs_here", end)
    probes[1].until("absent")


def case_the_source_emulator_dies_in_mid_flight():
    one = probes[0]
    one.send(slow())
    probes[1].wait(lambda line: line.get("here") == "incoming")
    send_signal("node1", signal.SIGKILL, QEMU)
    end = one.wait(lambda line: line.get("done") == "migrate")
    check(end["end"] == "vanished", end)
    one.until("absent")
    probes[1].until("absent")


def case_boot_and_refusals():
    one, xml = probes[0], lab.guest("vm1").xml
    check(one.do(f"check {xml}")["ok"], "check")
    check(one.do(f"boot {xml}")["ok"] and one.look()["healthy"], "boot")
    again = one.do(f"boot {xml}")
    check(not again["ok"] and "already active" in again["why"], again)
    bad = one.do(f"migrate {uuid()} qemu+tcp://node2/system - 30 0 0 --persistent")
    check(bad["end"] == "runs_here" and "leaves no definitions behind" in bad["why"], bad)


def case_a_hung_libvirtd_is_noticed_and_recovers():
    one = probes[0]
    send_signal("node1", signal.SIGSTOP, LIBVIRTD)
    one.wait(lambda line: line.get("event") == "hypervisor" and not line["usable"])
    check(one.here() == "unknown", "hung")
    send_signal("node1", signal.SIGCONT, LIBVIRTD)
    one.wait(lambda line: line.get("event") == "hypervisor" and line["usable"])
    check(one.look()["healthy"], one.look())


def case_a_hung_emulator_is_destroyed():
    one = probes[0]
    send_signal("node1", signal.SIGSTOP, QEMU)
    check(one.do(f"destroy {uuid()}")["ok"] and one.here() == "absent", "destroy")


def direct(*words, timeout="20000", config=None, name=None):
    settings = [f"OCF_RESKEY_config={config or lab.guest('vm1').xml}", f"OCF_RESKEY_CRM_meta_timeout={timeout}",
                *([f"OCF_RESKEY_name={name}"] if name else [])]
    return lab.node("node1").run(["env", *settings, IN_NODE, "--direct", f"--state-dir={STATE}", f"--runtime-dir={STATE}-run", *words],
                                 check=False, timeout=120)


def case_direct_mode_with_libvirtd_up_down_and_hung():
    def monitor():
        """Also where the definition can't be read and the name must do."""
        told = direct("monitor").returncode
        by_name = direct("monitor", config="/none.xml", name="vm1")
        check(by_name.returncode == told, f"{told} by its definition, by its name {by_name.returncode}: {by_name.stderr}")
        return told

    check(monitor() == 7, "absent")
    for trouble in ("none", "down", "hung"):
        probes[0].do(f"boot {lab.guest('vm1').xml}")
        check(monitor() == 0, trouble)
        if trouble == "down":
            send_signal("node1", signal.SIGKILL, LIBVIRTD)
        elif trouble == "hung":
            send_signal("node1", signal.SIGSTOP, LIBVIRTD)
        check(monitor() == 0, f"running, libvirtd {trouble}")
        stopped = direct("stop")
        check(stopped.returncode == 0, (trouble, stopped))
        # Hung: libvirtd could be just starting it, so nobody can say that it doesn't run.
        check(monitor() == (1 if trouble == "hung" else 7), f"stopped, libvirtd {trouble}")
        if trouble == "down":
            lab.node("node1").run(["libvirtd", "-d"])
            probes[0].wait(lambda line: line.get("event") == "hypervisor" and line["usable"])
        elif trouble == "hung":
            send_signal("node1", signal.SIGCONT, LIBVIRTD)
            probes[0].wait(lambda line: line.get("event") == "hypervisor" and line["usable"])
    missing = direct("monitor", config="/none.xml")
    check(missing.returncode == 5 and "No such file" in missing.stderr, missing)


def case_a_managed_save_is_warned_of_and_never_booted_from():
    one, node = probes[0], lab.node("node1")
    xml = lab.guest("vm1").xml
    one.until("absent")
    node.virsh("define", xml)
    node.virsh("autostart", "vm1")
    node.virsh("start", "vm1")
    node.virsh("managedsave", "vm1")
    warned = "\n".join(one.do(f"warnings {uuid()}")["warnings"])
    check("virsh autostart --disable vm1" in warned and "virsh managedsave-remove vm1" in warned, warned)
    other = uuid()[:-1] + ("0" if uuid()[-1] != "0" else "1")
    check(one.do(f"warnings {other}")["warnings"] == [], "another domain's")
    one.until("absent")
    check(one.do(f"boot {xml}")["ok"], "boot")
    check(one.look()["healthy"], one.look())
    node.virsh("autostart", "--disable", "vm1")
    check(one.do(f"warnings {uuid()}")["warnings"] == [], "the image is gone, and with it the warning")
    saved = node.virsh("list", "--all", "--with-managed-save", "--name").stdout.split()
    check(saved == [], saved)
    one.do(f"destroy {uuid()}")
    node.virsh("undefine", "vm1")


def case_the_dead_man_ends_an_offer_whose_daemon_was_killed():
    one = probes[0]
    one.do(f"boot {lab.guest('vm1').xml}")
    check(one.do("lock")["ok"], "lock")
    check(one.do(f"offer {uuid()} vm1 3000")["ok"], "offer")
    check(direct("monitor").returncode == 7, "an offered domain is not running here")
    wait_until(lambda: lab.node("node1").run(f"ls {STATE}-run/dead-man", check=False).stdout.strip(), 10, "the dead-man's record")
    one.close()
    probes[0] = one = Probe("node1")
    one.until("absent", 90)
    wait_until(lambda: one.do(f"phase {uuid()}")["phase"] == "gone", 10, "the journal to say gone")


def case_a_disarmed_dead_man_does_nothing():
    one = probes[0]
    one.do(f"boot {lab.guest('vm1').xml}")
    one.do(f"offer {uuid()} vm1 600000")
    armed = time.monotonic() + 10
    while not (record := lab.node("node1").run(f"cat {STATE}-run/dead-man/{uuid()}", check=False).stdout.split()):
        check(time.monotonic() < armed, "no dead-man was recorded")
    pid = record[0]
    one.do(f"disarm {uuid()}")
    wait_until(lambda: lab.node("node1").run(["kill", "-0", pid], check=False).returncode != 0, 10, "the dead-man's end")
    check(one.look()["healthy"], "still running")


if __name__ == "__main__":
    if not PROGRAM.is_file():
        print(f"SKIP: {PROGRAM} isn't built: make tests/lab/hypervisor-probe")
        sys.exit(77)
    sys.exit(run(globals()))
