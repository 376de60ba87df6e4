# SPDX-License-Identifier: GPL-2.0-or-later
"""What a machine boots with: Debian's cloud kernel and an initramfs that loads its modules and mounts the shared root.

Made once, into the lab's cache; its kernel is downloaded beside the guests', so that modules and kernel always match.
"""

import tempfile
from pathlib import Path

from .errors import LabError
from .guest_image import Cpio, cache_lock, fetch_kernel
from .layout import LAB_ROOT, cache_folder, digest

INIT = LAB_ROOT / "machine/init"
# All that systemd, libvirt and the cluster use: the root's modprobe does nothing.
MODULES = "virtio_pci virtio_console virtiofs virtio_net virtio_rng bridge tun autofs4 button".split()


def folder():
    return cache_folder() / "machine"


def build():
    """Makes folder()/vmlinuz and folder()/initrd where they are missing or older than their sources."""
    busybox = Path("/bin/busybox")
    if not busybox.exists():
        raise LabError("a machine needs a static /bin/busybox: run lab/install-packages lab")
    with cache_lock():
        stamp, wanted = folder() / "digest", digest(INIT, busybox, *MODULES)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        fetch_kernel(folder(), MODULES)
        with tempfile.TemporaryDirectory(dir=cache_folder()) as tmp:
            part = Path(tmp, "initrd")
            with open(part, "wb") as out:
                archive = Cpio(out)
                for name in ("bin", "dev", "etc", "modules", "proc", "root", "sys"):
                    archive.add(name, 0o040755)
                archive.add("dev/console", 0o020600, device=(5, 1))
                archive.add("init", 0o100755, INIT.read_bytes())
                archive.add("bin/busybox", 0o100755, busybox.read_bytes())
                for file in sorted((folder() / "modules").iterdir()):
                    archive.add(f"modules/{file.name}", 0o100644, file.read_bytes())
                archive.add("TRAILER!!!", 0)
            part.rename(folder() / "initrd")
        stamp.write_text(wanted)
