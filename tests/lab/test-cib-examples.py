#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples of cib-examples/: their three forms make the same cluster, and each is loaded into a real one, where its
domains start, move live as the example promises, and go again.

Of an example's text only the names change: alpha and beta are the lab's nodes, the domains its guests, the power
switches and the file system those that a lab has. The domains are defined in libvirt on both nodes, and config= is
libvirt's own file of the definition, as the examples have it."""

import re
import sys
import xml.etree.ElementTree as xml

from handoff_lab import (TOP, check, kept_live, measured, on, one_writer, run, standby, unstandby, up, wait_on,
                         wait_settled, wait_until, where)

lab = None
clean = {}  # section of the CIB: how it was before the examples
EXAMPLES = TOP / "cib-examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.xml"))
DEFINITIONS = "/etc/libvirt/qemu"
GUESTS = ("vm1", "vm2")
PLACES = [("alpha", "node1"), ("beta", "node2"),
          (f"{DEFINITIONS}/db.xml", f"{DEFINITIONS}/vm1.xml"), (f"{DEFINITIONS}/web.xml", f"{DEFINITIONS}/vm2.xml"),
          # A directory that is mounted on another stands for the cluster file system.
          ("/dev/vg-shared/images", "/var/lib/images"), ("/srv/images", "/var/lib/mounted"), ("fstype=gfs2", "fstype=none options=bind")]
XML_PLACES = [('name="fstype" value="gfs2" id="fs-instance_attributes-fstype" />',
               'name="fstype" value="none" id="fs-instance_attributes-fstype" />'
               '<nvpair name="options" value="bind" id="fs-instance_attributes-options" />')]
# The lab's power switch needs neither address nor password.
SWITCH = [("fence_ipmilan", "fence_lab"), (" username=fence", ""), (" lanplus=1", ""),
          *[(f" ip=192.0.2.10{i}", "") for i in (1, 2)],
          *[(f" password_script={q}/etc/pacemaker/fence-node{i}{q}", "") for i in (1, 2) for q in ('"', "")]]


def example(file, places=()):
    text = (EXAMPLES / file).read_text()
    for theirs, ours in [*PLACES, *places]:
        text = text.replace(theirs, ours)
    return text


def nvpairs(element, block):
    return sorted((nv.get("name"), nv.get("value")) for nv in element.findall(f"{block}/nvpair"))


def meaning(cib):
    """What a configuration says, without what the tools name and order as they like: a set of facts."""
    facts = set()
    configuration = xml.fromstring(cib).find("configuration")
    for nv in configuration.findall("crm_config/cluster_property_set/nvpair"):
        facts.add(("property", nv.get("name"), nv.get("value")))
    for holder in configuration.find("resources").iter():
        if holder.tag == "primitive":
            facts.add(("primitive", holder.get("id"), holder.get("class"), holder.get("provider"), holder.get("type")))
            for op in holder.findall("operations/op"):
                facts.add(("op", holder.get("id"), op.get("name"), op.get("interval").rstrip("s"), op.get("timeout")))
        if holder.tag in ("group", "clone"):
            facts.add((holder.tag, holder.get("id"), *[p.get("id") for p in holder.findall("primitive")]))
        if holder.tag in ("primitive", "group", "clone"):
            for block in ("instance_attributes", "meta_attributes"):
                for name, value in nvpairs(holder, block):
                    facts.add((block, holder.get("id"), name, value))
    for one in configuration.find("constraints"):
        rest = {**one.attrib, "score": one.get("score", "").replace("inf", "INFINITY")}
        for unsaid in ("id", *[k for k in ("kind", "first-action", "then-action", "rsc-role", "with-rsc-role") if k in rest
                               and rest[k] in ("Mandatory", "start", "Started")]):
            rest.pop(unsaid)
        facts.add((one.tag, *sorted((k, v) for k, v in rest.items() if v)))
    return facts


EMPTY = ("<cib crm_feature_set='3.16.1' validate-with='pacemaker-3.9' epoch='1' num_updates='0' admin_epoch='0'>"
         "<configuration><crm_config/><nodes><node id='1' uname='alpha'/><node id='2' uname='beta'/></nodes><resources/>"
         "<constraints/></configuration><status/></cib>\n")


def made_by(tool, name):
    """The configuration that the commands make of an empty one, which lies in a file."""
    node, file = lab.nodes[0], f"/root/{name}-{tool}.xml"
    node.write(file, EMPTY)
    node.write("/root/example", (EXAMPLES / f"{name}.{tool}").read_text())
    node.run(f"CIB_file={file} crm -F configure load update /root/example" if tool == "crm" else
             f"sh -ec 'pcs() {{ command pcs -f {file} \"$@\"; }}; . /root/example'", timeout=120)
    return node.read(file)


def load(name, form, places=()):
    """An example into the running cluster, in one of its forms."""
    node = lab.nodes[0]
    text = example(f"{name}.{form}", places)
    node.write("/root/example", text)
    if form == "crm":
        node.run("crm -F configure load update /root/example", timeout=120)
    elif form == "pcs":
        node.run("sh -e /root/example", timeout=120)
    else:
        configuration = xml.fromstring(text).find("configuration")
        for nv in configuration.findall("crm_config/cluster_property_set/nvpair"):
            node.run(["crm_attribute", "--type=crm_config", f"--name={nv.get('name')}", f"--update={nv.get('value')}"])
        for section in ("resources", "constraints"):
            node.write("/root/section.xml", xml.tostring(configuration.find(section), encoding="unicode"))
            node.run(f"cibadmin --replace --scope={section} --xml-file=/root/section.xml")


def started(*guests):
    for guest in guests:
        wait_until(lambda: len(where(lab, guest)) == 1, 90, f"start of {guest}")
        lab.guest(guest).wait_up(60)
    wait_settled(lab)
    said = lab.nodes[0].run("crm_mon -1 --exclude=all --include=failures").stdout
    check("Failed" not in said, f"Pacemaker saw failures: {said}")


def gone():
    """The example out of the cluster again; what ran of it is really stopped."""
    node = next(n for n in lab.nodes if n.on)
    for section in ("constraints", "resources", "crm_config"):
        node.write("/root/section.xml", clean[section])
        node.run(f"cibadmin --replace --scope={section} --xml-file=/root/section.xml")
    for guest in GUESTS:
        wait_until(lambda: not where(lab, guest), 60, f"the end of {guest}")
    wait_settled(lab)
    node.run("crm_resource --cleanup", check=False)
    one_writer(lab)
    defined()


def defined():
    """libvirt has each domain's definition still, on each node that is on: its file, and the domain as persistent."""
    for node in lab.nodes:
        for guest in GUESTS if node.on else ():
            check(guest in node.read(f"{DEFINITIONS}/{guest}.xml"), f"{guest}'s file on {node.name} is another's")
            check(guest in node.virsh("list", "--all", "--persistent", "--name").stdout.split(),
                  f"{guest} is not defined on {node.name} any more")


def case_the_lab_comes_up():
    global lab
    lab = up(stack="pacemaker", guests=2)
    for node in lab.nodes:
        node.run("mkdir -p /var/lib/images /var/lib/mounted")
        for guest in GUESTS:
            node.virsh("define", lab.guest(guest).xml)
    for section in ("crm_config", "resources", "constraints"):
        clean[section] = lab.nodes[0].run(f"cibadmin --query --scope={section}").stdout


def case_crm_and_pcs_show_the_agent_with_each_parameter():
    node = lab.nodes[0]
    described = xml.fromstring(node.run("OCF_ROOT=/usr/lib/ocf /usr/lib/ocf/resource.d/migrationd/VirtualDomain meta-data").stdout)
    names = [parameter.get("name") for parameter in described.iter("parameter")]
    check("config" in names and "handoff_timeout" in names, f"the agent's parameters are {names}")
    for command in ("crm ra info ocf:migrationd:VirtualDomain", "pcs resource describe ocf:migrationd:VirtualDomain"):
        shown = node.run(command)
        missing = [name for name in names if not re.search(rf"^\s*{name}\b", shown.stdout, re.M)]
        check(not missing, f"{command} does not show {missing}:\n{shown.stdout}")
        check("migrate_to" in shown.stdout, f"{command} shows no migrate_to")
        complaints = [line for line in (shown.stdout + shown.stderr).splitlines() if re.match(r"(?i)(warning|error)", line)]
        check(not complaints, f"{command}: {complaints}")
    check("VirtualDomain" in node.run("crm ra list ocf migrationd").stdout, "crm does not list the agent")
    check("ocf:migrationd:VirtualDomain" in node.run("pcs resource list ocf:migrationd").stdout, "pcs does not list the agent")


def case_the_three_forms_of_each_example_mean_the_same():
    check(len(NAMES) >= 4, f"only {NAMES} were found")
    for name in NAMES:
        wanted = meaning((EXAMPLES / f"{name}.xml").read_text())
        for tool in ("crm", "pcs"):
            made = meaning(made_by(tool, name))
            missing = wanted - made
            check(not missing, f"{name}.{tool} does not make {sorted(missing)} of {name}.xml")
            # pcs adds the operations that the agents advertise, and both may add defaults of their own.
            more = {fact for fact in made - wanted if fact[0] not in ("op", "property")}
            check(not more, f"{name}.{tool} makes {sorted(more)}, which {name}.xml does not have")


def case_simple_moves_live():
    load("simple", "pcs")
    started("vm1")
    source, destination = on(lab)
    kept_live(measured(lab, "vm1", lambda: (standby(lab, source), wait_on(lab, destination))))
    defined()
    unstandby(lab, source)
    # A copy came to a node that has the definition of before; back again, to where it was moved away from.
    kept_live(measured(lab, "vm1", lambda: (standby(lab, destination), wait_on(lab, source))))
    unstandby(lab, destination)
    defined()
    gone()


def case_group_stays_together_and_moves_live():
    load("group", "crm")
    started("vm1", "vm2")
    source, destination = on(lab)
    check(where(lab, "vm2") == [source.name], f"vm1 is on {source.name}, vm2 on {where(lab, 'vm2')}")
    before = lab.guest("vm2").boot_id

    def move():
        lab.nodes[0].run(f"crm_resource --move -r service -N {destination.name}")
        wait_on(lab, destination, "vm1")
        wait_on(lab, destination, "vm2")

    kept_live(measured(lab, "vm1", move))
    check(lab.guest("vm2").boot_id == before, "vm2 was restarted")
    gone()


def case_clone_storage_goes_beneath_a_domain_that_moves_live():
    load("clone-storage", "xml", XML_PLACES)
    started("vm1")
    source, destination = on(lab)

    def mounted(node):
        return node.run("findmnt /var/lib/mounted", check=False).returncode == 0

    check(mounted(source) and mounted(destination), "the file system is not mounted on both nodes")
    kept_live(measured(lab, "vm1", lambda: (standby(lab, source), wait_on(lab, destination))))
    check(not mounted(source), f"{source.name} is on standby, but the file system is still mounted")
    unstandby(lab, source)
    gone()


def case_fencing_shoots_a_dead_node_and_the_domain_boots_elsewhere():
    lab.nodes[0].run("cibadmin --delete --xpath \"//primitive[@id='fencing']\"")  # the lab's own
    load("fencing", "crm", SWITCH)
    started("vm1")
    devices = lab.cluster()["resources"]
    for number, node in enumerate(("node1", "node2"), 1):
        there = devices[f"fence-{node}"]["nodes"]
        check(there == [f"node{3 - number}"], f"fence-{node} runs on {there}")
    source, destination = on(lab)
    lab.kill(source.name)
    wait_until(lambda: where(lab) == [destination.name], 120, f"vm1 on {destination.name}")
    lab.guest("vm1").wait_up(60)
    shots = [e for e in lab.power_events() if e["node"] == source.name and e["by"] == destination.name]
    check(shots, f"{destination.name} did not fence {source.name}")
    gone()


if __name__ == "__main__":
    sys.exit(run(globals()))
