# SPDX-License-Identifier: GPL-2.0-or-later
"""The members of a lab as its users see them: a Host runs commands, a Node also has services and can be off, a Machine
is a node with a kernel and a systemd of its own (machine.py)."""

import json
import subprocess
import sys
import time

from .errors import LabError, run
from .layout import LAB_ROOT, address
from .namespaces import Process, enter_argv, wait_until

ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")


class Host:
    """A member of the lab in whose namespaces commands can be run."""

    kinds = "np"

    def __init__(self, lab, name):
        self.lab, self.name, self.address = lab, name, address(name)

    def __repr__(self):
        return self.name

    @property
    def record(self):
        return self.lab.folder / f"{self.name}.json"

    @property
    def process(self):
        """Its first process, or None while it is off."""
        found = self.lab.read_record(self.record)
        return found if found and found.alive() else None

    def argv(self, command, terminal="dumb"):
        """The command line that runs `command` (a list, or a text for sh) inside, from outside."""
        process = self.process
        if not process:
            raise LabError(f"{self.name} of lab {self.lab.name!r} is off: lab/lab boot {self.name}")
        command = ["sh", "-c", command] if isinstance(command, str) else command
        return enter_argv(process.pid, self.kinds, ["/usr/bin/env", "-i", *ENVIRONMENT, f"TERM={terminal}", *command])

    def run(self, command, *, check=True, timeout=60, input=None):
        """Runs it inside and returns the CompletedProcess (text); LabError when it fails or takes too long."""
        shown = command if isinstance(command, str) else " ".join(map(str, command))
        return run(self.argv(command), check=check, timeout=timeout, input=input, what=f"on {self.name}: {shown}")

    def popen(self, command, **kwargs):
        return subprocess.Popen(self.argv(command), **kwargs)


# New connections to where a guest's memory comes in: libvirt's ports, and the daemon's; the daemons' link stays.
CLOSED = ("nft add table inet closed; nft add chain inet closed in '{ type filter hook input priority 0; }'; "
          "nft add rule inet closed in tcp dport 49152-49215 reject with tcp reset; "
          "nft add rule inet closed in tcp dport 6415 'tcp flags & (syn | ack) == syn' reject with tcp reset")


class Node(Host):
    kinds = "muinpC"
    boot_timeout = 120  # seconds; a busy machine with an emulator is slow

    def close_to_migrations(self):
        self.run(CLOSED)

    def open_to_migrations(self):
        self.run("nft delete table inet closed")

    @property
    def record(self):
        return self.lab.settings.node_folder(self.name) / "node.json"

    @property
    def on(self):
        return self.process is not None

    @property
    def boot_id(self):
        return self.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()

    @property
    def booted(self):
        """Whether all it starts at boot is started."""
        try:
            done = self.run(["cat", "/run/migrationd-lab/booted"], check=False)
        except LabError:  # off
            return False
        if done.returncode == 0 and done.stdout.strip() != "0":
            raise LabError(f"{self.name} could not start its services: see {self.console} and lab/lab enter "
                           f"{self.name}")
        return done.returncode == 0

    @property
    def console(self):
        return self.lab.settings.node_folder(self.name) / "console.log"

    def wait_booted(self, timeout=None):
        timeout, last_on = timeout or self.boot_timeout, time.monotonic()

        def booted():
            nonlocal last_on
            if self.on:
                last_on = time.monotonic()
                return self.booted
            if time.monotonic() > last_on + 3:  # more than a power cycle
                raise LabError(f"{self.name} is off and does not boot: see {self.console}")
            return False
        wait_until(booted, timeout, f"boot of {self.name} (see {self.console})")

    def write(self, path, text, mode=0o644):
        """A file on the node, whole or not at all."""
        self.run(["sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1.part" && chmod "$2" "$1.part" && mv "$1.part" "$1"', "sh",
                  path, f"{mode:o}"], input=text)

    def read(self, path):
        return self.run(["cat", path]).stdout

    def service(self, verb, unit):
        """systemctl of the node (lab/node/systemctl): start, stop, restart, kill, is-active."""
        return self.run(["systemctl", verb, unit], check=verb not in ("is-active", "status"), timeout=180)

    def virsh(self, *words, check=True, timeout=120):
        return self.run(["virsh", *words], check=check, timeout=timeout)


class Machine(Node):
    """A node under an emulator, with systemd as pid 1. Commands go to its agent, which answers until the very end."""

    boot_timeout = 300

    def argv(self, command, terminal="dumb"):
        if not self.process:
            raise LabError(f"{self.name} of lab {self.lab.name!r} is off: lab/lab boot {self.name}")
        command = ["sh", "-c", command] if isinstance(command, str) else command
        return [sys.executable, LAB_ROOT / "machine/enter", self.lab.settings.node_folder(self.name),
                *map(str, command)]

    @property
    def booted(self):
        """Whether systemd has come to the end of its first transaction."""
        try:
            return self.run(["systemctl", "is-active", "multi-user.target"], check=False, timeout=20).returncode == 0
        except LabError:  # off, or its agent has not started yet
            return False

    @property
    def journal(self):
        """What its journal said in all its lives, each line with the seconds since its boot."""
        return (self.lab.settings.node_folder(self.name) / "journal.log").read_text(errors="replace")
