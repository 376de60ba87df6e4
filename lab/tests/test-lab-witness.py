#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The witness's verdict over written-down sequences, and the NBD server under qemu-io; no lab, no network needed: the
server listens in a network namespace of its own."""

import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from lab_test import LAB, check, run, wait_until
from migrationd_lab.witness import RECORD_OFFSET, judge, parse_record

A, B = "10.77.0.11", "10.77.0.12"


def verdict(*writes):
    """writes: (client, boot, counter[, connection])"""
    lines = []
    for i, (client, boot, counter, *conn) in enumerate(writes):
        lines.append(json.dumps({"t": i * 0.05, "disk": "vm1", "client": client, "conn": (conn or [client])[0],
                                 "boot": boot, "counter": counter}) + "\n")
    return judge(lines)


def case_lawful_sequences():
    for writes in (
            [],
            [(A, "x", 1), (A, "x", 2), (A, "x", 3)],
            [(A, "x", 1), (B, "x", 2), (A, "x", 3), (B, "x", 4)],  # migrated to and fro
            [(A, "x", 1), (A, "x", 5)],  # a failed write leaves a gap
            [(A, "x", 7), (B, "y", 1), (B, "y", 2), (A, "z", 1)],  # booted anew
            [(A, "x", 1, 1), (A, "x", 2, 1), (A, "x", 2, 2), (A, "x", 3, 2)]):  # resent after a reconnect
        check(verdict(*writes)["ok"], f"lawful, but: {verdict(*writes)}")


def case_two_writers():
    for writes in (
            [(A, "x", 1), (A, "x", 2), (B, "x", 2)],
            [(A, "x", 5), (B, "x", 6), (A, "x", 6)],
            [(A, "x", 5), (A, "x", 4)],
            [(A, "x", 1), (B, "y", 1), (A, "x", 2)],
            [(A, "x", 1), (A, "y", 1), (B, "z", 1), (A, "y", 2)],
            [(A, "x", 2, 1), (A, "x", 2, 2), (A, "x", 2, 1)]):  # one node, two emulators
        check(not verdict(*writes)["ok"], f"two writers not seen in {writes}")


def case_parse():
    record = struct.pack("<8s40sQQ", b"MIGRWIT1", b"boot-1", 42, 1) + bytes(448)
    check(parse_record(RECORD_OFFSET, record) == ("boot-1", 42), "a record is not read")
    check(parse_record(RECORD_OFFSET - 512, bytes(512) + record) == ("boot-1", 42), "one within a longer write is not")
    for offset, data in ((0, record), (RECORD_OFFSET + 512, record), (RECORD_OFFSET, bytes(512)),
                         (RECORD_OFFSET, record[:40]), (RECORD_OFFSET, b"")):
        check(parse_record(offset, data) is None, f"read a record from {data[:20]!r} at {offset}")


def case_nbd_server():
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vm1.raw").write_bytes(bytes(1 << 20))
        (Path(folder) / "vm2.raw").write_bytes(bytes(1 << 20))
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c",
             'ip link set lo up; exec "$0" -m migrationd_lab.storage "$1" 10809', sys.executable, folder],
            env={**os.environ, "PYTHONPATH": str(LAB)})
        try:
            def client(*argv, good=True):
                done = subprocess.run(["nsenter", "-t", str(server.pid), "-n", *argv], capture_output=True, text=True,
                                      timeout=30)
                check((done.returncode == 0) == good, f"{argv}: {done.stdout}{done.stderr}")
                return done.stdout
            disk = "nbd://127.0.0.1/vm1"
            wait_until(lambda: subprocess.run(["nsenter", "-t", str(server.pid), "-n", "qemu-img", "info", disk],
                                              capture_output=True).returncode == 0, 10, "the NBD server")
            io = ["qemu-io", "-f", "raw", "-t", "none", disk]
            client(*io, "-c", "write -P 7 0 64k", "-c", "flush", "-c", "discard 128k 64k")
            client(*io, "-c", "read -P 7 0 64k", "-c", "write -z 4k 4k", "-c", "read -P 0 4k 4k")
            client(*io, "-c", "read -P 7 0 4k", "-c", "read -P 0 4k 4k")
            client(*io, "-c", "read -P 8 0 4k", good=False)
            client(*io, "-c", "write -P 1 1M 4k", good=False)
            client("qemu-img", "info", "nbd://127.0.0.1/vm3", good=False)
            client("qemu-img", "compare", "-f", "raw", "-F", "raw", "nbd://127.0.0.1/vm2", f"{folder}/vm2.raw")
            exports = client("qemu-nbd", "--list", "-b", "127.0.0.1")
            check("vm1" in exports and "vm2" in exports and "multi" in exports, exports)
            # Garbage costs only its sender the connection.
            client("sh", "-c", "head -c 100000 /dev/urandom | socat -t1 - TCP:127.0.0.1:10809 >/dev/null; true")
            client(*io, "-c", "read -P 0 4k 4k")
            log = [json.loads(line) for line in (Path(folder) / "witness.jsonl").read_text().splitlines()]
            check([w["length"] for w in log if w["disk"] == "vm1"] == [65536, 4096], log)
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    sys.exit(run(globals()))
