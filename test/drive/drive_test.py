#!/usr/bin/env python3
"""Ashlar's node agent among the drives of the drive lab's scenes. Every class is one scene and one guest; its tests run in the
order in which they stand there. Those that take longest begin first."""
import os

from lvm import LvmSanity, LvmContract, LvmPool  # noqa: F401
from drives import BehindAnIommu, FreeDrives, UsedDrives  # noqa: F401
from bare_drives import BareDrives, SharedNamespaces  # noqa: F401
import summary  # found by what the above put into sys.path

if __name__ == "__main__":
    # A guest keeps one core busy.
    summary.run_side_by_side(min(2, os.cpu_count()))
