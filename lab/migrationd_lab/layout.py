# SPDX-License-Identifier: GPL-2.0-or-later
"""What a lab consists of: its folder, its members' names and addresses, and its settings.

Every lab uses the same inner names and addresses: each has a network of its own, so they never meet.

    FOLDER/NAME/            FOLDER = $MIGRATIOND_LAB_DIR or /var/tmp/migrationd-lab
        lab.json            the settings below
        rack.json           the process that holds the lab (pid, start time), see rack.py
        rack.log            what the rack did
        control/            unix sockets: "rack" for us, one per node for its power switch
        layers/             what lies over the machine's /usr and /etc on each node: ours, then --install
        nodes/NODE/         a node's disk (etc, var, usr, root), its console.log, its node.json while it is up; of a
                            machine also kernel.log, journal.log and the socket of its agent
        storage/            the guests' disks, witness.jsonl
    FOLDER/cache/           the guest's kernel and initramfs, whether KVM works; cache/machine: those of machines
"""

import hashlib
import json
import os
import re
import stat
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .errors import LabError

LAB_ROOT = Path(__file__).resolve().parent.parent  # the lab/ folder of the source tree
STACKS = ("pacemaker", "heartbeat", "none")
MACHINES = ("libvirtd", "virtqemud")  # what a machine has of libvirt: see machine_disk.py
SUBNET = "10.77.0"
STORAGE_ADDRESS = f"{SUBNET}.2"
CLIENT_ADDRESS = f"{SUBNET}.3"
NBD_PORT = 10809
GUEST_FILES = Path("/var/lib/migrationd-lab")  # where a node sees the guest's kernel and initramfs
GUEST_XML = Path("/etc/libvirt/lab")  # where a node has its guests' definitions
POWER_SOCKET = Path("/run/migrationd-lab/power")  # where a node reaches the power switch


def labs_folder():
    return Path(os.environ.get("MIGRATIOND_LAB_DIR") or "/var/tmp/migrationd-lab")


def check_labs_folder():
    """What lies there is believed (which processes to end, what to remove): it must be root's alone."""
    folder = labs_folder()
    folder.mkdir(parents=True, exist_ok=True)
    there = folder.lstat()
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != 0 or there.st_mode & 0o022:
        raise LabError(f"{folder} must be a folder that root alone can write to; remove it, or set MIGRATIOND_LAB_DIR")
    if re.search(r"[,:\\\s]", str(folder)):
        raise LabError(f"{folder} has characters in its name that an overlay mount cannot take")


def cache_folder():
    return labs_folder() / "cache"


@dataclass
class Settings:
    """A lab as it was asked for. install: the layers by node name, "*" for all nodes. haresources: the lines of that
    file under Heartbeat, such as "node1 migrationd::vm1". machines: the nodes with a kernel and a systemd of their own,
    as {"node1": "libvirtd"}; see MACHINES, "-without-machined" may follow."""

    name: str = "lab"
    stack: str = "pacemaker"
    nodes: int = 2
    guests: int = 1
    guest_memory: int = 96  # MiB
    fencing: bool = True
    install: dict = field(default_factory=dict)
    haresources: list = field(default_factory=list)
    machines: dict = field(default_factory=dict)
    accel: str = "tcg"

    def check(self):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", self.name) or self.name == "cache":
            raise LabError(f"{self.name!r} cannot be a lab's name: use up to 31 letters, digits, dots and dashes")
        if self.stack not in STACKS:
            raise LabError(f"no stack {self.stack!r}: choose one of {', '.join(STACKS)}")
        if not 1 <= self.nodes <= 16:
            raise LabError(f"{self.nodes} nodes: a lab has 1 to 16")
        if self.stack == "heartbeat" and self.nodes != 2:
            raise LabError(f"{self.nodes} nodes under Heartbeat: haresources knows two; use --nodes 2")
        if not 0 <= self.guests <= 64:
            raise LabError(f"{self.guests} guests: a lab has 0 to 64")
        for node, folder in self.install.items():
            if node != "*" and node not in self.node_names:
                raise LabError(f"--install for {node}: this lab's nodes are {', '.join(self.node_names)}")
            if not Path(folder).is_dir():
                raise LabError(f"--install {folder}: no such folder; make install DESTDIR={folder} first")

        for node, kind in self.machines.items():
            if node not in self.node_names or kind.removesuffix("-without-machined") not in MACHINES:
                raise LabError(f"machine {node}={kind}: nodes are {', '.join(self.node_names)}; kinds are "
                               f"{', '.join(MACHINES)}, -without-machined may follow")
        if self.machines and self.stack == "heartbeat":
            raise LabError("a machine knows the stack pacemaker only")

    @property
    def folder(self):
        return labs_folder() / self.name

    @property
    def node_names(self):
        return [f"node{i}" for i in range(1, self.nodes + 1)]

    @property
    def guest_names(self):
        return [f"vm{i}" for i in range(1, self.guests + 1)]

    @property
    def ports(self):
        """The members on the switch: what cut and heal know."""
        return [*self.node_names, "storage", "client"]

    def node_folder(self, node):
        return self.folder / "nodes" / node

    def save(self):
        write_json(self.folder / "lab.json", asdict(self))

    @classmethod
    def load(cls, name):
        try:
            return cls(**json.loads((labs_folder() / name / "lab.json").read_text()))
        except FileNotFoundError as e:
            raise LabError(f"there is no lab {name!r} in {labs_folder()}: lab/lab up --name {name} makes it, "
                           "lab/lab list shows those there are") from e
        except (ValueError, TypeError) as e:
            raise LabError(f"the settings of lab {name!r} cannot be read ({e}): lab/lab down --name {name} "
                           "takes it away") from e


def number(name):
    return int(re.sub(r"\D", "", name))


def address(name):
    """The address of a node, a guest, the storage host or the client."""
    if name in ("storage", "client"):
        return STORAGE_ADDRESS if name == "storage" else CLIENT_ADDRESS
    return f"{SUBNET}.{number(name) + (100 if name.startswith('vm') else 10)}"


def mac(name):
    """A fixed MAC; guests under QEMU's prefix."""
    last = int(address(name).rsplit(".", 1)[1])
    return f"52:54:00:77:00:{last:02x}" if name.startswith("vm") else f"02:77:00:00:00:{last:02x}"


def guest_uuid(name):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.guest.migrationd-lab"))


def host_uuid(node):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{node}.node.migrationd-lab"))


def write_json(path, value):
    """Whole or not at all, as readers look at any time."""
    part = Path(f"{path}.part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    part.rename(path)


def digest(*things):
    """A short name for the state of files (by content) and texts, to know when a cached result is stale."""
    sum_ = hashlib.sha256()
    for thing in things:
        sum_.update(thing.read_bytes() if isinstance(thing, Path) else str(thing).encode())
        sum_.update(b"\0")
    return sum_.hexdigest()[:16]
