#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Moving over from ocf:heartbeat:VirtualDomain and back by hand, with the README's own commands: the guest is never restarted."""

import re
import sys
from pathlib import Path

from handoff_lab import check, kept_live, measured, on, one_writer, run, standby, unstandby, up, wait_on, wait_settled
from handoff_lab import wait_until, where

lab = None
README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
SECTION = README.split("## Moving over from ocf:heartbeat:VirtualDomain")[1].split("\n## ")[0]
BY_HAND = SECTION.split("By hand,")[1]  # test-adopt.py has the command
PRIMITIVE = ("crm configure primitive vm1 ocf:heartbeat:VirtualDomain params config=/etc/libvirt/lab/vm1.xml "
             "hypervisor=qemu:///system migration_transport=tcp meta allow-migrate=true op monitor interval=10 timeout=30 "
             "op start timeout=60 op stop timeout=90 op migrate_to timeout=60 op migrate_from timeout=60")


def crm_commands():
    return [line.split("  #")[0].strip() for line in BY_HAND.splitlines() if line.startswith("    ")]


def pcs_commands():
    paragraph = next(p for p in BY_HAND.split("\n\n") if p.startswith("With pcs"))
    return [text for text in re.findall(r"`([^`]*)`", paragraph.replace("\n", " ")) if text.startswith("pcs ")]


def change_provider(commands, old, new):
    """Each command as the README has it; where it tells to edit something, an editor that changes the provider."""
    before, node = lab.guest("vm1").boot_id, lab.nodes[0]
    shown = "VirtualDomain" if old == "heartbeat" else f"ocf:{old}:VirtualDomain"  # as crm shows an agent
    node.run(f"printf '#!/bin/sh\\nsed -i \"s/ {shown} / ocf:{new}:VirtualDomain /\" \"$1\"\\n' >/tmp/editor && chmod +x /tmp/editor")
    for command in commands:
        if command.startswith(("crm_mon", "pcs status")):
            wait_settled(lab)
            out = node.run(command).stdout
            check(re.search(r"vm1\s.*Started", out), f"{command} does not show vm1 as running:\n{out}")
            check("unmanaged" in out, f"{command} does not show vm1 as unmanaged:\n{out}")
            plan = node.run("crm_shadow --batch --force --create try >/dev/null && CIB_shadow=try crm_resource -r vm1 --meta "
                            "-p is-managed -v true && CIB_shadow=try crm_simulate --live-check --simulate; "
                            "crm_shadow --batch --force --delete try", check=False).stdout
            check("vm1" in plan and not re.search(r"(Stop|Restart|Move|Recover)\s+vm1", plan), f"the plan is:\n{plan}")
        else:
            typed = f"script -qec '{command}' /dev/null" if " edit " in command else command  # edits only at a terminal
            node.run(f"cd /tmp && EDITOR=/tmp/editor {typed}", timeout=90)
            if command.startswith("pcs cluster cib "):
                node.run(f"sed -i '/id=\"vm1\"/s/provider=\"{old}\"/provider=\"{new}\"/' /tmp/{command.split()[-1]}")
    wait_settled(lab)
    on(lab)
    agent = node.run("cibadmin -Q --xpath \"//primitive[@id='vm1']\"").stdout
    check(f'provider="{new}"' in agent, f"the resource is:\n{agent}")
    check(lab.guest("vm1").boot_id == before, f"the guest was restarted on the way from {old} to {new}")


def moves_live():
    source, destination = on(lab)
    kept_live(measured(lab, "vm1", lambda: (standby(lab, source), wait_on(lab, destination))))
    unstandby(lab, source)


def case_the_readme_has_commands():
    check(len(crm_commands()) == 6 and len(pcs_commands()) == 6, f"{crm_commands()} {pcs_commands()}")


def case_virtual_domain_runs_it():
    global lab
    lab = up(stack="pacemaker")
    lab.nodes[0].run(PRIMITIVE)
    wait_until(lambda: where(lab), 60, "the start of vm1")
    lab.guest("vm1").wait_up(60)
    wait_settled(lab)


def case_over_with_crm():
    change_provider(crm_commands(), "heartbeat", "migrationd")
    moves_live()


def case_and_back_with_crm():
    change_provider(crm_commands(), "migrationd", "heartbeat")
    one_writer(lab)


def case_over_with_pcs():
    change_provider(pcs_commands(), "heartbeat", "migrationd")
    moves_live()


def case_and_back_with_pcs():
    change_provider(pcs_commands(), "migrationd", "heartbeat")
    one_writer(lab)


if __name__ == "__main__":
    sys.exit(run(globals()))
