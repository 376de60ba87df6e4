# SPDX-License-Identifier: GPL-2.0-or-later
"""What is written before the first boot: the layers over the machine's /usr and /etc, each node's disk, the guests'."""

import os
import shutil
import sys
from pathlib import Path

from . import guest_image, heartbeat, machine_disk, pacemaker
from .errors import LabError, run
from .layout import GUEST_FILES, GUEST_XML, LAB_ROOT, address, host_uuid

QEMU_CONF = """# The lab is root on the machine; a node has no cgroups, and its /dev is private already.
security_driver = "none"
user = "libvirt-qemu"
group = "libvirt-qemu"
namespaces = []
cgroup_controllers = []
remember_owner = 0
stdio_handler = "file"
migration_address = "{address}"
migration_host = "{address}"
"""
LIBVIRTD_CONF = """host_uuid = "{host_uuid}"
auth_unix_rw = "none"
unix_sock_group = "root"
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
mdns_adv = 0
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""


def make_layers(settings):
    """Ours, and a copy of each --install tree: what is rebuilt meanwhile must not change under a running lab."""
    layer = settings.folder / "layers/lab"
    for source, target in (
            ("fence_lab", "usr/sbin/fence_lab"),
            ("stonith_lab", "usr/lib/stonith/plugins/external/lab"),
            ("node/boot", "usr/lib/migrationd-lab/boot"),
            ("node/supervise", "usr/lib/migrationd-lab/supervise"),
            ("node/systemctl", "usr/bin/systemctl")):
        path = layer / target
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(LAB_ROOT / source, path)
        path.chmod(0o755)
    for name in ("reboot", "halt", "poweroff", "shutdown"):
        (layer / "usr/sbin" / name).symlink_to("../bin/systemctl")
    # The machine's kernel is not the node's to load modules into (Heartbeat would load softdog).
    modprobe = layer / "usr/sbin/modprobe"
    modprobe.write_text("#!/bin/sh\nexit 0\n")
    modprobe.chmod(0o755)
    for node, tree in settings.install.items():
        copy_install(Path(tree), settings.folder / "layers" / ("all" if node == "*" else node))
    make_key(settings.folder / "layers")


def copy_install(tree, layer):
    """A make install DESTDIR=... tree; what it has in /lib, /bin and /sbin belongs into /usr on a merged Debian."""
    known = {"usr": "usr", "etc": "etc", "lib": "usr/lib", "lib64": "usr/lib64", "bin": "usr/bin", "sbin": "usr/sbin"}
    found = [top for top in known if (tree / top).is_dir()]
    if not found:
        raise LabError(f"--install {tree}: neither usr nor etc in it; make install DESTDIR={tree} first")
    for top in found:
        shutil.copytree(tree / top, layer / known[top], symlinks=True, dirs_exist_ok=True)


def make_key(layers):
    """One key for all nodes, unless --install brings one: migrationctl keygen into our layer."""
    tools = [p for p in sorted(layers.glob("*/usr/**/migrationctl")) if p.parent.name in ("bin", "sbin")]
    if not tools or list(layers.glob("*/etc/migrationd/key")):
        return
    folder = layers / "lab/etc/migrationd"
    folder.mkdir(parents=True, exist_ok=True)
    done = run([tools[0], "keygen", "--file", folder / "key"], check=False)
    if done.returncode != 0:
        print(f"migrationctl keygen: {done.stderr.strip()}; the nodes have no key", file=sys.stderr)


def make_node_disk(settings, node):
    disk = settings.node_folder(node)
    for folder in ("etc", "usr", "var", "root", "work/etc", "work/usr"):
        (disk / folder).mkdir(parents=True)
    (disk / "root").chmod(0o700)
    _make_var(disk / "var")
    _make_etc(settings, node, disk / "etc")
    if settings.stack == "pacemaker":
        pacemaker.configure(settings, disk)
    elif settings.stack == "heartbeat":
        heartbeat.configure(settings, node, disk)
    if node in settings.machines:
        machine_disk.configure(settings, node, disk)


def _make_var(var):
    """/var as after a fresh installation: every folder that a package ships or makes, none of the contents."""
    wanted = set()
    for package in Path("/var/lib/dpkg/info").glob("*.list"):
        wanted.update(line for line in package.read_text().splitlines() if line.startswith("/var/"))
    wanted.update(("/var/lib", "/var/log", "/var/cache", "/var/spool", "/var/tmp", "/var/lib/heartbeat/cores"))
    for made_by_scripts in ("/var/log", "/var/lib"):
        wanted.update(str(path) for path in Path(made_by_scripts).iterdir())
    for path in sorted(wanted):
        source = Path(path)
        if source.is_symlink() or not source.is_dir():
            continue
        target = var / source.relative_to("/var")
        target.mkdir(parents=True, exist_ok=True)
        there = source.stat()
        os.chown(target, there.st_uid, there.st_gid)
        os.chmod(target, there.st_mode & 0o7777)
    for name, target in (("run", "/run"), ("lock", "/run/lock")):
        (var / name).symlink_to(target)
    (var / GUEST_FILES.relative_to("/var")).mkdir()


def _make_etc(settings, node, etc):
    libvirt = etc / "libvirt"
    for folder in (libvirt / "qemu", libvirt / "lab"):
        folder.mkdir(parents=True)
    # No networks or domains of the machine's.
    os.setxattr(libvirt / "qemu", "trusted.overlay.opaque", b"y")
    (libvirt / "qemu.conf").write_text(QEMU_CONF.format(address=address(node)))
    (libvirt / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(host_uuid=host_uuid(node)))
    for guest in settings.guest_names:
        (etc / GUEST_XML.relative_to("/etc") / f"{guest}.xml").write_text(
            guest_image.domain_xml(guest, settings.guest_memory, settings.accel))
    (etc / "hostname").write_text(f"{node}\n")
    (etc / "machine-id").write_text(host_uuid(node).replace("-", "") + "\n")
    (etc / "hosts").write_text(_hosts(settings, node))


def _hosts(settings, node):
    """Under Heartbeat, which knows its nodes by name alone, as Debian's installer leaves it, with the others added: a
    node's own name is loopback, on the last node beside its real address, on the others without it."""
    members = [*settings.ports, *settings.guest_names]
    lines = ["127.0.0.1 localhost"]
    if settings.stack == "heartbeat":
        lines.append(f"127.0.1.1 {node}")
        members = [m for m in members if m != node or node == settings.node_names[-1]]
    return "".join(f"{line}\n" for line in [*lines, *(f"{address(m)} {m}" for m in members)])


def make_guest_disks(settings):
    storage = settings.folder / "storage"
    storage.mkdir()
    (storage / "witness.jsonl").touch()
    for guest in settings.guest_names:
        with open(storage / f"{guest}.raw", "wb") as disk:
            disk.truncate(guest_image.DISK_SIZE)
