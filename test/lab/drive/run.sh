#!/usr/bin/env bash
# Boots a scene of the drive lab, runs one command in it, prints the command's output and ends with its status; 125 if the
# lab cannot do it. A program of this machine (a path) is packed with its libraries; other words are programs of the guest.
#   test/lab/drive/run.sh two_sockets show-tree
#   test/lab/drive/run.sh used build/release/bin/ashlar-node-agent --print-inventory
#   test/lab/drive/run.sh two_sockets sh -c 'mkfs.xfs -q $(drive ASH0) && mount $(drive ASH0) /mnt && df /mnt'
# Options: --pack PROGRAM, --seconds N. Root is not needed.
exec python3 "$(dirname "$0")/run.py" "$@"
