# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab as its users see it: the Python behind lab/lab, for the tests and the demo.

    with Lab.up(name="t1", stack="pacemaker") as lab:
        lab.node("node1").run(["crm_mon", "-1"])
        lab.cut("node1", "node2"); lab.kill("node1"); lab.witness()["ok"]
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from . import disks, guest_image, heartbeat, machine_image, pacemaker, witness
from .errors import LabError, run
from .guests import Guest
from .hosts import Host, Machine, Node
from .layout import LAB_ROOT, Settings, check_labs_folder, labs_folder
from .namespaces import Process, members, wait_until


class Lab:
    def __init__(self, settings):
        self.settings, self.name, self.folder = settings, settings.name, settings.folder
        self.nodes = [(Machine if name in settings.machines else Node)(self, name) for name in settings.node_names]
        self.guests = [Guest(self, name) for name in settings.guest_names]
        self.storage, self.client = Host(self, "storage"), Host(self, "client")

    @classmethod
    def open(cls, name="lab"):
        return cls(Settings.load(name))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    def node(self, name):
        return self._named(self.nodes, name, "node")

    def guest(self, name):
        return self._named(self.guests, name, "guest")

    def _named(self, things, name, kind):
        for thing in things:
            if thing.name == name:
                return thing
        raise LabError(f"no {kind} {name!r} in lab {self.name!r}: there are {', '.join(t.name for t in things)}")

    # -- up and down ---------------------------------------------------------------------------------------------

    @classmethod
    def up(cls, *, progress=lambda text: None, start_guests=True, keep=False, **settings):
        """Brings a lab up and returns it when its cluster is ready; leaves nothing behind when it cannot
        (with keep: what failed is left for a look, and for down()).

        settings: as layout.Settings (name, stack, nodes, guests, guest_memory, fencing, install: folder or
        {node: folder}, machines: {node: kind}, haresources). Without a cluster stack the guests are started: vm1 on
        node1, vm2 on node2 ...
        """
        if os.geteuid() != 0:
            raise LabError("a lab needs root: it makes namespaces, mounts and a bridge of its own")
        if not isinstance(settings.get("install") or {}, dict):
            settings["install"] = {"*": str(Path(settings["install"]).resolve())}
        settings = Settings(**{k: v for k, v in settings.items() if v is not None})
        settings.check()
        missing = [c for c in ("qemu-system-x86_64", "libvirtd", "fping", "nft", "ip", "tc", "nsenter",
                               *{"pacemaker": ["corosync", "pacemakerd"], "heartbeat": ["cl_status"],
                                 "none": []}[settings.stack]) if not shutil.which(c)]
        if missing:
            raise LabError(f"not installed: {', '.join(missing)}; run lab/install-packages lab")
        lab = cls(settings)
        check_labs_folder()
        try:
            settings.folder.mkdir()
        except FileExistsError:
            raise LabError(f"there is a lab {settings.name!r} already ({settings.folder}): lab/lab down --name "
                           f"{settings.name} first, or choose another --name") from None
        umask = os.umask(0o022)  # what is made now is the nodes' file system
        try:
            progress("guest image")
            guest_image.build()
            if settings.machines:
                progress("kernel of the machines")
                machine_image.build()
            # Whether KVM works in a machine is not known.
            settings.accel = "tcg" if settings.machines else guest_image.accelerator()
            settings.save()
            progress(f"disks (guests run under {settings.accel})")
            for folder in ("control", "layers/lab", "nodes"):
                (settings.folder / folder).mkdir(parents=True)
            disks.make_layers(settings)
            for node in settings.node_names:
                disks.make_node_disk(settings, node)
            disks.make_guest_disks(settings)
            lab._start_rack()
            progress(f"power on: {', '.join(settings.node_names)}")
            lab._in_parallel(lambda node: lab.request(op="power", node=node.name, action="on"))
            lab.wait_ready(progress=progress)
            if start_guests and settings.stack == "none":
                for i, guest in enumerate(lab.guests):
                    node = lab.nodes[i % len(lab.nodes)]
                    progress(f"{guest.name} on {node.name}")
                    guest.start(node)
            return lab
        except BaseException as e:
            if not (keep and isinstance(e, LabError)):
                lab.down()
            raise
        finally:
            os.umask(umask)

    def _start_rack(self):
        with open(self.folder / "rack.log", "ab") as log:
            starter = subprocess.Popen(
                [sys.executable, "-m", "migrationd_lab.rack", self.name], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, cwd="/",
                env={**os.environ, "PYTHONPATH": str(LAB_ROOT), "PYTHONDONTWRITEBYTECODE": "1"})
        try:
            if starter.wait(timeout=20) != 0:
                raise LabError(f"the rack did not start: {self._rack_log()}")
        finally:
            starter.kill()
            starter.wait()

        def started():
            if (self.folder / "rack.ready").exists():
                return True
            if not self.rack_process():
                raise LabError(f"the rack ended: {self._rack_log()}")
            return False
        wait_until(started, 30, lambda: f"start of the rack (see {self.folder}/rack.log)")

    def _rack_log(self):
        return (self.folder / "rack.log").read_text(errors="replace")[-600:].strip()

    def _in_parallel(self, work):
        errors = []

        def guarded(node):
            try:
                work(node)
            except LabError as e:
                errors.append(e)
        threads = [threading.Thread(target=guarded, args=(node,), daemon=True) for node in self.nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def wait_ready(self, timeout=None, progress=lambda text: None):
        """Until every node has booted and the cluster, if there is one, has formed."""
        deadline = time.monotonic() + (timeout or max(node.boot_timeout for node in self.nodes))
        for node in self.nodes:
            node.wait_booted(max(1, deadline - time.monotonic()))
        progress(f"nodes booted; stack: {self.settings.stack}")
        if self.settings.stack == "pacemaker":
            # The last node: crm_mon is slow on a machine, and machines come first.
            wait_until(lambda: pacemaker.ready(self.nodes[-1], self.settings), max(1, deadline - time.monotonic()),
                       lambda: f"Pacemaker with all of {self.nodes} online", interval=0.2)
        elif self.settings.stack == "heartbeat":
            for node in self.nodes:
                wait_until(lambda n=node: heartbeat.ready(n, self.settings), max(1, deadline - time.monotonic()),
                           f"Heartbeat on {node.name}", interval=0.2)

    def down(self):
        """Ends all of the lab's processes and removes its folder, whatever state it is in."""
        impatient = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, impatient)
        try:
            self._down()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _down(self):
        rack = self.rack_process()
        if rack:
            inside = [p for p in (Process.of(pid) for pid in members(rack.pid)) if p and p != rack]
            rack.kill()
            for process in inside:  # those who entered a node from outside
                process.kill()
        deadline = time.monotonic() + 10
        while self.folder.exists():
            try:
                shutil.rmtree(self.folder)
            except OSError as e:  # the last mounts are going just now
                if time.monotonic() > deadline:
                    raise LabError(f"cannot remove {self.folder}: {e}; remove it by hand") from e
                time.sleep(0.1)

    @staticmethod
    def read_record(path):
        try:
            record = json.loads(path.read_text())
            return Process(record["pid"], record["start"])
        except (FileNotFoundError, NotADirectoryError):
            return None

    def rack_process(self):
        found = self.read_record(self.folder / "rack.json")
        return found if found and found.alive() else None

    # -- what can be done to it ----------------------------------------------------------------------------------

    def request(self, **request):
        """One request to the rack, and its answer."""
        folder = os.open(self.folder / "control", os.O_PATH)
        try:
            with socket.socket(socket.AF_UNIX) as rack:
                rack.settimeout(90)
                rack.connect(f"/proc/self/fd/{folder}/rack")
                rack.sendall((json.dumps(request) + "\n").encode())
                line = rack.makefile().readline()
        except OSError as e:
            raise LabError(f"lab {self.name!r} does not answer ({e}): lab/lab down --name {self.name} cleans up") from e
        finally:
            os.close(folder)
        answer = json.loads(line or '{"ok": false, "error": "the rack gave no answer"}')
        if not answer.pop("ok"):
            raise LabError(answer["error"])
        return answer

    def cut(self, a, b, one_way=False):
        """Drops what a sends to b, and b to a unless one_way; members: nodes, storage, client, and "power" (a node's
        way to the power switch)."""
        self.request(op="cut", a=a, b=b, one_way=one_way)

    def heal(self, a, b, one_way=False):
        self.request(op="heal", a=a, b=b, one_way=one_way)

    def heal_all(self):
        self.request(op="heal-all")

    def kill(self, node):
        """Power loss: everything on the node is gone at once; its disk stays."""
        self.request(op="power", node=node, action="off")

    def boot(self, node, wait=True):
        """Power on (a new boot id); waits until its services run, not for the cluster: that is wait_ready()."""
        self.request(op="power", node=node, action="on")
        if wait:
            self.node(node).wait_booted()

    def limit(self, node, rate):
        """rate as tc writes it ("300mbit"), "off" = no limit; holds both ways and over reboots."""
        self.request(op="limit", node=node, rate=rate)

    # -- what can be known about it ------------------------------------------------------------------------------

    def status(self):
        """{"name", "stack", "accel", "members": {name: {"on", "limit"}}, "cuts", "guests": {name: {node: state}}}"""
        answer = self.request(op="status")
        answer.update(name=self.name, stack=self.settings.stack, accel=self.settings.accel,
                      guests={g.name: g.states() for g in self.guests})
        return answer

    def cluster(self):
        """pacemaker.state() as the first node that is on sees it."""
        for node in self.nodes:
            if node.on:
                return pacemaker.state(node)
        return None

    def witness(self):
        with open(self.folder / "storage/witness.jsonl") as log:
            return witness.judge(log)

    def power_events(self):
        """What the power switch did: [{"t", "node", "what", "by"}, ...]"""
        return [json.loads(line) for line in (self.folder / "power.jsonl").read_text().splitlines()]


def all_labs():
    """The names of the labs there are, half-built ones too."""
    if not labs_folder().is_dir():
        return []
    return sorted(p.name for p in labs_folder().iterdir() if p.is_dir() and p.name != "cache")


def take_down(name):
    """down() for a lab whose settings may be missing or broken. False: there was nothing."""
    settings = Settings(name=name)
    settings.check()
    if not settings.folder.exists():
        return False
    check_labs_folder()
    Lab(settings).down()
    return True


def end_on_signals():
    """Lets SIGTERM and SIGHUP interrupt like Ctrl-C does, so that up() cleans up after itself."""
    def interrupt(number, _):
        raise KeyboardInterrupt(signal.Signals(number).name)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
