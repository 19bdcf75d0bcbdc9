#!/usr/bin/env python3
"""Runs one command in a scene of the drive lab; see run.sh."""
import argparse
import os
import shlex
import shutil
import signal
import sys

import scene
from archive import Missing
from guest import Guest, GuestFailed


def main():
    options = argparse.ArgumentParser(prog="run.sh", usage="run.sh [options] SCENE COMMAND...",
                                      description=f"Scenes: {', '.join(scene.names())}.")
    options.add_argument("--pack", action="append", default=[], metavar="PROGRAM", help="another program for the guest's /bin")
    options.add_argument("--seconds", type=float, default=300, help="how long the command may take (300)")
    options.add_argument("scene")
    options.add_argument("command", nargs=argparse.REMAINDER)
    given = options.parse_args()
    if not given.command:
        options.error("a command is missing")
    packed = list(given.pack)
    if "/" in given.command[0] and shutil.which(given.command[0]):  # a program of this machine; other words are the guest's
        packed.append(given.command[0])
        given.command[0] = "/bin/" + os.path.basename(given.command[0])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with Guest(given.scene, packed) as guest:
            guest.boot()
            print(f"drive lab: scene {given.scene} is up after {guest.boot_seconds:.1f} s", file=sys.stderr, flush=True)
            show = lambda data: (sys.stdout.buffer.write(data), sys.stdout.buffer.flush())
            status, _ = guest.status(shlex.join(given.command), given.seconds, show)
    except (Missing, GuestFailed, AssertionError, FileNotFoundError) as failure:
        print(failure, file=sys.stderr)
        return 125
    return status


sys.exit(main())
