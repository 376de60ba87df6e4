# SPDX-License-Identifier: GPL-2.0-or-later
"""Corosync and Pacemaker on a lab's nodes: their files before the first boot, and how far the cluster has come.

The first CIB lies on every node's disk before Pacemaker starts, so there is no time in which the cluster runs
without fencing or with the long default of dc-deadtime.
"""

import os
import shutil
import xml.etree.ElementTree as xml
from xml.sax.saxutils import quoteattr

from .layout import address

COROSYNC_CONF = """totem {{
    version: 2
    cluster_name: {name}
    transport: knet
    crypto_cipher: none
    crypto_hash: none
}}
nodelist {{
{nodes}}}
quorum {{
    provider: corosync_votequorum
{two_node}}}
system {{
    move_to_root_cgroup: no
}}
logging {{
    to_syslog: no
    to_stderr: no
    to_logfile: yes
    logfile: /var/log/corosync/corosync.log
    timestamp: hires
}}
"""


def corosync_conf(settings):
    nodes = "".join(
        f"    node {{\n        name: {node}\n        nodeid: {i}\n        ring0_addr: {address(node)}\n    }}\n"
        for i, node in enumerate(settings.node_names, 1))
    return COROSYNC_CONF.format(name=settings.name, nodes=nodes,
                                two_node="    two_node: 1\n" if settings.nodes == 2 else "")


def _pairs(prefix, values):
    return "".join(f"<nvpair id={quoteattr(f'{prefix}-{k}')} name={quoteattr(k)} value={quoteattr(str(v))}/>"
                   for k, v in values.items())


def first_cib(settings):
    properties = {
        "dc-deadtime": "2s",
        "cluster-infrastructure": "corosync",
        "stonith-enabled": str(settings.fencing).lower(),
        # Two nodes that lost each other both have quorum (two_node), and fencing decides. More: the minority stops.
        "no-quorum-policy": "stop",
        "stonith-timeout": "30s",
        "transition-delay": "0s",
    }
    fencing = ""
    if settings.fencing:
        attributes = {"pcmk_host_list": " ".join(settings.node_names), "pcmk_reboot_action": "reboot"}
        if settings.nodes == 2:
            # Cut apart, both shoot; the first node is to win. The halves find each other gone up to some seconds apart.
            attributes["pcmk_delay_base"] = "node1:5s;node2:0s"
        fencing = (f"<primitive id='fencing' class='stonith' type='fence_lab'>"
                   f"<instance_attributes id='fencing-attributes'>{_pairs('fencing', attributes)}</instance_attributes>"
                   f"<operations><op id='fencing-monitor' name='monitor' interval='60s' timeout='20s'/></operations>"
                   f"</primitive>")
    return (f"<cib crm_feature_set='3.16.1' validate-with='pacemaker-3.9' epoch='1' num_updates='0' admin_epoch='0'>"
            f"<configuration><crm_config><cluster_property_set id='cib-bootstrap-options'>"
            f"{_pairs('property', properties)}</cluster_property_set></crm_config><nodes/>"
            f"<resources>{fencing}</resources><constraints/>"
            f"<rsc_defaults><meta_attributes id='rsc-options'>"
            f"{_pairs('rsc', {'resource-stickiness': 1})}</meta_attributes></rsc_defaults>"
            f"</configuration><status/></cib>\n")


def configure(settings, disk):
    """Writes a node's files onto its disk."""
    corosync = disk / "etc/corosync"
    corosync.mkdir(parents=True, exist_ok=True)
    (corosync / "corosync.conf").write_text(corosync_conf(settings))
    default = disk / "etc/default"
    default.mkdir(parents=True, exist_ok=True)
    (default / "pacemaker").write_text("PCMK_logfile=/var/log/pacemaker/pacemaker.log\nPCMK_logfacility=none\n")
    cib = disk / "var/lib/pacemaker/cib/cib.xml"
    cib.write_text(first_cib(settings))
    os.chmod(cib, 0o600)
    shutil.chown(cib, "hacluster", "haclient")


def state(node):
    """What a node's crm_mon says, or None while it says nothing: {"dc": name, "quorum": bool, "online": [...],
    "unclean": [...], "standby": [...], "resources": {id: {"role", "nodes", "failed", "managed"}}}."""
    done = node.run(["crm_mon", "-1", "--output-as=xml", "--inactive"], check=False, timeout=20)
    if done.returncode != 0:
        return None
    try:
        root = xml.fromstring(done.stdout)
    except xml.ParseError:
        return None
    dc = root.find("summary/current_dc")
    nodes = root.findall("nodes/node")
    resources = {}
    for r in root.iter("resource"):
        resources[r.get("id")] = {
            "role": r.get("role"), "nodes": [n.get("name") for n in r.findall("node")],
            "failed": r.get("failed") == "true", "managed": r.get("managed") == "true",
            "active": r.get("active") == "true", "pending": r.get("pending")}
    return {
        "dc": dc.get("name") if dc is not None and dc.get("present") == "true" else None,
        "quorum": dc is not None and dc.get("with_quorum") == "true",
        "online": [n.get("name") for n in nodes if n.get("online") == "true" and n.get("pending") == "false"],
        "unclean": [n.get("name") for n in nodes if n.get("unclean") == "true"],
        "standby": [n.get("name") for n in nodes if n.get("standby") == "true"],
        "resources": resources,
    }


def ready(node, settings):
    """All nodes online under one DC, and the fence device running."""
    now = state(node)
    if not now or not now["dc"] or not now["quorum"] or set(now["online"]) != set(settings.node_names):
        return None
    if settings.fencing and now["resources"].get("fencing", {}).get("role") != "Started":
        return None
    return now
