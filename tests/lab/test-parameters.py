#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters of ocf:heartbeat:VirtualDomain that do something beside the domain, on the real libvirt and Pacemaker: its pools
and networks, the utilization attributes, the file with its definition."""

import sys

from handoff_lab import (add_vm, check, kept_live, log_of, measured, on, run, standby, unstandby, up, wait_on, wait_settled,
                         wait_until, where)

lab = None
CONFIG = "/etc/libvirt/lab/vm1.xml"
POOL = "<pool type='dir'><name>isos</name><target><path>/var/lib/isos</path></target></pool>"
NETWORK = "<network><name>lan</name><forward mode='bridge'/><bridge name='br0'/></network>"
CD = ("<disk type='volume' device='cdrom'><source pool='isos' volume='cd.iso'/><target dev='hda' bus='ide'/><readonly/></disk>"
      "<interface type='network'>")


def active(node):
    """(the pool is active, the network is active) on that node."""
    return ("isos" in node.virsh("pool-list", "--name").stdout.split(), "lan" in node.virsh("net-list", "--name").stdout.split())


def set_parameter(name, value):
    lab.nodes[0].run(f"crm_resource -r vm1 --set-parameter {name} --parameter-value {value}")
    wait_settled(lab)


def utilization(name):
    return lab.nodes[0].run(f"crm_resource -r vm1 --utilization --get-parameter {name} --quiet", check=False).stdout.strip()


def role(wanted):
    lab.nodes[0].run(f"crm_resource -r vm1 --meta --set-parameter target-role --parameter-value {wanted}")
    wait_until(lambda: bool(where(lab)) == (wanted == "Started"), 90, f"vm1 {wanted}")
    wait_settled(lab)


def case_first_start_starts_the_pool_and_the_network():
    global lab
    lab = up(stack="pacemaker", guests=2)
    for node in lab.nodes:
        node.run("mkdir -p /var/lib/isos; truncate -s 1M /var/lib/isos/cd.iso")
        for kind, text in (("pool", POOL), ("net", NETWORK)):
            node.write(f"/root/{kind}.xml", text)
            node.virsh(f"{kind}-define", f"/root/{kind}.xml")
        xml = node.read(CONFIG).replace("<interface type='bridge'>", CD).replace("<source bridge='br0'/>", "<source network='lan'/>")
        node.write(CONFIG, xml, mode=0o640)
        check(active(node) == (False, False), f"{node.name} before the start: {active(node)}")
    add_vm(lab, params="start_resources=true")
    source, destination = on(lab)
    check(active(source) == (True, True), f"{source.name} after the start: {active(source)}")
    check(active(destination) == (False, False), f"started where nothing runs: {active(destination)}")


def case_explaining_a_move_starts_nothing():
    source, destination = on(lab)
    source.run("migrationctl explain vm1")
    check(active(destination) == (False, False), f"{destination.name} after explain: {active(destination)}")


def case_a_move_starts_them_at_the_destination():
    source, destination = on(lab)
    kept_live(measured(lab, "vm1", lambda: (standby(lab, source), wait_on(lab, destination))))
    check(active(destination) == (True, True), f"{destination.name} after the move: {active(destination)}")
    unstandby(lab, source)


def case_one_that_cannot_be_started_fails_the_migration_before_it_begins():
    source, destination = on(lab)
    destination.virsh("net-destroy", "lan")
    destination.virsh("net-undefine", "lan")
    asked = source.run(f"crm_resource --move -r vm1 --node {destination.name}", check=False)
    check(asked.returncode == 0, asked.stderr)
    wait_until(lambda: "network lan is not known to libvirt on this node" in log_of(source), 60, "the reason in the log")
    lab.nodes[0].run("crm_resource --clear -r vm1")
    destination.virsh("net-define", "/root/net.xml")
    wait_settled(lab)
    lab.nodes[0].run("crm_resource --cleanup -r vm1")
    wait_settled(lab)
    wait_until(lambda: where(lab), 90, "vm1 to run")
    lab.guest("vm1").wait_up(60)


def case_the_utilization_is_that_of_the_domain_whatever_somebody_sets():
    memory = str(int(on(lab)[0].virsh("dominfo", "vm1").stdout.split("Max memory:")[1].split()[0]) // 1024)
    wanted = {"cpu": "1", "host_memory": memory, "hv_memory": memory}

    def as_wanted():
        return {name: utilization(name) for name in wanted} == wanted

    wait_until(as_wanted, 60, f"utilization {wanted}, it is {[utilization(name) for name in wanted]}")
    lab.nodes[0].run("crm_resource -r vm1 --utilization --set-parameter cpu --parameter-value 7")
    wait_until(as_wanted, 60, "utilization cpu to be set back")
    wait_settled(lab)


def case_a_utilization_that_is_not_wanted_is_removed():
    set_parameter("autoset_utilization_cpu", "false")
    set_parameter("unset_utilization_cpu", "true")
    wait_until(lambda: not utilization("cpu"), 60, "utilization cpu to be removed")
    check(utilization("host_memory"), "host_memory is gone, too")


def case_a_changed_definition_is_on_all_nodes_after_a_stop():
    set_parameter("sync_config_on_stop", "true")
    source, destination = on(lab)
    source.virsh("desc", "vm1", "--live", "--title", "changed while it ran")
    role("Stopped")
    for node in (source, destination):
        wait_until(lambda: "changed while it ran" in node.read(CONFIG), 30, f"the definition on {node.name}")
        kept = node.run(["stat", "-c", "%a %U", CONFIG]).stdout.strip()
        check(kept == "640 root", f"{CONFIG} on {node.name} became {kept}")
        left = node.run("ls -A /etc/libvirt/lab").stdout
        check(".new" not in left, f"left beside the definition on {node.name}: {left}")
    role("Started")
    lab.guest("vm1").wait_up(60)
    check("changed while it ran" in on(lab)[0].virsh("desc", "vm1", "--title").stdout, "it was started from an older definition")


DISK = "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/vm2/vm2.qcow2'/><target dev='vdb' bus='virtio'/></disk>"


def case_a_stateless_domain_has_a_new_disk_with_each_boot():
    for node in lab.nodes:
        node.run("mkdir -p /var/lib/vm2; truncate -s 4M /var/lib/vm2/golden.raw")
        node.write("/var/lib/vm2/vm2.xml", node.read("/etc/libvirt/lab/vm2.xml").replace("<interface type='bridge'>", DISK + "<interface type='bridge'>"))
    lab.nodes[0].run("crm configure primitive vm2 ocf:migrationd:VirtualDomain params config=/var/lib/vm2/vm2.xml hypervisor=qemu:///system "
                     "backingfile=/var/lib/vm2/golden.raw stateless=true op start timeout=60 op stop timeout=60 meta allow-migrate=false")
    wait_until(lambda: where(lab, "vm2"), 60, "the start of vm2")
    lab.guest("vm2").wait_up(60)
    wait_settled(lab)
    node, _ = on(lab, "vm2")
    made = node.run("qemu-img info -U /var/lib/vm2/vm2.qcow2").stdout
    check("backing file: /var/lib/vm2/golden.raw" in made and "backing file format: raw" in made, made)
    node.write("/var/lib/vm2/vm2.qcow2.mark", node.run("stat -c %i /var/lib/vm2/vm2.qcow2").stdout)
    lab.nodes[0].run(f"crm configure location vm2-here vm2 inf: {node.name}")
    lab.nodes[0].run("crm_resource -r vm2 --meta --set-parameter target-role --parameter-value Stopped")
    wait_until(lambda: not where(lab, "vm2"), 90, "the stop of vm2")
    lab.nodes[0].run("crm_resource -r vm2 --meta --set-parameter target-role --parameter-value Started")
    wait_until(lambda: where(lab, "vm2"), 60, "the second start of vm2")
    now = node.run("stat -c %i /var/lib/vm2/vm2.qcow2").stdout
    check(now != node.read("/var/lib/vm2/vm2.qcow2.mark"), "the disk is the one of the first boot")
    check("/var/lib/vm2/vm2.qcow2 was made anew" in log_of(node), "the log does not say so")


def case_a_guest_that_the_destination_cannot_take_running_is_restarted_there():
    """The destination's libvirt forgets the CPU model that host-model came to on the source."""
    lab.nodes[0].run("crm_resource -r vm2 --meta --set-parameter target-role --parameter-value Stopped")
    wait_until(lambda: not where(lab, "vm2"), 90, "the stop of vm2")
    wait_settled(lab)
    lab.nodes[0].run("crm configure delete vm2-here vm2")
    for node in lab.nodes:
        node.write("/var/lib/vm2/cpu.xml", node.read("/etc/libvirt/lab/vm2.xml").replace("<features>", "<cpu mode='host-model' check='partial'/><features>"))
    lab.nodes[0].run("crm configure primitive vm2 ocf:migrationd:VirtualDomain params config=/var/lib/vm2/cpu.xml hypervisor=qemu:///system "
                     "migration_transport=tcp op start timeout=60 op stop timeout=60 op migrate_to timeout=60 op migrate_from timeout=60 "
                     "meta allow-migrate=true")
    wait_until(lambda: where(lab, "vm2"), 60, "the start of vm2")
    lab.guest("vm2").wait_up(60)
    wait_settled(lab)
    source, destination = on(lab, "vm2")
    model = source.virsh("dumpxml", "vm2").stdout.split("<model fallback=")[1].split(">")[1].split("<")[0]
    destination.run(f"sed -i \"s/name='{model}'/name='{model}-forgotten'/\" /usr/share/libvirt/cpu_map/*.xml")
    destination.run("systemctl restart libvirtd")
    wait_until(lambda: destination.virsh("list", check=False).returncode == 0, 30, "libvirtd to be back")
    before = lab.guest("vm2").boot_id

    lab.nodes[0].run(f"crm_resource --move -r vm2 --node {destination.name}")
    wait_until(lambda: "its CPU" in log_of(source) or "CPU can't be had" in log_of(source), 60, "the refusal")
    wait_settled(lab)
    lab.nodes[0].run("crm_resource --clear -r vm2")
    wait_settled(lab)
    check(lab.guest("vm2").boot_id == before, "on_incompatible=fail restarted it")
    lab.nodes[0].run("crm_resource --cleanup -r vm2")
    wait_settled(lab)
    source, destination = on(lab, "vm2")
    lab.nodes[0].run("crm_resource -r vm2 --set-parameter on_incompatible --parameter-value restart")
    wait_settled(lab)
    lab.nodes[0].run(f"crm_resource --move -r vm2 --node {destination.name}")
    wait_until(lambda: where(lab, "vm2") == [destination.name], 90, f"vm2 on {destination.name}")
    lab.guest("vm2").wait_up(60)
    wait_settled(lab)
    check(lab.guest("vm2").boot_id != before, "it was moved live")
    failed = lab.nodes[0].run("crm_mon -1 --exclude=all --include=failures").stdout
    check("vm2" not in failed, f"Pacemaker saw a failure: {failed}")


if __name__ == "__main__":
    sys.exit(run(globals()))
