# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster of real nodes on one machine: see lab/README.md. Tests and the demo drive it through migrationd_lab.Lab."""

from .errors import LabError
from .lab import Lab

__all__ = ["Lab", "LabError"]
