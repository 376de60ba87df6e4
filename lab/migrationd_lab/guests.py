# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest of the lab as seen from outside: where it runs, what it says, its load."""

from .errors import LabError
from .layout import GUEST_XML, address, guest_uuid
from .namespaces import wait_until


class Guest:
    def __init__(self, lab, name):
        self.lab, self.name, self.address, self.uuid = lab, name, address(name), guest_uuid(name)
        self.xml = str(GUEST_XML / f"{name}.xml")  # on every node

    def __repr__(self):
        return self.name

    def start(self, node, timeout=60):
        """Starts it on a node without any cluster, and waits until it answers."""
        node = self.lab.node(getattr(node, "name", node))
        node.virsh("create", self.xml)
        self.wait_up(timeout)

    def wait_up(self, timeout=60):
        """Until it answers; what it says."""
        return wait_until(lambda: self.ask(check=False), timeout,
                          f"{self.name} answering at {self.address} (console: lab/lab guest-log --guest {self.name})",
                          interval=0.2)

    def ask(self, path="/", check=True, timeout=3):
        """Its HTTP page as {"boot_id", "uptime", "counter", "dirty", "lost"}; None when it does not answer and
        check is off.

        Paths: /dirty?mib=64&rate=80 (mib=0 ends it), /poweroff, /reboot, /crash.
        """
        done = self.lab.client.run(["curl", "-sS", "-m", str(timeout), f"http://{self.address}{path}"], check=False)
        if done.returncode != 0:
            if check:
                raise LabError(f"{self.name} does not answer at {self.address}: {done.stderr.strip()}")
            return None
        return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)

    @property
    def boot_id(self):
        return self.ask()["boot_id"]

    def dirty(self, mib, rate=10):
        """Has it dirty `mib` MiB of its memory at `rate` MiB/s; 0 ends that."""
        self.ask(f"/dirty?mib={mib}&rate={rate}")

    def states(self):
        """{node: virsh domstate} of every node that knows it; "unknown" where libvirt does not answer."""
        found = {}
        for node in self.lab.nodes:
            if not node.on:
                continue
            try:
                done = node.virsh("domstate", self.name, check=False, timeout=10)
            except LabError:
                found[node.name] = "unknown"
                continue
            if done.returncode == 0:
                found[node.name] = done.stdout.strip()
            elif "failed to get domain" not in done.stderr:
                found[node.name] = "unknown"
        return found

    def running_on(self):
        """The nodes where it runs."""
        return [node for node, state in self.states().items() if state == "running"]

    def migrate(self, source, destination, *options, timeout=120):
        """virsh migrate --live, peer to peer over TCP, by hand."""
        return self.lab.node(source).virsh(
            "migrate", "--live", "--p2p", *options, self.name, f"qemu+tcp://{address(destination)}/system",
            timeout=timeout)

    def log(self):
        """{node: its console's text} of every node where it ran."""
        found = {}
        for node in self.lab.nodes:
            path = self.lab.settings.node_folder(node.name) / f"var/log/libvirt/qemu/{self.name}-console.log"
            if path.exists():
                found[node.name] = path.read_text(errors="replace")
        return found
