# SPDX-License-Identifier: GPL-2.0-or-later
"""The witness: from the records a guest writes to its disk, whether two writers were ever at it.

A guest writes a record every 50 ms (guest/guestd.c): the boot id of its kernel and a counter that grows by one.
There is one lawful sequence: within a boot the counter grows, whoever sends it (a live migration carries it from one
node's address to another's), and once a newer boot has written, the older one is silent. Two emulators running the
same memory send a counter twice; two that booted the same disk take turns with two boot ids. Neither can hide.

Pure: writes in, verdict out.
"""

import json
import struct
from dataclasses import dataclass, field

RECORD_OFFSET = 1 << 20
_RECORD = struct.Struct("<8s40sQQ")
_MAGIC = b"MIGRWIT1"


def parse_record(offset, data):
    """(boot id, counter) when this write carries a guest's record, else None."""
    start = RECORD_OFFSET - offset
    if start < 0 or len(data) < start + _RECORD.size:
        return None
    magic, boot, counter, _ = _RECORD.unpack_from(data, start)
    if magic != _MAGIC:
        return None
    return boot.rstrip(b"\0").decode("ascii", "replace"), counter


@dataclass
class DiskWitness:
    """What was seen on one disk. see() takes the writes in the order the storage host carried them out."""

    disk: str
    writes: int = 0
    records: int = 0
    boots: list = field(default_factory=list)  # in order of appearance
    clients: list = field(default_factory=list)  # (client, first time) at each change of the writer
    violations: list = field(default_factory=list)
    longest_gap: float = 0.0  # seconds between two records of one boot
    _counters: dict = field(default_factory=dict)
    _last: tuple = None  # time, client, connection, boot, counter

    def see(self, write):
        """write: {"t": seconds, "client": address, "conn": number, growing, "boot": ..., "counter": ...}, the last two
        missing when it was no record."""
        self.writes += 1
        if write.get("boot") is None:
            return
        self.records += 1
        t, client, conn = write["t"], write["client"], write["conn"]
        boot, counter = write["boot"], write["counter"]
        last = self._last
        if boot not in self._counters:
            self.boots.append(boot)
        elif boot != self.boots[-1]:
            self._violation(write, f"boot {boot} writes again after the newer boot {self.boots[-1]} had written")
        elif counter <= self._counters[boot]:
            # QEMU sends its last request once more, on a new connection, when the old one broke before the answer.
            resent = last[1] == client and conn > last[2] and (boot, counter) == last[3:]
            if not resent:
                self._violation(write, f"counter {counter} after {self._counters[boot]} within boot {boot}")
        if last and last[3] == boot:
            self.longest_gap = max(self.longest_gap, t - last[0])
        self._counters[boot] = max(counter, self._counters.get(boot, 0))
        if not self.clients or self.clients[-1][0] != client:
            self.clients.append((client, t))
        self._last = (t, client, conn, boot, counter)

    def _violation(self, write, what):
        before = f", before it {self._last[1]}" if self._last else ""
        self.violations.append({"t": write["t"], "what": f"{what} (from {write['client']}{before})"})

    def summary(self):
        return {"disk": self.disk, "ok": not self.violations, "writes": self.writes, "records": self.records,
                "boots": self.boots, "moves": [{"client": c, "t": t} for c, t in self.clients],
                "longest_gap": round(self.longest_gap, 3), "violation_count": len(self.violations),
                "violations": self.violations[:20]}


def judge(lines):
    """The verdict over a witness log (JSON lines): {"ok": bool, "disks": [summary, ...]}."""
    disks = {}
    for line in lines:
        if not line.endswith("\n"):
            break  # being written at this moment
        write = json.loads(line)
        disks.setdefault(write["disk"], DiskWitness(write["disk"])).see(write)
    summaries = [disks[name].summary() for name in sorted(disks)]
    return {"ok": all(s["ok"] for s in summaries), "disks": summaries}
