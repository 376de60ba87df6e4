# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks share: a lab with migrationd and the guests, and the telling of alternating measurements."""

import argparse
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

sys.dont_write_bytecode = True
TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "lab"))

from migrationd_lab import Lab, LabError  # noqa: E402
from migrationd_lab.demo_scenarios import linked  # noqa: E402
from migrationd_lab.lab import end_on_signals  # noqa: E402
from migrationd_lab.namespaces import wait_until  # noqa: E402

PRIMITIVE = ("crm configure primitive {vm} {agent} params config=/etc/libvirt/lab/{vm}.xml hypervisor=qemu:///system "
             "{transport} meta allow-migrate=true op start timeout=90 op stop timeout=90 "
             "op migrate_to timeout={push} op migrate_from timeout=60 op monitor interval={monitor} timeout=30")


def arguments(text, pairs=7, more=lambda parser: None):
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--stage", required=True, help="a tree made by make install DESTDIR=STAGE")
    parser.add_argument("--pairs", type=int, default=pairs, help=f"how many alternating pairs (default: {pairs})")
    more(parser)
    return parser.parse_args()


def run(bench, stage, agents, push=60, transport="", monitor=0, **settings):
    """Calls bench(lab) with agents' resources ({guest: agent}) running under Pacemaker; the process's exit code.
    push: the timeout of migrate_to in seconds; transport: migrationd's, as a parameter; monitor: Pacemaker's interval in seconds, 0: it
    does not monitor them; settings: the lab's."""
    end_on_signals()
    try:
        if not pathlib.Path(stage, "usr/sbin/migrationd").exists():
            raise LabError(f"{stage}/usr/sbin/migrationd is not there: configure --prefix=/usr --sysconfdir=/etc "
                           f"--localstatedir=/var, then make install DESTDIR={stage}")
        with tempfile.TemporaryDirectory(prefix="migrationd-bench-") as own:
            shutil.copytree(stage, own, symlinks=True, dirs_exist_ok=True)
            config = pathlib.Path(own, "etc/migrationd/migrationd.conf")
            config.parent.mkdir(parents=True, exist_ok=True)
            config.write_text("log_target = stderr\n")
            lab = Lab.up(name=f"bench-{os.getpid()}", stack="pacemaker", guests=len(agents), install=own, **settings)
        with lab:
            for node in lab.nodes:
                wait_until(lambda n=node: linked(n), 20, f"link of {node}'s daemon to its peer")
            for vm, agent in agents.items():
                # libvirt listens for tcp in the lab; migrationd's own transport needs nothing.
                way = "migration_transport=tcp" if "heartbeat" in agent else transport
                lab.nodes[0].run(PRIMITIVE.format(vm=vm, agent=agent, push=push, transport=way, monitor=monitor))
                lab.guest(vm).wait_up(90)
            settle(lab)
            bench(lab)
        return 0
    except (LabError, OSError) as e:
        print(f"bench: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; nothing is left of its lab", file=sys.stderr)
        return 130


def settle(lab):
    lab.nodes[0].run("crm_resource --wait --timeout=90s", timeout=100)


def told(figures, unit):
    """Median and spread of a list, as text."""
    return f"median {statistics.median(figures):8.2f} {unit}   least {min(figures):8.2f}   most {max(figures):8.2f}"


def ratios(first, second):
    """Of each pair, as text: median and spread of first / second."""
    each = [a / b for a, b in zip(first, second)]
    return f"median {statistics.median(each):.3f}, least {min(each):.3f}, most {max(each):.3f}"
