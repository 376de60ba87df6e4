#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""migrationctl adopt: from ocf:heartbeat:VirtualDomain to ocf:migrationd:VirtualDomain and back, and no guest is restarted;
what is refused changes nothing; what fails or is interrupted on the way is put back, or gone on with."""

import re
import signal
import subprocess
import sys

from handoff_lab import check, kept_live, measured, on, one_writer, run, standby, unstandby, up, wait_on, wait_settled
from handoff_lab import linked, wait_until, where

lab = None
OPERATIONS = ("op monitor interval=10 timeout=30 op start timeout=60 op stop timeout=90 op migrate_to timeout=60 "
              "op migrate_from timeout=60")
TOOLS = "/tmp/tools"


def xml(vm):
    """The resource as the CIB has it; a template's own lines, too."""
    node = lab.nodes[0]
    return "".join(node.run(f"cibadmin -Q --xpath \"{path}\"", check=False).stdout
                   for path in (f"//primitive[@id='{vm}']", "//template"))


def provider(vm):
    return re.search(r'provider="(\w+)"', xml(vm))[1]


def adopt(*words, good=True, tools=False):
    path = f"PATH={TOOLS}:$PATH " if tools else ""
    result = lab.nodes[0].run(f"{path}migrationctl adopt {' '.join(words)}", check=False, timeout=400)
    print(result.stdout + result.stderr, flush=True)
    check((result.returncode == 0) == good, f"adopt {words} exited with {result.returncode}")
    return result


def boots():
    return {vm: lab.guest(vm).boot_id for vm in ("vm1", "vm2")}


def unchanged(act):
    """Neither the resources nor the guests become different by it."""
    before, guests = [xml("vm1"), xml("vm2")], boots()
    result = act()
    wait_settled(lab)
    check([xml("vm1"), xml("vm2")] == before, f"the CIB had {before} and has {xml('vm1')} {xml('vm2')}")
    check(boots() == guests, "a guest was restarted")
    for vm in guests:
        on(lab, vm)
    return result


def wrapped_tool(name, script):
    """`name` as the script, in which REAL is the tool itself."""
    node = lab.nodes[0]
    real = node.run(f"command -v {name}").stdout.strip()
    node.run(f"rm -rf {TOOLS} && mkdir {TOOLS}")
    node.write(f"{TOOLS}/{name}", "#!/bin/sh\n" + script.replace("REAL", real) + "\n", mode=0o755)


def begun(*words, until):
    """adopt, in the middle: it has printed a line that begins so. The caller ends it."""
    process = lab.nodes[0].popen(f"exec migrationctl adopt {' '.join(words)}", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        print(line, end="", flush=True)
        if line.startswith(until):
            return process
    raise AssertionError(f"adopt ended before it said {until!r}")


def pid_of_adopt():
    return int(lab.nodes[0].run("pgrep -x migrationctl").stdout)


def set_parameter(vm, *words):
    """The old agent is restarted for it."""
    lab.nodes[0].run(f"crm_resource -r {vm} {' '.join(words)}")
    wait_settled(lab)
    lab.guest(vm).wait_up(60)


def case_virtual_domain_runs_them():
    """vm1 is a primitive, vm2 is made from a template and in a group."""
    global lab
    lab = up(stack="pacemaker", guests=2)
    node = lab.nodes[0]
    node.run("crm configure primitive vm1 ocf:heartbeat:VirtualDomain params config=/etc/libvirt/lab/vm1.xml "
             f"hypervisor=qemu:///system migration_transport=tcp meta allow-migrate=true {OPERATIONS}")
    node.run("crm configure rsc_template domain ocf:heartbeat:VirtualDomain params hypervisor=qemu:///system "
             f"migration_transport=tcp meta allow-migrate=true {OPERATIONS}")
    node.run("crm configure primitive vm2 @domain params config=/etc/libvirt/lab/vm2.xml meta is-managed=true")
    node.run("crm configure primitive other ocf:pacemaker:Dummy meta allow-migrate=true")
    node.run("crm configure group both vm2 other meta allow-migrate=true")
    for vm in ("vm1", "vm2"):
        wait_until(lambda vm=vm: where(lab, vm), 60, f"the start of {vm}")
        lab.guest(vm).wait_up(60)
    wait_settled(lab)


def case_a_dry_run_changes_nothing():
    result = unchanged(lambda: adopt("--all", "--dry-run"))
    for word in ("vm1, vm2: unmanaged", "ocf:migrationd:VirtualDomain", "crm_simulate"):
        check(word in result.stdout, f"{word} is not said: {result.stdout}")


def case_a_refused_parameter_is_named():
    set_parameter("vm1", "-p migration_transport -v carrier_pigeon")
    try:
        result = unchanged(lambda: adopt("vm1", "vm2", good=False))
    finally:
        set_parameter("vm1", "-p migration_transport -v tcp")
    check("migration_transport" in result.stderr and "nothing was changed" in result.stderr, result.stderr)


def case_a_node_without_its_daemon_is_named():
    node2 = lab.nodes[1]
    node2.run("systemctl stop migrationd")
    result = unchanged(lambda: adopt("vm1", good=False))
    check("node2" in result.stderr and "start it" in result.stderr, result.stderr)
    node2.run("systemctl start migrationd")
    wait_until(lambda: all(linked(n, [p for p in lab.nodes if p is not n]) for n in lab.nodes), 30, "the links")


def case_what_the_new_agent_misses_elsewhere_puts_it_back():
    """The other node's definition of the domain is broken, which only the new agent's probe there finds out. (It would do without
    one: the daemons keep it there.) It is said of node1 before anything is changed: that is where the command is typed."""
    vm = next(vm for vm in ("vm1", "vm2") if on(lab, vm)[1].name == "node2")
    lab.node("node2").run(f"cd /etc/libvirt/lab && mv {vm}.xml hidden && echo '<domain' >{vm}.xml")
    try:
        result = unchanged(lambda: adopt(vm, good=False))
    finally:
        lab.node("node2").run(f"mv -f /etc/libvirt/lab/hidden /etc/libvirt/lab/{vm}.xml")
    check("on node2" in result.stderr and "as before" in result.stderr, result.stderr)


def case_a_plan_with_a_stop_puts_it_back():
    """Somebody bans vm1 from its node in the middle, and thinks better of it."""
    source, _ = on(lab, "vm1")
    ban = f"REAL --ban --resource vm1 --node {source.name} >&2"
    clear = f"REAL --clear --resource vm1 >&2"
    wrapped_tool("crm_resource", f'REAL "$@"; code=$?\ncase "$*" in *--refresh*) if [ -e {TOOLS}/banned ]; then {clear}; '
                                 f'else : > {TOOLS}/banned; {ban}; fi ;; esac\nexit $code')
    try:
        result = unchanged(lambda: adopt("vm1", good=False, tools=True))
    finally:
        lab.nodes[0].run("crm_resource --clear --resource vm1")
    check(f"of vm1 on {source.name}" in result.stderr and "as before" in result.stderr, result.stderr)


def case_an_interrupt_puts_it_back():
    def interrupted():
        process = begun("vm1", "vm2", until="3.")
        lab.nodes[0].run(f"kill -INT {pid_of_adopt()}")
        rest = process.communicate(timeout=400)[0]
        print(rest, flush=True)
        check(process.returncode == 1 and "interrupted" in rest and "as before" in rest, f"{process.returncode}: {rest}")
    unchanged(interrupted)


def case_a_killed_one_is_gone_on_with():
    guests = boots()
    process = begun("vm1", until="3.")
    lab.nodes[0].run(f"kill -KILL {pid_of_adopt()}")
    process.communicate(timeout=60)
    check('name="is-managed" value="false"' in xml("vm1"), f"it is not unmanaged: {xml('vm1')}")
    adopt("vm1")
    wait_settled(lab)
    check(provider("vm1") == "migrationd" and "is-managed" not in xml("vm1"), xml("vm1"))
    check(boots() == guests, "a guest was restarted")


def case_the_way_back():
    set_parameter("vm1", "-p handoff_timeout -v 60s")
    guests = boots()
    result = adopt("vm1", "--undo")
    wait_settled(lab)
    check("handoff_timeout=60s: it is removed" in result.stdout, result.stdout)
    check(provider("vm1") == "heartbeat" and "handoff_timeout" not in xml("vm1") and "is-managed" not in xml("vm1"), xml("vm1"))
    check(boots() == guests, "a guest was restarted")


def case_all_of_them_go_over_and_move_live():
    guests = boots()
    result = adopt("--all")
    wait_settled(lab)
    for vm in guests:
        check(provider(vm) == "migrationd", xml(vm))
    check('name="is-managed" value="true"' in xml("vm2"), f"vm2's own word is lost: {xml('vm2')}")
    check(boots() == guests, "a guest was restarted")
    source, destination = on(lab, "vm1")
    kept_live(measured(lab, "vm1", lambda: (standby(lab, source), wait_on(lab, destination))))
    unstandby(lab, source)
    check("already" in adopt("vm1").stdout and "no domain was stopped" in result.stdout, result.stdout)


def case_and_all_back():
    guests = boots()
    adopt("--all", "--undo")
    wait_settled(lab)
    for vm in guests:
        check(provider(vm) == "heartbeat", xml(vm))
    check(boots() == guests, "a guest was restarted")
    check("migrationctl-adopt" not in lab.nodes[0].run("cibadmin -Q").stdout, "a mark is left in the CIB")
    one_writer(lab)


if __name__ == "__main__":
    sys.exit(run(globals()))
