# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's network: a bridge in the rack's own namespace, a port per member, and what can be done to a port.

A cut is a pair of ports in one nftables set, so it holds for whatever lives behind the ports (a node's guests too)
and outlasts the node's death. A limit is a token bucket at both ends of a member's cable.
"""

from pathlib import Path

from .errors import run
from .layout import address, mac

RULES = """
table bridge lab {
    set cut { type ifname . ifname; }
    chain forward {
        type filter hook forward priority 0
        iifname . oifname @cut drop
    }
}
"""


def ip(*words):
    return run(["ip", *" ".join(map(str, words)).split()])


def sysctl(name, value):
    path = Path("/proc/sys", name.replace(".", "/"))
    if path.exists():
        path.write_text(f"{value}\n")


def quiet_ipv6():
    sysctl("net.ipv6.conf.all.disable_ipv6", 1)
    sysctl("net.ipv6.conf.default.disable_ipv6", 1)


def make_switch():
    """In the rack's namespace."""
    quiet_ipv6()
    for table in ("iptables", "ip6tables", "arptables"):
        sysctl(f"net.bridge.bridge-nf-call-{table}", 0)
    ip("link set lo up")
    ip("link add switch type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
    ip("link set switch up")
    run(["nft", "-f", "-"], input=RULES)


def plug(member, pid):
    """A cable from the switch's port of that name to eth0 in pid's network namespace."""
    ip("link add", member, "type veth peer name eth0 address", mac(member), "netns", pid)
    ip("link set", member, "master switch up")


def address_of_host(member):
    """In a plain member's namespace: its address on eth0."""
    quiet_ipv6()
    ip("link set lo up")
    ip("link set eth0 up")
    ip("addr add", f"{address(member)}/24 dev eth0")


def address_of_node(member):
    """In a node's namespace: a bridge br0 for its guests, its own address on it."""
    quiet_ipv6()
    for table in ("iptables", "ip6tables", "arptables"):
        sysctl(f"net.bridge.bridge-nf-call-{table}", 0)
    sysctl("net.ipv4.ping_group_range", "0 2147483647")
    ip("link set lo up")
    ip("link add br0 address", mac(member), "type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
    ip("link set eth0 master br0 up")
    ip("link set br0 up")
    ip("addr add", f"{address(member)}/24 dev br0")


def set_cut(pairs, is_cut):
    """In the rack's namespace: drops what goes from the first to the second port of each pair, or no longer."""
    elements = ", ".join(f'"{a}" . "{b}"' for a, b in pairs)
    verb = "add" if is_cut else "delete"
    # Deleting what is not there fails; adding twice does not.
    run(["nft", "-f", "-"], input=f"add element bridge lab cut {{ {elements} }}\n"
                                  f"{verb} element bridge lab cut {{ {elements} }}\n")


def set_limit(device, rate):
    """In the namespace of one end: rate as tc writes it (such as 300mbit), None = unlimited."""
    run(["tc", "qdisc", "del", "dev", device, "root"], check=False)
    if rate:
        run(["tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", rate, "burst", "256kb", "latency", "50ms"],
            what=f"limiting {device} to {rate} (write it like 300mbit)")
