#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The definition's file is on one node only: the daemons keep it on the other, which then knows the domain, gets it live and
boots it when the first node is dead."""

import json
import sys

from handoff_lab import (add_vm, check, kept_live, log_of, measured, on, one_writer, run, standby, unstandby, up, wait_on,
                         wait_settled, wait_until, where)

lab = None
CONFIG = "/etc/libvirt/lab/vm1.xml"
KEPT = "/var/lib/migrationd/definitions"


def first_and_second():
    return lab.nodes[0], lab.nodes[1]


def validated(node):
    return node.run(f"OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE=vm1 OCF_RESKEY_config={CONFIG} "
                    "/usr/lib/ocf/resource.d/migrationd/VirtualDomain validate-all", check=False)


def case_a_node_without_the_file_is_not_closed_to_the_resource():
    global lab
    lab = up(stack="pacemaker")
    first, second = first_and_second()
    second.run(["rm", CONFIG])
    check(validated(second).returncode == 5, "validate-all passes without any definition")
    standby(lab, second)
    add_vm(lab)
    check(where(lab) == [first.name], f"vm1 runs on {where(lab)}")
    files = second.run(f"stat -c '%a %U %n' {KEPT}/*").stdout.split()
    check(files[:2] == ["600", "root"] and len(files) == 3 and files[2].endswith(".xml"), f"kept on {second.name}: {files}")
    failed = first.run("crm_mon -1 --as-xml").stdout
    check("not installed" not in failed, f"a probe has failed: {failed}")
    check(validated(second).returncode == 0, f"validate-all with a kept definition: {validated(second).stderr}")
    unstandby(lab, second)


def case_it_moves_live_to_the_node_without_the_file_and_back():
    first, second = first_and_second()
    kept_live(measured(lab, "vm1", lambda: (standby(lab, first), wait_on(lab, second))))
    unstandby(lab, first)
    kept_live(measured(lab, "vm1", lambda: (standby(lab, second), wait_on(lab, first))))
    unstandby(lab, second)
    check(second.run(["test", "-e", CONFIG], check=False).returncode != 0, "the file was made anew")


def case_a_change_of_the_file_is_kept():
    first, second = first_and_second()
    xml = first.read(CONFIG).replace("</name>", "</name><title>changed by hand</title>")
    first.write(CONFIG, xml)
    wait_until(lambda: "changed by hand" in second.run(f"cat {KEPT}/*").stdout, 30, f"the change on {second.name}")


def case_the_first_node_dies_and_it_boots_from_what_is_kept():
    first, second = first_and_second()
    lab.kill(first.name)
    wait_until(lambda: where(lab) == [second.name], 120, f"vm1 on {second.name}")
    lab.guest("vm1").wait_up(60)
    check("booted from the definition that this node keeps" in log_of(second), "the log does not say so")
    check("changed by hand" in second.virsh("desc", "vm1", "--title").stdout, "it was booted from an older definition")
    status = json.loads(second.run("migrationctl status --json").stdout)
    said = next(one for one in status["domains"] if one["name"] == "vm1")["definition_from"]
    check(said and CONFIG in said, f"the status says {said}")
    check("Its definition: " in second.run("migrationctl explain vm1").stdout, "explain does not say so")
    one_writer(lab)


def case_a_broken_file_is_an_error():
    second = lab.nodes[1]
    second.write(CONFIG, "<domain>")
    check(validated(second).returncode == 5, "validate-all passes with a broken file")
    second.run(["rm", CONFIG])


if __name__ == "__main__":
    sys.exit(run(globals()))
