#!/usr/bin/env python3
"""Ashlar in a real Kubernetes of two nodes, installed by its chart. Classes run in the order in which they are imported here,
the tests of a class in the order in which they stand there; all share one cluster."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import summary  # noqa: E402
from case import lab  # noqa: E402
from installation import Installation  # noqa: E402, F401
from attributes import Attributes  # noqa: E402, F401
from capacity import Capacity  # noqa: E402, F401
from claims import Claims  # noqa: E402, F401
from compositions import Compositions  # noqa: E402, F401
from devices import Devices  # noqa: E402, F401
from gpus import Gpus  # noqa: E402, F401
from refusals import Refusals  # noqa: E402, F401
from snapshots import Snapshots  # noqa: E402, F401
from failures import Failures  # noqa: E402, F401
from releases import Releases  # noqa: E402, F401
from installation import End  # noqa: E402, F401

if __name__ == "__main__":
    with lab():
        summary.run()
