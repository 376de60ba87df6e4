#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The faults of test-faults.py in a cluster without fencing (unfenced=refuse): daemons, libvirtd and agents killed."""

import importlib.util
import pathlib
import sys

from handoff_lab import run

found = importlib.util.spec_from_file_location("faults", pathlib.Path(__file__).with_name("test-faults.py"))
faults = importlib.util.module_from_spec(found)
found.loader.exec_module(faults)

if __name__ == "__main__":
    faults.FENCING = False
    sys.exit(run(vars(faults)))
