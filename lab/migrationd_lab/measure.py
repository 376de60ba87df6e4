# SPDX-License-Identifier: GPL-2.0-or-later
"""How available a guest was, seen from a client on the switch: 10 ms pings, one TCP connection, HTTP.

    measuring = Measure(lab, "vm1"); measuring.start()
    ...                                            # the move
    result = measuring.stop()
    result["boot_id_kept"], result["tcp_kept"], result["pings_lost"], result["longest_gap_ms"]

The longest gap between two answers says more than the pings lost: a tap queues what comes while the guest pauses.
"""

import json
import subprocess
import sys
import time

from .errors import LabError
from .layout import LAB_ROOT

class Measure:
    def __init__(self, lab, guest="vm1"):
        self.lab, self.guest = lab, lab.guest(getattr(guest, "name", guest))
        self._probe = None

    def start(self):
        """Returns when everything is being measured; the guest must answer."""
        before = self.guest.ask()
        self._started = time.monotonic()
        self._boot_id = before["boot_id"]
        self._probe = self.lab.client.popen(
            ["PYTHONDONTWRITEBYTECODE=1", f"PYTHONPATH={LAB_ROOT}", sys.executable, "-m", "migrationd_lab.probe",
             self.guest.address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self._probe.stdout.readline() != "started\n":
            raise LabError(f"measuring {self.guest} did not start: {self._probe.stderr.read().strip()[-400:]}")
        return self

    def stop(self, wait_up=30):
        """Ends it and returns the figures. Waits up to wait_up seconds for the guest to answer before that, so that an
        outage is seen to its end; "up" says whether it did."""
        up = True
        try:
            self.guest.wait_up(wait_up)
            time.sleep(0.5)  # answers under way
        except LabError:
            up = False
        said, complaints = self._probe.communicate("", timeout=30)
        if not said:
            raise LabError(f"measuring {self.guest} failed: {complaints.strip()[-400:]}")
        result = {"guest": self.guest.name, "seconds": round(time.monotonic() - self._started, 2), "up": up,
                  "boot_id_before": self._boot_id, **json.loads(said)}
        seen = result.pop("boot_ids")
        result["boot_id_after"] = seen[-1] if seen and up else None
        result["boot_id_kept"] = result["boot_id_after"] == self._boot_id and seen == [self._boot_id]
        return result

    def abort(self):
        """Ends it without figures."""
        if self._probe:
            self._probe.communicate("")


def measured(lab, guest, action, settle=1.0, **stop):
    """The figures of one action (a function without arguments), with a second of quiet before and after it."""
    measuring = Measure(lab, guest)
    measuring.start()
    try:
        time.sleep(settle)
        action()
        time.sleep(settle)
    except BaseException:
        measuring.abort()
        raise
    return measuring.stop(**stop)
