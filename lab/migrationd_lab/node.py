# SPDX-License-Identifier: GPL-2.0-or-later
"""A member of the rack from the inside: its namespaces, its mounts, its pid 1, and what it starts at boot.

    python3 -m migrationd_lab.node LAB NAME FD BOOT_ID      started by rack.py, which waits on FD to plug the cable in

A node has the machine's root read-only, with its own /etc, /usr (overlays: its disk over --install over ours over the
machine's), /var, /root (its disk), /run, /tmp, /dev, /proc, /sys. Its kernel is the machine's, so everything in /proc
that would reach it is taken away, and its boot id is a file. "storage" and "client" only get a network.
"""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

from . import namespaces as ns
from . import machine, network, storage
from .errors import LabError, run
from .layout import GUEST_FILES, POWER_SOCKET, Settings, cache_folder
from .rack import NODE_OFF, NODE_REBOOTED

RUN = POWER_SOCKET.parent


def plugged(fd, init_pid, process):
    """Tells the rack who we are and waits for the cable."""
    with socket.socket(fileno=fd) as rack:
        rack.sendall(f"{init_pid} {process.pid} {process.start}\n".encode())
        if rack.recv(3) != b"go\n":
            sys.exit("the rack went away")


def run_host(settings, name, fd):
    """Storage or client: a network namespace with one address."""
    ns.unshare(ns.NEW_NET)
    plugged(fd, os.getpid(), ns.Process.myself())
    network.address_of_host(name)
    if name == "storage":
        storage.serve(settings.folder / "storage")
    else:
        os.execvp("sleep", ["sleep", "infinity"])


def run_node(settings, name, fd, boot_id):
    """Stays outside of the node's pid namespace, to tell the rack by its exit code how the node ended."""
    ns.unshare(ns.NEW_NS | ns.NEW_UTS | ns.NEW_IPC | ns.NEW_NET | ns.NEW_PID | ns.NEW_CGROUP)
    host_pid, rack_pid = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        ns.die_with_parent()
        process = ns.Process.myself()  # /proc is still the host's
        os.write(host_pid[1], f"{process.pid} {process.start}".encode())
        os.read(rack_pid[0], 2)
        for end in (*host_pid, *rack_pid):
            os.close(end)
        mount_all(settings, name, boot_id)
        if name not in settings.machines:
            network.address_of_node(name)
        # The lab's environment ends here.
        os.environ.pop("PYTHONPATH", None)
        sys.exit(1 if ns.reap_forever(lambda: boot(settings, name)) else run_for_ever())
    process = ns.Process(*map(int, os.read(host_pid[0], 100).split()))
    plugged(fd, pid, process)
    os.write(rack_pid[1], b"go")
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return {signal.SIGHUP: NODE_REBOOTED, signal.SIGINT: NODE_OFF}.get(os.WTERMSIG(status), 0)
    return os.waitstatus_to_exitcode(status)


def run_for_ever():
    """The rest of a pid 1's life."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.2)


# -- mounts --------------------------------------------------------------------------------------------------------

def mount_all(settings, name, boot_id):
    """From the machine's view of the file system to the node's."""
    disk = settings.node_folder(name)
    install = settings.folder / "layers" / (name if name in settings.install else "all")
    ns.mount("none", "/", flags=ns.MS_REC | ns.MS_PRIVATE)
    ns.set_hostname(name)
    layers = [install, settings.folder / "layers" / "lab"]
    for top in ("etc", "usr"):
        lower = ":".join(str(p) for p in [*(layer / top for layer in layers), Path("/", top)] if p.is_dir())
        ns.mount("overlay", f"/{top}", "overlay",
                 options=f"lowerdir={lower},upperdir={disk / top},workdir={disk / 'work' / top}")
    # The lab's folder may lie below any of what is mounted over now: hold on to it.
    power, root, var = (f"/proc/self/fd/{os.open(p, os.O_PATH)}"
                        for p in (settings.folder / "control" / name, disk / "root", disk / "var"))
    is_machine = name in settings.machines
    machine_folders = machine.hold_folders(disk) if is_machine else None
    ns.bind(cache_folder(), disk / "var" / GUEST_FILES.relative_to("/var"), read_only=True)
    ns.mount("tmpfs", "/run", "tmpfs", ns.MS_NOSUID | ns.MS_NODEV, "mode=755")
    RUN.mkdir()
    POWER_SOCKET.touch()
    ns.bind(power, POWER_SOCKET)
    if is_machine:
        machine.bind_folders(machine_folders)
    ns.bind(root, "/root")
    ns.bind(var, "/var")
    ns.mount("tmpfs", "/tmp", "tmpfs", ns.MS_NOSUID | ns.MS_NODEV, "mode=1777")
    mount_dev(settings)
    mount_proc(boot_id)
    ns.mount("sysfs", "/sys", "sysfs", ns.MS_RDONLY)  # without the machine's cgroups
    keep = ("/etc", "/usr", "/run", "/root", "/var", "/tmp", "/dev", "/proc", "/sys")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        point = line.split()[1].encode().decode("unicode_escape")
        if not any(point == k or point.startswith(f"{k}/") for k in keep):
            try:
                ns.mount(None, point, flags=ns.MS_REMOUNT | ns.MS_BIND | ns.MS_RDONLY)
            except LabError:
                pass  # hidden below another mount
    os.chdir("/")


def mount_dev(settings):
    ns.mount("tmpfs", "/dev", "tmpfs", ns.MS_NOSUID, "mode=755")
    devices = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0),
               "net/tun": (10, 200)}
    if settings.accel == "kvm":
        devices["kvm"] = (10, 232)
    os.umask(0)
    for name, numbers in devices.items():
        path = Path("/dev", name)
        path.parent.mkdir(exist_ok=True, mode=0o755)
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(*numbers))
    os.umask(0o022)
    for folder in ("pts", "shm"):
        Path("/dev", folder).mkdir()
    for name, target in {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1",
                         "stderr": "fd/2"}.items():
        Path("/dev", name).symlink_to(target)
    ns.mount("devpts", "/dev/pts", "devpts", ns.MS_NOSUID, "newinstance,ptmxmode=0666,mode=620,gid=5")
    ns.mount("tmpfs", "/dev/shm", "tmpfs", ns.MS_NOSUID | ns.MS_NODEV, "mode=1777")


def mount_proc(boot_id):
    """Only /proc/sys/net may be written: it is the node's. sysrq would reach the machine: here a pipe, read below."""
    ns.mount("proc", "/proc", "proc")
    ns.bind("/proc/sys", "/proc/sys", read_only=True)
    ns.bind("/proc/sys/net", "/proc/sys/net")
    ns.mount(None, "/proc/sys/net", flags=ns.MS_REMOUNT | ns.MS_BIND)
    (RUN / "boot_id").write_text(f"{boot_id}\n")
    ns.bind(RUN / "boot_id", "/proc/sys/kernel/random/boot_id")
    os.mkfifo(RUN / "sysrq")
    if Path("/proc/sysrq-trigger").exists():
        ns.bind(RUN / "sysrq", "/proc/sysrq-trigger")


# -- boot ----------------------------------------------------------------------------------------------------------

def boot(settings, name):
    """Runs once, as a child of the node's pid 1; what it starts stays."""
    if name in settings.machines:
        machine.run(name)
    if os.fork() == 0:
        watch_sysrq()
    make_runtime_folders()
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
    done = subprocess.run(["/usr/lib/migrationd-lab/boot", settings.stack], env=environment, cwd="/")
    (RUN / "booted.part").write_text(f"{done.returncode}\n")  # who looks shall never find an empty answer
    (RUN / "booted.part").rename(RUN / "booted")
    if done.returncode:
        print(f"boot failed with {done.returncode}", flush=True)
    return 0


def watch_sysrq():
    """What Pacemaker and people write to sysrq-trigger in order to reboot at once: b and o, for this node alone."""
    while True:
        with open(RUN / "sysrq") as pipe:
            for letter in pipe.read():
                if letter in "bc":
                    ns.reboot(ns.RB_AUTOBOOT)
                elif letter == "o":
                    ns.reboot(ns.RB_POWER_OFF)


def make_runtime_folders():
    """The folders below /run that packages ask for in their tmpfiles.d."""
    for line in run(["sh", "-c", "cat /usr/lib/tmpfiles.d/*.conf /etc/tmpfiles.d/*.conf 2>/dev/null"],
                    check=False).stdout.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] not in "dD" or "%" in line or not words[1].startswith(("/run/", "/var/run/")):
            continue
        mode, owner, group = (words[2:] + ["-"] * 3)[:3]
        run(["install", "-d", "-m", "0755" if mode == "-" else mode.lstrip("~"),
             "-o", "root" if owner == "-" else owner, "-g", "root" if group == "-" else group, words[1]], check=False)
    for folder, mode in (("/run/lock", 0o1777), ("/run/user", 0o755)):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, mode)


if __name__ == "__main__":
    lab_name, member_name, plug_fd, new_boot_id = sys.argv[1:]
    lab_settings = Settings.load(lab_name)
    if member_name in lab_settings.node_names:
        sys.exit(run_node(lab_settings, member_name, int(plug_fd), new_boot_id))
    sys.exit(run_host(lab_settings, member_name, int(plug_fd)))
