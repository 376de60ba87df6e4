# SPDX-License-Identifier: GPL-2.0-or-later
"""Classic Heartbeat (haresources) on a lab's two nodes: its files before the first boot, and how far it has come."""

import os

from .layout import address

# The order matters: the log and the port before the medium, STONITH before the nodes.
HA_CF = """logfile /var/log/ha-log
debugfile /var/log/ha-debug
logfacility none
keepalive 500ms
warntime 2
deadtime 6
initdead 10
udpport 694
ucast br0 {peer}
auto_failback on
{stonith}node {nodes}
"""


def ha_cf(settings, node):
    (peer,) = (n for n in settings.node_names if n != node)
    nodes = " ".join(settings.node_names)
    stonith = f"stonith_host * external/lab {','.join(settings.node_names)}\n" if settings.fencing else ""
    return HA_CF.format(peer=address(peer), stonith=stonith, nodes=nodes)


def configure(settings, node, disk):
    """Writes a node's files onto its disk. """
    folder = disk / "etc/ha.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ha.cf").write_text(ha_cf(settings, node))
    (folder / "authkeys").write_text("auth 1\n1 sha1 the-lab-has-no-secrets\n")
    os.chmod(folder / "authkeys", 0o600)
    (folder / "haresources").write_text("".join(f"{line}\n" for line in settings.haresources))


def ready(node, settings):
    """Both nodes active as this one sees them, and its resources settled."""
    for peer in settings.node_names:
        said = node.run(["cl_status", "nodestatus", peer], check=False, timeout=20).stdout.strip()
        if said != "active":
            return None
    return node.run(["cl_status", "rscstatus"], check=False, timeout=20).stdout.strip() in ("all", "local", "foreign",
                                                                                         "none")
