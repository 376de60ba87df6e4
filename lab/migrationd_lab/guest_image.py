# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest: Debian's cloud kernel with an initramfs of busybox and guestd, built once into the lab's cache.

The kernel's package is only downloaded and unpacked, never installed. Also here: whether KVM really works on this
machine, found out by booting this guest under it, as KVM may be there and hang.
"""

import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from .errors import LabError, run
from .layout import LAB_ROOT, address, cache_folder, digest, guest_uuid, mac, write_json
from .layout import GUEST_FILES, NBD_PORT, STORAGE_ADDRESS

MODULES = ("virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover "
           "virtio_net virtio_blk evdev button").split()
SOURCES = LAB_ROOT / "guest"
DISK_SIZE = 64 << 20
READY = "guestd: ready"
KVM_PROBE_SECONDS = 15


def command_line(name, accel):
    tcg = " clocksource=acpi_pm tsc=unstable" if accel == "tcg" else ""  # TCG's TSC jumps at a migration
    return (f"console=ttyS0 quiet panic=5 mitigations=off random.trust_cpu=on{tcg} "
            f"lab.name={name} lab.ip={address(name)}/24")


@contextmanager
def cache_lock():
    """Two labs may come up at once: one builds, the other waits. Killed builders leave no lock behind."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with open(cache_folder() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build():
    """Makes kernel and initramfs in the cache where they are missing or older than their sources."""
    with cache_lock():
        if not (cache_folder() / "vmlinuz").exists() or not (cache_folder() / "modules/order").exists():
            fetch_kernel(cache_folder(), MODULES)
        wanted = digest(SOURCES / "init", SOURCES / "guestd.c", Path("/bin/busybox"),
                        cache_folder() / "modules/order", cache_folder() / "vmlinuz")
        stamp = cache_folder() / "initrd.digest"
        if not stamp.exists() or stamp.read_text() != wanted or not (cache_folder() / "initrd").exists():
            _build_initramfs()
            stamp.write_text(wanted)


def fetch_kernel(folder, wanted):
    """The kernel as folder/vmlinuz, those of the wanted modules that are not built in and what they need as
    folder/modules/NAME.ko, and the order to load them in as folder/modules/order. The metapackage names the kernel of
    the day."""
    depends = run(["apt-cache", "depends", "linux-image-cloud-amd64"]).stdout
    found = re.search(r"Depends: (linux-image-\S+-cloud-amd64)$", depends, re.M)
    if not found:
        raise LabError("apt knows no kernel behind linux-image-cloud-amd64: run apt-get update and try again")
    with tempfile.TemporaryDirectory(dir=cache_folder()) as tmp:
        os.chmod(tmp, 0o755)
        run(["apt-get", "download", found[1]], cwd=tmp, timeout=300,
            what=f"apt-get download {found[1]} (the guest's kernel; try apt-get update)")
        (package,) = Path(tmp).glob("*.deb")
        run(["dpkg-deb", "-x", package, f"{tmp}/root"], timeout=120)
        (kernel,) = Path(tmp, "root/boot").glob("vmlinuz-*")
        (release,) = Path(tmp, "root/lib/modules").iterdir()
        run(["depmod", "-b", f"{tmp}/root", release.name], timeout=120)
        modules = folder / "modules"
        shutil.rmtree(modules, ignore_errors=True)
        modules.mkdir(parents=True)
        needs = {}
        for line in (release / "modules.dep").read_text().splitlines():
            path, _, rest = line.partition(":")
            needs[Path(path).stem.replace("-", "_")] = [Path(p).stem.replace("-", "_") for p in rest.split()]
        have = {path.stem.replace("-", "_"): path for path in release.rglob("*.ko")}
        order = []
        for module in wanted:
            if module in have:  # else it is built in
                order += [m for m in [*reversed(needs[module]), module] if m not in order]
        for module in order:
            shutil.copy(have[module], modules / f"{module}.ko")
        shutil.copy(kernel, folder / "vmlinuz")
        (modules / "order").write_text("\n".join(order) + "\n")


def _build_initramfs():
    with tempfile.TemporaryDirectory(dir=cache_folder()) as tmp:
        guestd = Path(tmp, "guestd")
        run(["gcc", "-static", "-O2", "-o", guestd, SOURCES / "guestd.c"], what="compiling the guest's guestd.c")
        busybox = Path("/bin/busybox")
        if not busybox.exists() or b"ld-linux" in busybox.read_bytes()[:4096]:
            raise LabError("the guest needs a static /bin/busybox: run lab/install-packages lab")
        part = cache_folder() / "initrd.part"
        with open(part, "wb") as out:
            archive = Cpio(out)
            for folder in ("bin", "dev", "etc", "modules", "proc", "sys"):
                archive.add(folder, 0o040755)
            archive.add("dev/console", 0o020600, device=(5, 1))
            archive.add("init", 0o100755, (SOURCES / "init").read_bytes())
            archive.add("bin/busybox", 0o100755, busybox.read_bytes())
            archive.add("bin/guestd", 0o100755, guestd.read_bytes())
            for file in sorted((cache_folder() / "modules").iterdir()):
                archive.add(f"modules/{file.name}", 0o100644, file.read_bytes())
            archive.add("TRAILER!!!", 0)
        part.rename(cache_folder() / "initrd")


class Cpio:
    """Writes the kernel's "newc" archive format, uncompressed: unpacking costs an emulated guest more than reading."""

    def __init__(self, out):
        self.out, self.inode = out, 0

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        self._padded(b"070701" + b"".join(b"%08X" % f for f in fields) + encoded)
        self._padded(data)

    def _padded(self, data):
        self.out.write(data + b"\0" * (-len(data) % 4))


def accelerator():
    """"kvm" after a guest has booted under it within 15 s, else "tcg". The answer is kept until something changes."""
    build()
    machine = digest(platform.release(), Path("/proc/sys/kernel/random/boot_id"), cache_folder() / "initrd.digest")
    known = cache_folder() / "accel.json"
    with cache_lock():
        try:
            answer = json.loads(known.read_text())
            if answer["machine"] == machine:
                return answer["accel"]
        except (FileNotFoundError, ValueError, KeyError):
            pass
        works = os.access("/dev/kvm", os.R_OK | os.W_OK) and _boots("kvm", KVM_PROBE_SECONDS)
        answer = {"machine": machine, "accel": "kvm" if works else "tcg"}
        write_json(known, answer)
        return answer["accel"]


def _boots(accel, seconds):
    """Boots the guest outside of any lab, without disk and network, and waits for its word on the console."""
    with tempfile.TemporaryDirectory(dir=cache_folder()) as tmp:
        console = Path(tmp, "console")
        console.touch()
        emulator = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", accel, "-nodefaults",
             "-display", "none", "-m", "96", "-no-reboot", "-serial", f"file:{console}",
             "-kernel", cache_folder() / "vmlinuz", "-initrd", cache_folder() / "initrd",
             "-append", command_line("vm1", accel)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and emulator.poll() is None:
                if READY in console.read_text(errors="replace"):
                    return True
                time.sleep(0.05)
            return False
        finally:
            emulator.kill()
            emulator.wait()


def odd_memory(memory):
    """RAM whose pages do not fill the last word of QEMU's dirty bitmap. Where they do, QEMU before 9.0 synchronises the
    bitmap without telling TCG's TLB of it, and what the guest writes meanwhile is not sent: it goes on with old pages,
    and as a rule spins in virtio-net ("is not a head"). libvirt rounds up to MiB, so it has to be said to QEMU."""
    size = (memory << 20) + 8192
    options = ("-object", f"memory-backend-ram,id=odd,size={size}", "-machine", "memory-backend=odd",
               "-m", f"size={size >> 10}k")
    return "<qemu:commandline>" + "".join(f"<qemu:arg value='{o}'/>" for o in options) + "</qemu:commandline>"


def domain_xml(name, memory, accel):
    """A guest's definition, the same on every node. Its disk is the storage host's, so it may migrate."""
    kind = "kvm" if accel == "kvm" else "qemu"
    return f"""<domain type='{kind}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <uuid>{guest_uuid(name)}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{GUEST_FILES}/vmlinuz</kernel>
    <initrd>{GUEST_FILES}/initrd</initrd>
    <cmdline>{command_line(name, accel)}</cmdline>
  </os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='none'/>
      <source protocol='nbd' name='{name}'><host name='{STORAGE_ADDRESS}' port='{NBD_PORT}'/></source>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'>
      <mac address='{mac(name)}'/>
      <source bridge='br0'/>
      <model type='virtio'/>
    </interface>
    <serial type='file'>
      <source path='/var/log/libvirt/qemu/{name}-console.log' append='on'/>
      <target port='0'/>
    </serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <video><model type='none'/></video>
  </devices>
  {odd_memory(memory) if accel == "tcg" else ""}
</domain>
"""
