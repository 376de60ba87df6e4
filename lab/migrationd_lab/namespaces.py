# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux namespaces, mounts and processes, as the rest of the lab needs them. Nothing here knows what a lab is.

A process is always named by its pid and its start time, so that a pid used again is never mistaken for it.
"""

import ctypes
import errno
import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError

NEW_NS, NEW_CGROUP, NEW_UTS, NEW_IPC, NEW_PID, NEW_NET = (
    0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x20000000, 0x40000000)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
RB_AUTOBOOT, RB_POWER_OFF = 0x01234567, 0x4321FEDC
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, doing):
    if result != 0:
        code = ctypes.get_errno()
        raise LabError(f"{doing}: {os.strerror(code)}" + (" (are you root?)" if code == errno.EPERM else ""))


def unshare(flags):
    _check(_libc.unshare(flags), "making namespaces")


def mount(source, target, kind="", flags=0, options=""):
    encoded = [str(x).encode() if x else None for x in (source, target, kind, options)]
    _check(_libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]),
           f"mounting {kind or 'bind'} {source} on {target}")


def bind(source, target, read_only=False):
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        mount(None, target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)


def set_hostname(name):
    _check(_libc.sethostname(name.encode(), len(name.encode())), f"setting the host name {name}")


def die_with_parent():
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def reboot(how):
    """Inside a pid namespace this ends its pid 1, with SIGHUP for a reboot and SIGINT for off: never the machine."""
    if os.readlink("/proc/self/ns/pid") == "pid:[4026531836]":  # the machine's own: PROC_PID_INIT_INO
        raise LabError("reboot() outside of a node is refused")
    _check(_libc.reboot(ctypes.c_int(how)), "reboot")


@dataclass(frozen=True)
class Process:
    pid: int
    start: int  # clock ticks since boot, from /proc/PID/stat

    @classmethod
    def of(cls, pid):
        """None when there is no such process (a zombie counts as none)."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else cls(int(pid), int(fields[19]))

    @classmethod
    def myself(cls):
        """As the mounted /proc sees us, which may be an outer pid namespace's."""
        return cls.of(int(os.readlink("/proc/self")))

    def alive(self):
        return Process.of(self.pid) == self

    def kill(self, timeout=20):
        """SIGKILL, and waits for its end."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                if not select.select([fd], [], [], timeout)[0]:
                    raise LabError(f"process {self.pid} does not die of SIGKILL: it hangs in the kernel")
        except ProcessLookupError:
            pass
        finally:
            os.close(fd)


def all_pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def namespace(pid, kind):
    """An id such as "net:[4026532000]", or None when the process is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return None


def descendants(root):
    """The pids below and with `root`; what was orphaned in a pid namespace is still below that namespace's pid 1."""
    parents = {}
    for pid in all_pids():
        try:
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    found = set()
    for pid in parents:
        chain, at = [], pid
        while at in parents and at != root and at not in found:
            chain.append(at)
            at = parents[at]
        if at == root or at in found:
            found.update(chain)
    return found | {root}


def members(root):
    """`root`'s descendants and whoever else sits in one of their namespaces that is not ours."""
    found = descendants(root)
    kinds = ("mnt", "net", "pid")
    ours = {namespace("self", kind) for kind in kinds} | {namespace(1, kind) for kind in kinds}
    theirs = {namespace(pid, kind) for pid in found for kind in kinds} - ours - {None}
    for pid in all_pids():
        if any(namespace(pid, kind) in theirs for kind in kinds):
            found.add(pid)
    return found - {os.getpid()}


def enter_argv(pid, kinds, argv):
    """The command that runs argv in the namespaces of pid; kinds: nsenter's letters, such as "muinpC"."""
    return ["nsenter", "-t", str(pid), *[f"-{k}" for k in kinds], "--", *map(str, argv)]


def reap_forever(main):
    """What a pid 1 does: runs main() in a child, reaps everything, and returns main's exit code when that ends.

    An orphan nobody reaps stops Heartbeat's shutdown for minutes, and libvirtd's probes for seconds.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = main() or 0
        except Exception as e:
            print(f"failed: {e}", flush=True)
        finally:
            os._exit(code)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def wait_until(condition, timeout, what, interval=0.05):
    """Polls until condition() is true and returns its value; LabError after timeout seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"{what() if callable(what) else what}: not within {timeout} s")
        time.sleep(interval)
