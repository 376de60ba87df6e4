#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon costs while nothing happens, beside 1,000 domains defined in its node's libvirtd: its memory, and its
CPU time over an idle minute; the same before the domains were there."""

import json
import re
import sys
import time

from bench_lab import LabError, arguments, run

DOMAINS = 1000
SECONDS = 60
# On the node: defines the domains over one connection of virsh; fails when one is refused.
DEFINE = """
import re, subprocess, sys
xml = open("/etc/libvirt/lab/vm1.xml").read()
words = []
for i in range(int(sys.argv[1])):
    text = re.sub("<name>.*?</name>", f"<name>many{i}</name>", xml)
    text = re.sub("<uuid>.*?</uuid>", f"<uuid>00000000-0000-4000-8000-{i:012d}</uuid>", text)
    text = re.sub("<mac address='.*?'/>", f"<mac address='52:54:00:88:{i >> 8:02x}:{i & 255:02x}'/>", text)
    path = f"/root/many{i}.xml"
    open(path, "w").write(text)
    words.append(f"define {path}")
done = subprocess.run(["virsh"], input="\\n".join(words) + "\\n", text=True, capture_output=True)
if "error" in done.stdout + done.stderr:
    sys.exit((done.stdout + done.stderr)[-500:])
"""
LOOK = """
import json, os, re
daemon = DAEMON
cpu = sum(int(open(f"/proc/{daemon}/task/{t}/schedstat").read().split()[0]) for t in os.listdir(f"/proc/{daemon}/task"))
status = open(f"/proc/{daemon}/status").read()
print(json.dumps({"cpu_ns": cpu, "rss": int(re.search("VmRSS:\\\\s+(\\\\d+)", status).group(1)),
                  "peak": int(re.search("VmHWM:\\\\s+(\\\\d+)", status).group(1))}))
"""


def idle_minute(node):
    """(memory in MiB, most memory so far in MiB, CPU time in per cent of one processor)"""
    def look():
        script = LOOK.replace("DAEMON", node.run(["pidof", "migrationd"]).stdout.strip())
        return json.loads(node.run(["/usr/bin/python3", "-c", script]).stdout)
    before, begun = look(), time.monotonic()
    time.sleep(SECONDS)
    after, took = look(), time.monotonic() - begun
    return after["rss"] / 1024, after["peak"] / 1024, (after["cpu_ns"] - before["cpu_ns"]) / 1e9 / took * 100


def bench(lab):
    node = lab.nodes[0]
    for count in (0, DOMAINS):
        if count:
            node.run(["/usr/bin/python3", "-c", DEFINE, str(count)], timeout=600)
            known = len(re.findall("many", node.virsh("list", "--all", "--name", timeout=60).stdout))
            if known != count:
                raise LabError(f"libvirt knows {known} of {count} domains")
            time.sleep(10)  # for what the events of the definitions begin
        memory, peak, cpu = idle_minute(node)
        print(f"{count:5} domains defined, one runs: {memory:5.1f} MiB (at most {peak:.1f}; wanted: under 40), "
              f"{cpu:.3f} % of a processor over {SECONDS} idle s (wanted: under 0.2)", flush=True)


if __name__ == "__main__":
    args = arguments(__doc__)
    sys.exit(run(bench, args.stage, {"vm1": "ocf:migrationd:VirtualDomain"}))
