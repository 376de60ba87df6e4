# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab/lab command: words on the command line to calls of lab.Lab, and errors to text for people.

Exit codes: 0 done; 1 it failed, the reason on stderr; 2 wrong usage; 3 `witness` saw two writers;
128+N ended by signal N; `enter` gives the code of its command.
"""

import argparse
import json
import os
import signal
import sys
import time

from .errors import LabError
from .lab import Lab, all_labs, end_on_signals, take_down
from .layout import STACKS, labs_folder


def parser():
    top = argparse.ArgumentParser(
        prog="lab", description="A cluster of real nodes on this machine: Pacemaker or Heartbeat, libvirt, QEMU, a "
        "storage host and small guests, in namespaces. Needs root; touches nothing outside of its own folder "
        f"({labs_folder()}; MIGRATIOND_LAB_DIR changes it).",
        epilog="Members: node1, node2, ...; storage; client. Guests: vm1, vm2, ... See lab/README.md.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, text, *arguments):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--name", default=os.environ.get("MIGRATIOND_LAB", "lab"),
                         help="which lab, as several can run (default: $MIGRATIOND_LAB or lab)")
        for flags, options in arguments:
            sub.add_argument(*flags, **options)
        return sub

    def arg(*flags, **options):
        return flags, options

    command("up", "bring a lab up and wait until its cluster is ready",
            arg("--stack", choices=STACKS, default="pacemaker", help="the cluster stack (default: pacemaker)"),
            arg("--nodes", type=int, default=2, help="how many nodes (default: 2)"),
            arg("--guests", type=int, default=1, help="how many guests (default: 1)"),
            arg("--guest-memory", type=int, default=96, metavar="MIB", help="memory of a guest (default: 96)"),
            arg("--install", action="append", default=[], metavar="[NODE=]DIR",
                help="a make install DESTDIR=DIR tree to lay over all nodes, or one"),
            arg("--no-fencing", action="store_true", help="a cluster without fencing"),
            arg("--haresources", action="append", default=[], metavar="LINE",
                help="with --stack heartbeat: a line of haresources, such as 'node1 migrationd::vm1'"),
            arg("--keep", action="store_true", help="if it fails, leave what there is for a look, until down"),
            arg("--no-start", action="store_true", help="with --stack none: do not start the guests"))
    command("down", "take a lab down, from any state, without a trace")
    commands.add_parser("list", help="the labs there are", description="The labs there are.")
    command("status", "nodes, links, cluster and guests of a lab", arg("--json", action="store_true"))
    command("enter", "run a command on a node (default: a shell)", arg("node"),
            arg("argv", nargs=argparse.REMAINDER, metavar="[--] CMD ..."))
    for name, text in (("cut", "drop all packets between two members"), ("heal", "let packets through again")):
        command(name, text, arg("a"), arg("b", help="a member, or 'power': the node's way to the power switch"),
                arg("--one-way", action="store_true", help="only those from A to B"))
    command("kill", "cut a node's power: all is gone at once but its disk", arg("node"))
    command("boot", "switch a node on and wait for its services", arg("node"))
    command("limit", "limit a member's bandwidth, both ways", arg("node"), arg("rate", help="such as 300mbit, or off"))
    command("start", "start a guest on a node, without the cluster", arg("guest"), arg("node"))
    command("guest-log", "the console of a guest, from every node where it ran", arg("--guest", default="vm1"))
    command("witness", "whether two writers were ever at a guest's disk (exit code 3)",
            arg("--json", action="store_true"))
    return top


def install_option(words):
    """--install DIR or NODE=DIR, several times, as {node or "*": folder}."""
    trees = {}
    for word in words:
        node, equals, folder = word.partition("=")
        node, folder = (node, folder) if equals and "/" not in node else ("*", word)
        trees[node] = os.path.abspath(folder)
    return trees


def up(args):
    start = time.monotonic()

    def progress(text):
        print(f"{time.monotonic() - start:5.1f} s  {text}", file=sys.stderr, flush=True)
    lab = Lab.up(progress=progress, start_guests=not args.no_start, keep=args.keep, name=args.name, stack=args.stack,
                 nodes=args.nodes, guests=args.guests, guest_memory=args.guest_memory, fencing=not args.no_fencing,
                 install=install_option(args.install), haresources=args.haresources)
    progress(f"lab {lab.name!r} is up")


def down(args):
    if not take_down(args.name):
        print(f"there is no lab {args.name!r}", file=sys.stderr)


def list_labs(_):
    for name in all_labs():
        try:
            lab = Lab.open(name)
            on = [node.name for node in lab.nodes if node.on]
            state = f"{lab.settings.stack}, on: {' '.join(on) or 'nothing'}" if lab.rack_process() else "not running"
        except LabError:
            state = "half-built"
        print(f"{name}: {state}")


def status(args):
    lab = Lab.open(args.name)
    now = lab.status()
    now["cluster"] = lab.cluster() if now["stack"] == "pacemaker" else None
    if args.json:
        print(json.dumps(now, indent=1))
        return
    print(f"lab {now['name']}: {now['stack']}, guests under {now['accel']}")
    for name, member in now["members"].items():
        cluster = now["cluster"] or {"online": [], "standby": [], "dc": None}
        notes = [word for word, true in (("online", name in cluster["online"]), ("standby", name in cluster["standby"]),
                                         ("DC", name == cluster["dc"])) if true]
        if member["limit"]:
            notes.append(f"limited to {member['limit']}")
        print(f"  {name:8} {'on' if member['on'] else 'off':4} {' '.join(notes)}")
    for a, b in now["cuts"]:
        print(f"  cut: {a} -> {b}")
    for guest, states in now["guests"].items():
        print(f"  {guest:8} {', '.join(f'{state} on {node}' for node, state in states.items()) or 'nowhere'}")
    for name, resource in ((now["cluster"] or {}).get("resources") or {}).items():
        print(f"  resource {name}: {resource['role']} {' '.join(resource['nodes'])}"
              f"{' FAILED' if resource['failed'] else ''}")


def enter(args):
    lab = Lab.open(args.name)
    host = {"storage": lab.storage, "client": lab.client}.get(args.node) or lab.node(args.node)
    command = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    argv = host.argv(command or ["bash"], os.environ.get("TERM", "dumb") if sys.stdout.isatty() else "dumb")
    os.execvp(argv[0], argv)


def guest_log(args):
    lab = Lab.open(args.name)
    for node, text in lab.guest(args.guest).log().items():
        print(f"--- {args.guest} on {node}\n{text.rstrip()}")


def witness(args):
    verdict = Lab.open(args.name).witness()
    if args.json:
        print(json.dumps(verdict, indent=1))
    else:
        for disk in verdict["disks"]:
            moves = " -> ".join(move["client"] for move in disk["moves"])
            found = "one writer at a time" if disk["ok"] else "TWO WRITERS"
            print(f"{disk['disk']}: {found}; {disk['records']} records, {len(disk['boots'])} boots, "
                  f"from {moves or 'nobody'}")
            for violation in disk["violations"]:
                print(f"  {violation['t']:.3f} {violation['what']}")
        if not verdict["disks"]:
            print("no guest has written yet")
    return 0 if verdict["ok"] else 3


def simple(call):
    return lambda args: call(Lab.open(args.name), args)


COMMANDS = {
    "up": up, "down": down, "list": list_labs, "status": status, "enter": enter, "guest-log": guest_log,
    "witness": witness,
    "cut": simple(lambda lab, args: lab.cut(args.a, args.b, args.one_way)),
    "heal": simple(lambda lab, args: lab.heal(args.a, args.b, args.one_way)),
    "kill": simple(lambda lab, args: lab.kill(args.node)),
    "boot": simple(lambda lab, args: lab.boot(args.node)),
    "limit": simple(lambda lab, args: lab.limit(args.node, args.rate)),
    "start": simple(lambda lab, args: lab.guest(args.guest).start(args.node)),
}


def main():
    args = parser().parse_args()
    end_on_signals()
    try:
        return COMMANDS[args.command](args) or 0
    except LabError as e:
        print(f"lab: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as e:
        number = signal.Signals[str(e)] if str(e) else signal.SIGINT
        print(f"lab: ended by {number.name}", file=sys.stderr)
        return 128 + number
    except BrokenPipeError:
        return 1
