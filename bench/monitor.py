#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time of one monitor: migrationd's agent with the daemon's share, ocf:heartbeat:VirtualDomain's, and /bin/true.

Each round runs all three in turn on the node where the guest runs. A program's time is what the kernel charged to it
and its children; of the daemon it is all that its threads used in that time, whatever for. What libvirtd does for
VirtualDomain's virsh is not counted.
"""

import json
import sys

from bench_lab import arguments, ratios, run, told

CALLS = {"migrationd": 1000, "VirtualDomain": 50, "/bin/true": 1000}
PROVIDERS = {"migrationd": "migrationd", "VirtualDomain": "heartbeat"}
# Runs on the node: a call's CPU time in ms, the daemon's share of it in ms; fails when a call does.
LOOP = """
import json, os, resource, sys
program, environment, calls, daemon = json.load(sys.stdin)
def used(who):
    spent = resource.getrusage(who)
    return spent.ru_utime + spent.ru_stime
def threads():
    return sum(int(open(f"/proc/{daemon}/task/{t}/schedstat").read().split()[0])
               for t in os.listdir(f"/proc/{daemon}/task")) / 1e9 if daemon else 0
null = os.open("/dev/null", os.O_RDWR)
quiet = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
before, before_daemon = used(resource.RUSAGE_CHILDREN), threads()
for _ in range(calls):
    pid = os.posix_spawn(program, [program, "monitor"], environment, file_actions=quiet)
    status = os.waitpid(pid, 0)[1]
    if status:
        sys.exit(f"{program} monitor ended with {os.waitstatus_to_exitcode(status)}")
share = threads() - before_daemon
own = used(resource.RUSAGE_CHILDREN) - before
print(json.dumps([(own + share) * 1000 / calls, share * 1000 / calls]))
"""


def bench(lab, pairs):
    node = next(n for n in lab.nodes if n.virsh("domstate", "vm1", check=False).stdout.strip() == "running")
    daemon = int(node.run(["pidof", "migrationd"]).stdout)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": "vm1",
                   "OCF_RESOURCE_TYPE": "VirtualDomain", "OCF_RA_VERSION_MAJOR": "1",
                   "OCF_RESKEY_config": "/etc/libvirt/lab/vm1.xml", "OCF_RESKEY_hypervisor": "qemu:///system",
                   "OCF_RESKEY_migration_transport": "tcp", "OCF_RESKEY_CRM_meta_timeout": "30000"}
    figures, shares = {name: [] for name in CALLS}, []
    for i in range(pairs):
        for name in CALLS if i % 2 == 0 else reversed(CALLS):
            provider = PROVIDERS.get(name)
            program = f"/usr/lib/ocf/resource.d/{provider}/VirtualDomain" if provider else name
            words = [program, {**environment, "OCF_RESOURCE_PROVIDER": provider or ""}, CALLS[name],
                     daemon if name == "migrationd" else None]
            said = node.run(["/usr/bin/python3", "-c", LOOP], input=json.dumps(words), timeout=300).stdout
            each, share = json.loads(said)
            figures[name].append(each)
            if name == "migrationd":
                shares.append(share)
        print(f"round {i + 1} of {pairs}: " + ", ".join(f"{n} {f[-1]:.2f} ms" for n, f in figures.items()), flush=True)
    print("\nCPU time of one monitor:")
    for name, each in figures.items():
        print(f"  {name:14} {told(each, 'ms')}")
    print(f"  {'of it, daemon':14} {told(shares, 'ms')}")
    print(f"  migrationd / VirtualDomain: {ratios(figures['migrationd'], figures['VirtualDomain'])} (wanted: 0.020 or "
          f"less)\n  migrationd / true:          {ratios(figures['migrationd'], figures['/bin/true'])} (wanted: 5 or "
          "less)")


if __name__ == "__main__":
    args = arguments(__doc__)
    sys.exit(run(lambda lab: bench(lab, args.pairs), args.stage, {"vm1": "ocf:migrationd:VirtualDomain"}))
