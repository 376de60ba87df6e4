# SPDX-License-Identifier: GPL-2.0-or-later
"""What is on a machine's disk before its first boot, over what every node has (disks.py): systemd and its units.

Of the packages' units those run that are enabled here, no others that happen to be enabled on the host. Kinds:

    libvirtd     Debian's own: libvirtd.service and its sockets
    virtqemud    Debian 12 has no modular daemons, so libvirtd plays one: under the names, sockets and orderings of
                 virtqemud.service and virtproxyd-tcp.socket; the units of libvirtd are masked
    ...-without-machined    as if systemd-container were not installed: domains have no scopes
"""

import os
import shutil
import stat
from pathlib import Path

from .layout import LAB_ROOT, address, mac

SYSTEM = Path("etc/systemd/system")
LIBVIRT_UNITS = ("libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket",
                 "libvirtd-tcp.socket")
UNITS = {
    "multi-user.target": ["lab-agent.service", "libvirt-guests.service", "corosync.service", "migrationd.service",
                          "pacemaker.service"],
    "network-online.target": ["lab-network.service"],
    "sockets.target": ["virtlogd.socket", "virtlockd.socket"],
    "local-fs.target": ["tmp.mount"],
}
# What has no say in starting and stopping services, and takes an emulated machine half a minute.
NOT_NEEDED = ("systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "systemd-journal-flush.service",
              "systemd-sysusers.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
              "systemd-random-seed.service", "systemd-modules-load.service", "systemd-remount-fs.service",
              "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
              "sys-fs-fuse-connections.mount", "systemd-tmpfiles-clean.timer", "systemd-user-sessions.service")
QEMU_CONF = """security_driver = "none"
user = "libvirt-qemu"
group = "libvirt-qemu"
namespaces = []
remember_owner = 0
migration_address = "{address}"
migration_host = "{address}"
"""
NETWORK = """#!/bin/sh
# As any network's service: there before the cluster, gone when the machine is shut down.
set -e
case $1 in
    start)
        echo "0 2147483647" >/proc/sys/net/ipv4/ping_group_range
        echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
        ip link add br0 address {mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0
        ip link set eth0 master br0 up
        ip link set br0 up
        ip addr add {address}/24 dev br0
        ;;
    stop) ip link set eth0 down ;;
esac
"""
OWN_UNITS = {
    "lab-network.service": """[Unit]
Wants=network.target
Before=network.target network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/migrationd-lab/network start
ExecStop=/usr/lib/migrationd-lab/network stop
""",
    "lab-agent.service": """[Unit]
DefaultDependencies=no
[Service]
ExecStart=/usr/lib/migrationd-lab/agent
Restart=always
""",
}
# Written after what the manual pages and the units of upstream's packages say that they depend on.
MODULAR_UNITS = {
    "virtqemud.service": """[Unit]
Description=virtqemud, played by libvirtd
Requires=virtlogd.socket virtlockd.socket
Wants=virtqemud.socket systemd-machined.service
After=network.target dbus.service remote-fs.target systemd-logind.service systemd-machined.service
[Service]
Type=notify
ExecStart=/usr/sbin/virtqemud --timeout 120
KillMode=process
Restart=on-failure
[Install]
WantedBy=multi-user.target
""",
    "virtqemud.socket": """[Socket]
ListenStream=/run/libvirt/virtqemud-sock
FileDescriptorName=libvirtd.socket
Service=virtqemud.service
RemoveOnStop=yes
""",
    "virtproxyd-tcp.socket": """[Unit]
After=virtqemud.socket
[Socket]
ListenStream=16509
FileDescriptorName=libvirtd-tcp.socket
Service=virtqemud.service
""",
}


def configure(settings, node, disk):
    """Adds to a node's disk what makes it a machine's."""
    kind, without_machined = settings.machines[node], settings.machines[node].endswith("-without-machined")
    system = disk / SYSTEM
    system.mkdir(parents=True)
    os.setxattr(disk / "etc/systemd", "trusted.overlay.opaque", b"y")
    for path, text in {
            "etc/fstab": "",
            "etc/systemd/system.conf": "[Manager]\nStatusUnitFormat=combined\nShowStatus=no\n",
            "etc/systemd/journald.conf": "[Journal]\nStorage=volatile\nForwardToConsole=yes\nTTYPath=/dev/hvc0\n"
                                         "MaxLevelConsole=debug\nRateLimitIntervalSec=0\n",
            "etc/libvirt/qemu.conf": QEMU_CONF.format(address=address(node)),
            "etc/default/libvirt-guests": "ON_BOOT=ignore\nON_SHUTDOWN=shutdown\nSHUTDOWN_TIMEOUT=60\n",
            "usr/lib/migrationd-lab/network": NETWORK.format(mac=mac(node), address=address(node))}.items():
        write(disk / path, text, 0o755 if path.startswith("usr/lib/") else 0o644)
    for name, source in {"usr/lib/migrationd-lab/agent": LAB_ROOT / "machine/agent",
                         "usr/bin/systemctl": Path("/usr/bin/systemctl")}.items():  # over the lab's stand-in
        (disk / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, disk / name)
    units = {target: list(names) for target, names in UNITS.items()}
    own, masked = dict(OWN_UNITS), list(NOT_NEEDED)
    if kind.startswith("libvirtd"):
        units["multi-user.target"].append("libvirtd.service")
        units["sockets.target"] += [name for name in LIBVIRT_UNITS if name.endswith(".socket")]
    else:
        own.update(MODULAR_UNITS)
        units["multi-user.target"].append("virtqemud.service")
        units["sockets.target"] += [name for name in MODULAR_UNITS if name.endswith(".socket")]
        masked += LIBVIRT_UNITS
        # Debian's libvirt looks for libvirtd's socket only, upstream's for the modular ones first.
        write(disk / "etc/libvirt/libvirt.conf", 'remote_mode = "auto"\nuri_default = "qemu:///system"\n')
        (disk / "usr/sbin").mkdir(exist_ok=True)
        (disk / "usr/sbin/virtqemud").symlink_to("libvirtd")
    if without_machined:
        masked.append("systemd-machined.service")
        hide(disk / "usr/share/dbus-1/system-services/org.freedesktop.machine1.service")
    for name in masked:
        (system / name).symlink_to("/dev/null")
    shutil.copy("/usr/share/systemd/tmp.mount", system)
    for name, text in own.items():
        write(system / name, text)
    for target, names in units.items():
        (system / f"{target}.wants").mkdir()
        for name in names:
            (system / f"{target}.wants" / name).symlink_to(f"../{name}" if (system / name).exists() else
                                                           f"/lib/systemd/system/{name}")
    generators = disk / "etc/systemd/system-generators"
    generators.mkdir()
    for name in ("systemd-sysv-generator", "systemd-getty-generator"):
        (generators / name).symlink_to("/dev/null")


def write(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def hide(path):
    """An overlay shows no file where its upper layer has this."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
