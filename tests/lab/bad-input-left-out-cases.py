def put_on_small_disk(node):
    """The state directory on a file system of its own; the daemon has nothing left to write when this returns."""
    lives, mark = ready_count(node), since(node)
    node.service("stop", "migrationd")
    node.run(f"cp -a {STATE} /root/state && mount -t tmpfs -o size=256k,mode=0700 tmpfs {STATE} && "
             f"cp -a /root/state/. {STATE}/ && rm -r /root/state")
    node.service("start", "migrationd")
    daemon_again(node, lives)
    wait_until(lambda: said_since(node, mark, "vm1: the hypervisor's view changed [running]: held -> held"), 30,
               f"migrationd on {node.name} to see vm1")
    wait_until(lambda: linked(node, [n for n in lab.nodes if n is not node]), 30, f"links of {node.name}")


def take_from_small_disk(node):
    lives = ready_count(node)
    node.service("stop", "migrationd")
    node.run(f"cp -a {STATE} /root/state && umount {STATE} && cp -a /root/state/. {STATE}/ && rm -r /root/state")
    node.service("start", "migrationd")
    daemon_again(node, lives)


def case_a_state_directory_that_takes_nothing():
    """Full, then read-only: an offer would be forgotten, so the stop is a real one, and works. Its start elsewhere
    waits until the disk takes the record of who asked, which an administrator sees to here."""
    meta(lab, "allow-migrate", "false")
    for harm, heal in ((f"for again in 1 2 3; do cat /dev/zero >>{STATE}/filler; done; true", f"rm {STATE}/filler"),
                       (f"mount --bind {STATE} {STATE} && mount -o remount,bind,ro {STATE}", f"umount {STATE}")):
        node, other = on(lab)
        before = boot_id_of(lab)
        put_on_small_disk(node)
        wait_settled(lab)
        node.run(harm)
        mark = since(node)
        standby(lab, node)
        wait_until(lambda: said_since(node, mark, "stop succeeded"), 90, "the stop")
        check(said_since(node, mark, "the journal could not be written", "this stop is a real one"), "no reason given")
        check(not said_since(node, mark, "-> offered"), "it was offered all the same")
        check(node.name not in where(lab), "it still runs")
        node.run(heal)
        arrives(lab, other)
        take_from_small_disk(node)
        back_to_normal(lab)
        restarted_once(lab, before)
    meta(lab, "allow-migrate", "true")


def case_a_name_with_everything_in_it():
    """Started, found by monitor, moved live and stopped as any other."""
    guest = lab.guest("vm2")
    escaped = ODD_NAME.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    config = "/etc/libvirt/lab/odd näme.xml"
    for node in lab.nodes:
        node.write(config, node.read("/etc/libvirt/lab/vm2.xml").replace("<name>vm2</name>", f"<name>{escaped}</name>"))
    lab.nodes[0].run(["crm", "configure", "primitive", "odd", "ocf:migrationd:VirtualDomain", "params",
                      f"config={config}", "migration_transport=tcp", "meta", "allow-migrate=true", "op", "start",
                      "timeout=60", "op", "stop", "timeout=60", "op", "monitor", "interval=10", "timeout=30"])
    wait_until(lambda: where(lab, guest.uuid), 60, "the start")
    before = guest.wait_up(120)["boot_id"]
    source, destination = on(lab, guest.uuid)
    check(source.virsh("domname", guest.uuid).stdout.strip() == ODD_NAME, "it has another name")
    standby(lab, source)
    arrives(lab, destination, guest.uuid)
    back_to_normal(lab)
    wait_settled(lab)
    check(guest.wait_up(60)["boot_id"] == before, "it was restarted")
    failed = lab.nodes[0].run("crm_mon -1 --exclude=all --include=failures").stdout
    check("odd" not in failed, f"Pacemaker saw a failure: {failed}")
    lab.nodes[0].run("crm_resource -r odd --meta -p target-role -v Stopped")
    wait_until(lambda: not where(lab, guest.uuid), 60, "the stop")
    wait_settled(lab)
    one_writer(lab)


def case_names_that_libvirt_refuses():
    node = lab.nodes[0]
    good = node.read("/etc/libvirt/lab/vm2.xml")
    for kind, bad in (("slash", "a/b"), ("newline", "a&#10;b"), ("long", "n" * 300)):
        node.write(f"/root/{kind}.xml", good.replace("<name>vm2</name>", f"<name>{bad}</name>"))
        code, reason = agent(node, "start", config=f"/root/{kind}.xml")
        check(code in (ERROR, NOT_INSTALLED, NOT_CONFIGURED) and "ocf-exit-reason:" in reason,
              f"{kind}: {code}, {reason}")
    check(where(lab, "vm2") == [], "something was started")


