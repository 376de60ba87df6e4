# SPDX-License-Identifier: GPL-2.0-or-later
"""The rack: the process that holds a whole lab, and its power switch.

It is pid 1 of a pid namespace around everything the lab runs, and its mounts and its network are its own:

    host ── rack (pid, mnt, net = the switch) ─┬─ storage (net)
                                               ├─ client  (net)
                                               ├─ node1   (net, mnt, uts, ipc, pid, cgroup)
                                               └─ node2   ...

So killing this one process takes everything with it, at once and without a trace but for the lab's folder. Requests
come as one JSON line on a unix socket: "rack" from us, one socket per node from its fence agent, so that the caller
is known; a node may only use the power switch.
"""

import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import traceback
import uuid

from . import namespaces as ns
from . import network
from .errors import LabError, run
from .layout import LAB_ROOT, Settings, labs_folder, write_json

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
               "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(LAB_ROOT)}
NODE_REBOOTED, NODE_OFF = 91, 92  # exit codes of node.py: by its own reboot() call
PLUG_TIMEOUT = 20


class Member:
    """A process of the rack's with a network namespace: node, storage or client."""

    def __init__(self, settings, name, log):
        self.name = name
        ours, theirs = socket.socketpair()
        ours.settimeout(PLUG_TIMEOUT)
        self.boot_id = str(uuid.uuid4())
        # All that a lab runs can be told by this, from outside and from inside.
        environment = {**ENVIRONMENT, "MIGRATIOND_LAB": settings.name, "MIGRATIOND_LAB_DIR": str(labs_folder())}
        with open(log, "ab") as out, theirs, ours:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "migrationd_lab.node", settings.name, name, str(theirs.fileno()), self.boot_id],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=environment, start_new_session=True)
            theirs.close()
            try:
                said = ours.makefile().readline()
                self.init_pid, self.process = None, None
                here, host, start = map(int, said.split())
                self.init_pid, self.process = here, ns.Process(host, start)
                network.plug(name, here)
                ours.sendall(b"go\n")
            except (ValueError, OSError, LabError) as e:
                self.popen.kill()
                self.popen.wait()
                raise LabError(f"{name} did not start ({e}): its log is {log}") from e

    def kill(self):
        """Ends its pid 1; the kernel ends all the rest of its pid namespace before that can be waited for."""
        if self.popen.poll() is None:
            try:
                os.kill(self.init_pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.popen.wait()


class Rack:
    def __init__(self, settings):
        self.settings = settings
        self.folder = settings.folder
        self.members = {}
        self.locks = {name: threading.RLock() for name in settings.ports}
        self.cuts, self.limits = set(), {}
        self.state_lock = threading.Lock()
        self.events = open(self.folder / "power.jsonl", "a", buffering=1)

    def note(self, node, what, by):
        self.events.write(json.dumps({"t": round(time.time(), 3), "node": node, "what": what, "by": by}) + "\n")

    # -- power ---------------------------------------------------------------------------------------------------

    def on(self, name, by):
        with self.locks[name]:
            if name in self.members:
                return
            run(["ip", "link", "del", name], check=False)  # held by somebody who was inside when it died
            node_folder = self.settings.node_folder(name)
            log = node_folder / "console.log" if node_folder.is_dir() else self.folder / f"{name}.log"
            member = Member(self.settings, name, log)
            self.members[name] = member
            self.note(name, "on", by)
            if node_folder.is_dir():
                write_json(node_folder / "node.json", {"pid": member.process.pid, "start": member.process.start,
                                                       "boot_id": member.boot_id})
            else:
                write_json(self.folder / f"{name}.json", {"pid": member.process.pid, "start": member.process.start})
            if self.limits.get(name):
                self.apply_limit(name)
            threading.Thread(target=self.watch, args=(member,), daemon=True).start()

    def off(self, name, by):
        """Returns when nothing of the node runs any more."""
        with self.locks[name]:
            member = self.members.pop(name, None)
            if not member:
                return
            run(["ip", "link", "del", name], check=False)
            member.kill()
            (self.settings.node_folder(name) / "node.json").unlink(missing_ok=True)
            self.note(name, "off", by)

    def watch(self, member):
        """A node that ends by itself: reboot() means on again, anything else off."""
        code = member.popen.wait()
        with self.locks[member.name]:
            if self.members.get(member.name) is not member:
                return  # power switch
            del self.members[member.name]
            run(["ip", "link", "del", member.name], check=False)
            (self.settings.node_folder(member.name) / "node.json").unlink(missing_ok=True)
            self.note(member.name, "off", "itself" if code in (NODE_OFF, NODE_REBOOTED) else f"its failure ({code})")
            if code == NODE_REBOOTED:
                self.on(member.name, "itself")

    def power(self, caller, node, action):
        if node not in self.settings.node_names:
            raise LabError(f"no node {node!r}: this lab has {', '.join(self.settings.node_names)}")
        if action in ("off", "reboot"):
            self.note(node, f"{action} asked", caller)
            self.off(node, caller)
        if action in ("on", "reboot"):
            self.on(node, caller)
        if action not in ("on", "off", "reboot", "status"):
            raise LabError(f"the power switch knows on, off, reboot and status, not {action!r}")
        return {"power": "on" if node in self.members else "off"}

    # -- network -------------------------------------------------------------------------------------------------

    def set_cut(self, a, b, one_way, is_cut):
        known = [*self.settings.ports, "power"]
        for port in (a, b):
            if port not in known:
                raise LabError(f"no {port!r} on the switch: there are {', '.join(known)}")
        if a == b:
            raise LabError(f"{a} has no link to itself")
        pairs = [(a, b)] if one_way else [(a, b), (b, a)]
        with self.state_lock:
            on_switch = [pair for pair in pairs if "power" not in pair]
            if on_switch:
                network.set_cut(on_switch, is_cut)
            self.cuts = self.cuts | set(pairs) if is_cut else self.cuts - set(pairs)
        return {}

    def apply_limit(self, name):
        rate, member = self.limits.get(name), self.members.get(name)
        if member:
            network.set_limit(name, rate)
            script = ("import sys; from migrationd_lab import network; "
                      "network.set_limit('eth0', sys.argv[1] or None)")
            run(ns.enter_argv(member.process.pid, "n", [sys.executable, "-c", script, rate or ""]),
                env=ENVIRONMENT, what=f"limiting {name}")

    def limit(self, node, rate):
        if node not in self.settings.ports:
            raise LabError(f"no {node!r} on the switch: there are {', '.join(self.settings.ports)}")
        with self.locks[node]:
            before = self.limits.get(node)
            self.limits[node] = None if rate in (None, "off") else rate
            try:
                self.apply_limit(node)
            except LabError:
                self.limits[node] = before
                raise
        return {}

    # -- requests ------------------------------------------------------------------------------------------------

    def answer(self, caller, request):
        op = request.get("op")
        if caller != "rack" and ((caller, "power") in self.cuts or ("power", caller) in self.cuts):
            return None
        if op == "power":
            return self.power(caller, request.get("node"), request.get("action"))
        if op == "nodes":
            return {"nodes": self.settings.node_names}
        if caller != "rack":
            raise LabError(f"a node may ask for power and nodes, not for {op!r}")
        if op == "status":
            return {"members": {n: {"on": n in self.members, "limit": self.limits.get(n)}
                                for n in self.settings.ports}, "cuts": sorted(self.cuts)}
        if op in ("cut", "heal"):
            return self.set_cut(request["a"], request["b"], request.get("one_way", False), op == "cut")
        if op == "heal-all":
            for a, b in sorted(self.cuts):
                self.set_cut(a, b, True, False)
            return {}
        if op == "limit":
            return self.limit(request["node"], request.get("rate"))
        raise LabError(f"the rack does not know {op!r}")


class Caller(socketserver.StreamRequestHandler):
    timeout = 10

    def handle(self):
        try:
            request = json.loads(self.rfile.readline(65536))
            answer = self.server.rack.answer(self.server.caller, request)
            if answer is None:
                return  # cut off from the power switch
            answer = {"ok": True, **answer}
        except LabError as e:
            answer = {"ok": False, "error": str(e)}
        except Exception as e:
            traceback.print_exc()
            answer = {"ok": False, "error": f"the rack failed: {e!r}; see rack.log"}
        try:
            self.wfile.write((json.dumps(answer) + "\n").encode())
        except OSError:
            pass  # the node that asked for its own end


class Socket(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, rack, caller):
        self.rack, self.caller = rack, caller
        super().__init__(caller, Caller)
        os.chmod(caller, 0o600)


def serve(settings):
    network.make_switch()
    rack = Rack(settings)
    os.chdir(settings.folder / "control")  # a socket's path is at most 107 bytes long
    sockets = [Socket(rack, caller) for caller in ["rack", *settings.node_names]]
    for name in ("storage", "client"):
        rack.on(name, "rack")
    for server in sockets[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    (settings.folder / "rack.ready").touch()
    sockets[0].serve_forever()


def main(name):
    settings = Settings.load(name)
    ns.unshare(ns.NEW_PID | ns.NEW_NS | ns.NEW_NET | ns.NEW_IPC | ns.NEW_UTS)
    go, tell = os.pipe()
    pid = os.fork()
    if pid:
        # The record first, the work after it: whoever finds no record has nothing to end.
        process = ns.Process.of(pid)
        write_json(settings.folder / "rack.json", {"pid": process.pid, "start": process.start})
        os.write(tell, b"go")
        return 0
    os.close(tell)
    if os.read(go, 2) != b"go":
        return 1
    os.close(go)
    ns.mount("none", "/", flags=ns.MS_REC | ns.MS_PRIVATE)
    ns.set_hostname(f"rack-{settings.name}"[:60])
    return ns.reap_forever(lambda: serve(settings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
