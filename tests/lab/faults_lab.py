# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests under injected faults share: a migration slow enough to be hit in the middle, the blows, and the
verdict afterwards: one instance, one writer, and a guest that was healthy is the same guest still."""

import contextlib

from handoff_lab import check, linked, log_of, on, one_writer, standby, wait_settled, wait_until, where

from migrationd_lab import pacemaker  # after handoff_lab, which finds it

__all__ = ["ready_count", "daemon_pid", "daemon_killed", "daemon_again", "libvirtd_killed", "libvirtd_again", "slow", "busy", "quiet", "migrating",
           "arrives", "boot_id_of", "unharmed", "restarted_once", "back_to_normal", "said_since", "since", "meta",
           "op_timeout", "nodes_online", "move_to", "move_over", "struck", "moves_in_spite_of", "stays_well_in_spite_of"]


def since(node):
    """How much the node's daemon has said; for said_since()."""
    return len(log_of(node))


def said_since(node, mark, *texts):
    """Whether one line that the daemon said after the mark has all the texts in it."""
    return any(all(text in line for text in texts) for line in log_of(node)[mark:].splitlines())


def ready_count(node):
    return log_of(node).count("ready: node")


def daemon_pid(node):
    """Of the daemon itself: the haresources script has the same name, and --direct the same program."""
    for pid in node.run("pgrep -x migrationd").stdout.split():
        program = node.run(f"readlink /proc/{pid}/exe; cat /proc/{pid}/cmdline", check=False).stdout
        if program.startswith("/usr/sbin/migrationd\n") and "--direct" not in program:
            return pid
    raise AssertionError(f"migrationd does not run on {node.name}")


def daemon_killed(node):
    """kill -9; returns how many lives it had, for daemon_again()."""
    lives = ready_count(node)
    node.run(f"kill -KILL {daemon_pid(node)}")
    return lives


def daemon_again(node, lives):
    wait_until(lambda: ready_count(node) > lives, 40, f"the restart of migrationd on {node.name}")


def libvirtd_killed(node):
    mark = since(node)
    node.service("kill", "libvirtd")
    wait_until(lambda: said_since(node, mark, "the hypervisor does not answer"), 40,
               f"migrationd on {node.name} to see that libvirtd is gone")


def libvirtd_again(node):
    mark = since(node)
    node.service("start", "libvirtd")
    wait_until(lambda: said_since(node, mark, "the hypervisor answers"), 60,
               f"migrationd on {node.name} to be connected to libvirtd again")


@contextlib.contextmanager
def slow(lab, source):
    """A migration from there takes most of a minute: the guest dirties memory faster than the wire takes it, until it is slowed."""
    guest = lab.guest("vm1")
    boot_id_of(lab)
    guest.dirty(20, 60)
    lab.limit(source.name, "40mbit")
    try:
        yield
    finally:
        lab.limit(source.name, "off")
        with contextlib.suppress(Exception):  # it may be dead: that is what some faults are for
            guest.dirty(0)


def busy(lab, source, mbit, of, writes):
    """The guest writes to `of` MiB of its memory, over and over, `writes` MiB/s, and its node has a slower network; its boot id."""
    guest = lab.guest("vm1")
    before = boot_id_of(lab)
    guest.dirty(of, writes)
    lab.limit(source.name, f"{mbit}mbit")
    return before


def emulators_as_root(lab):
    """QEMU must be allowed to use userfaultfd for post-copy; here it gets that as root, as the sysctl is the machine's."""
    for node in lab.nodes:
        libvirtd_killed(node)
        node.run(r"sed -i 's/^\(user\|group\) = .*/\1 = \"root\"/' /etc/libvirt/qemu.conf; "
                 "echo clear_emulator_capabilities = 0 >> /etc/libvirt/qemu.conf")
        libvirtd_again(node)


def reason(node, vm="vm1"):
    return node.virsh("domstate", "--reason", vm, check=False).stdout.strip()


def quiet(lab, source):
    """The end of busy()."""
    lab.limit(source.name, "off")
    lab.guest("vm1").wait_up(60)
    lab.guest("vm1").dirty(0)


def migrating(source, vm="vm1"):
    """Waits until the job is under way and memory has crossed the wire."""
    def going():
        info = source.virsh("domjobinfo", vm, check=False).stdout
        sent = [line.split()[2] for line in info.splitlines() if line.startswith("Memory processed")]
        return bool(sent) and float(sent[0]) > 0
    wait_until(going, 60, f"{vm} on its way from {source.name}")


def arrives(lab, node, vm="vm1", timeout=120):
    wait_until(lambda: where(lab, vm) == [node.name], timeout, f"{vm} on {node.name} (is on {where(lab, vm)})")


def settled(lab):
    """As an administrator leaves it: nothing to do, failures looked at and cleaned up, daemons linked."""
    wait_settled(lab)
    node = lab.nodes[0]
    if node.run("crm_mon -1 --exclude=all --include=failures").stdout.strip():
        node.run("crm_resource --cleanup")
        wait_settled(lab)
    for node in lab.nodes:
        wait_until(lambda: linked(node, [n for n in lab.nodes if n is not node]), 30, f"links of {node.name}")


def boot_id_of(lab, vm="vm1"):
    """Of the guest as soon as it answers."""
    return lab.guest(vm).wait_up(60)["boot_id"]


def unharmed(lab, boot_id, vm="vm1"):
    """One instance, one writer, the same guest as before with all its memory; the node where it runs."""
    settled(lab)
    node, _ = on(lab, vm)
    now = lab.guest(vm).wait_up(60)
    check(now["boot_id"] == boot_id, f"{vm} was restarted; it runs on {node.name} now")
    check(now["lost"] == "0", f"{vm} lost what it had written to {now['lost']} pages")
    one_writer(lab)
    return node


def restarted_once(lab, boot_id, vm="vm1"):
    """As unharmed(), for a guest that the fault itself killed."""
    settled(lab)
    node, _ = on(lab, vm)
    check(boot_id_of(lab, vm) != boot_id, f"{vm} should have been killed by the fault")
    one_writer(lab)
    return node


def back_to_normal(lab):
    """Nobody in standby; settles with what is asked next."""
    for node in lab.nodes:
        lab.nodes[0].run(f"crm_standby -N {node.name} -D", check=False)


def nodes_online(lab, timeout=90):
    """Until every node is on, and a member in the eyes of each: who was just killed is still one in the others'."""
    all_of_them = {n.name for n in lab.nodes}
    wait_until(lambda: all(n.on and (now := pacemaker.state(n)) and set(now["online"]) == all_of_them for n in lab.nodes),
               timeout, "all nodes online")


def meta(lab, name, value, vm="vm1"):
    lab.nodes[0].run(f"crm_resource -r {vm} --meta -p {name} -v {value}")
    wait_settled(lab)


def op_timeout(lab, op, seconds, vm="vm1"):
    node = lab.nodes[0]
    found = node.run(f"cibadmin -Q --xpath \"//primitive[@id='{vm}']//op[@name='{op}']\"").stdout
    identity = found.split('id="')[1].split('"')[0]
    node.run(["cibadmin", "-M", "--xpath", f"//op[@id='{identity}']", "--xml-text",
              f'<op id="{identity}" name="{op}" timeout="{seconds}s"/>'])
    wait_settled(lab)


def move_to(lab, node, vm="vm1"):
    """A wish, not a must: where it can't be had, it stays."""
    lab.nodes[0].run(f"crm configure location wish {vm} 1000: {node.name}")


def move_over(lab):
    lab.nodes[0].run("crm configure delete wish", check=False)
    wait_settled(lab)


def struck(lab, source, destination, leave, blow):
    """leave() makes the guest leave its node; when memory has crossed the wire, blow(source, destination) is struck.
    Returns the guest's boot id of before."""
    before = boot_id_of(lab)
    with slow(lab, source):
        leave()
        migrating(source)
        blow(source, destination)
    return before


def moves_in_spite_of(lab, blow):
    """The cluster empties the guest's node. It arrives in spite of blow(source, destination), unharmed."""
    source, destination = on(lab)
    before = struck(lab, source, destination, lambda: standby(lab, source), blow)
    arrives(lab, destination)
    back_to_normal(lab)
    unharmed(lab, before)


def stays_well_in_spite_of(lab, blow):
    """As moves_in_spite_of(), but moved by a wish: after blow() it may run on either node, unharmed."""
    source, destination = on(lab)
    before = struck(lab, source, destination, lambda: move_to(lab, destination), blow)
    unharmed(lab, before)
    move_over(lab)
