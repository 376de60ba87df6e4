# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine from the inside of its node's namespaces: an emulator with a kernel of its own, systemd as pid 1.

    node's namespaces ─┬─ virtiofsd: shares the node's root as it is mounted here (node.py)
                       ├─ bridge "wire": eth0, the node's cable, and tap0
                       └─ QEMU ── virtiofs root, virtio-net on tap0, journal.log, kernel.log, the agent's socket

So a machine is plugged in, cut off, killed and taken down as any other node. It has no way to the power switch, which
is a unix socket.
"""

import os
import subprocess
from pathlib import Path

from . import machine_image, network
from . import namespaces as ns
from .errors import LabError
from .layout import mac

FOLDER = Path("/run/migrationd-lab/machine")  # the node's folder, writable
IMAGE = Path("/run/migrationd-lab/machine-image")
MEMORY = 2048  # MiB
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
COMMAND_LINE = ("console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on systemd.unit=multi-user.target "
                "net.ifnames=0")


def hold_folders(node_folder):
    """The node's folder and the image's, as they can be reached after other mounts hide them."""
    return [f"/proc/self/fd/{os.open(path, os.O_PATH)}" for path in (node_folder, machine_image.folder())]


def bind_folders(held):
    for source, target, read_only in zip(held, (FOLDER, IMAGE), (False, True)):
        target.mkdir()
        ns.bind(source, target, read_only=read_only)


def run(name):
    """Until the machine is off."""
    wire(name)
    (FOLDER / "agent").unlink(missing_ok=True)
    shared, socket = subprocess.Popen(
        [VIRTIOFSD, "--socket-path=/run/virtiofsd.sock", "--thread-pool-size=0", "-o",
         "source=/,cache=always,sandbox=chroot,xattr"], stdin=subprocess.DEVNULL), Path("/run/virtiofsd.sock")
    ns.wait_until(lambda: socket.exists() or shared.poll() is not None, 20, "virtiofsd")
    if shared.poll() is not None:
        raise LabError(f"virtiofsd ended with {shared.returncode}")
    subprocess.run(emulator(name), stdin=subprocess.DEVNULL, check=False)
    ns.reboot(ns.RB_POWER_OFF)


def wire(name):
    """The cable's end gets another address than the machine's card, or the bridge would keep its frames."""
    network.quiet_ipv6()
    network.ip("link set lo up")
    network.ip("link set eth0 address", mac(name).replace("02:", "06:", 1))
    network.ip("link add wire type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
    network.ip("tuntap add tap0 mode tap")
    for port in ("eth0", "tap0"):
        network.ip("link set", port, "master wire up")
    network.ip("link set wire up")


def emulator(name):
    return ["qemu-system-x86_64", "-name", name, "-accel", "tcg,thread=multi,tb-size=512", "-machine",
            "pc,memory-backend=memory", "-cpu", "qemu64", "-smp", str(min(2, os.cpu_count() or 1)), "-m", f"{MEMORY}",
            "-object", f"memory-backend-memfd,id=memory,size={MEMORY}M,share=on", "-nodefaults", "-no-user-config",
            "-display", "none", "-kernel", f"{IMAGE}/vmlinuz", "-initrd", f"{IMAGE}/initrd", "-append", COMMAND_LINE,
            "-chardev", "socket,id=root,path=/run/virtiofsd.sock",
            "-device", "vhost-user-fs-pci,chardev=root,tag=root,queue-size=1024",
            "-netdev", "tap,id=wire,ifname=tap0,script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=wire,mac={mac(name)},romfile=",
            "-serial", f"file:{FOLDER}/kernel.log", "-device", "virtio-serial-pci",
            "-chardev", f"file,id=journal,path={FOLDER}/journal.log,append=on",
            "-device", "virtconsole,chardev=journal",
            "-chardev", f"socket,id=agent,path={FOLDER}/agent,server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=migrationd-lab", "-device", "virtio-rng-pci"]
