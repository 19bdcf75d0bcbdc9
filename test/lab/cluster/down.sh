#!/bin/bash
# Removes a lab: its processes, namespaces, cgroups, loop devices and its folder.
#
#   down.sh DIR...    whatever state a lab is in, also after it or its owner was killed; a folder without one is fine
#
# Ends with status 1 and says what is left if something could not be removed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/names.sh"
PATH=$PATH:/usr/sbin:/sbin
[ $# -ge 1 ] || { echo "usage: down.sh DIR..." >&2; exit 2; }

spaces() { ip netns list | awk -v id="$1" '$1 == id || index($1, id "-") == 1 {print $1}'; }
groups() { local c; for c in $(awk '$3 ~ /^cgroup2?$/ {print $2}' /proc/mounts); do ls -d "$c/$1"-* 2>/dev/null; done; }

processes() { # what runs in the lab's namespaces and cgroups
  local n g
  for n in $(spaces "$1"); do ip netns pids "$n"; done
  for g in $(groups "$1"); do find "$g" -name cgroup.procs -exec cat {} + 2>/dev/null; done
}

# Loop devices whose backing file tests have put into the lab's folder; those whose backing file lies on the filesystem of
# one of the lab's nodes, then the device that carries that filesystem. The latter are told by their backing file's device
# number: numbers of loop devices are reused, and paths of another mount namespace lie.
loops() {
  local disk carrier
  losetup -n -l -O NAME,BACK-FILE | awk -v d="$1/" 'index($2, d) == 1 && $2 !~ /\/disk\.img$/ {print $1}'
  for disk in "$1"/node-*/disk.img; do
    [ -e "$disk" ] || continue
    for carrier in $(losetup -n -O NAME -j "$disk"); do
      losetup -n -l -O NAME,BACK-MAJ:MIN | awk -v d="$(cat "/sys/block/${carrier#/dev/}/dev")" '$2 == d {print $1}'
      echo "$carrier"
    done
  done
}

remove() {
  local D=$1 ID pid n left=0 try g
  ID=$(lab_id "$D")
  # The control plane goes last: killed first, etcd would leave the API server waiting; all are killed at once.
  for try in 1 2 3 4 5 6 7 8 9 10; do
    pid=$(processes "$ID" | sort -u)
    [ -n "$pid" ] || break
    kill -9 $pid 2>/dev/null
    sleep 0.2
  done
  for n in $(spaces "$ID"); do ip netns del "$n"; done
  for try in $(seq 500); do # asked again each time: what is gone must not be detached by its number
    n=$(loops "$D" | head -1)
    [ -n "$n" ] || break
    losetup -d "$n" 2>/dev/null
    sleep 0.1
  done
  for try in 1 2 3 4 5; do
    for g in $(groups "$ID"); do find "$g" -depth -type d -exec rmdir {} + 2>/dev/null; done
    [ -n "$(groups "$ID")" ] || break
    sleep 0.2
  done
  for n in $(loops "$D"); do echo "cluster lab: left: loop device $n" >&2; left=1; done
  [ $left = 1 ] || rm -rf --one-file-system "$D"
  [ ! -e "$D" ] || { echo "cluster lab: left: folder $D" >&2; left=1; }
  [ -z "$(processes "$ID")" ] || { echo "cluster lab: left: processes $(processes "$ID" | tr '\n' ' ')" >&2; left=1; }
  [ -z "$(groups "$ID")" ] || { echo "cluster lab: left: cgroups $(groups "$ID" | tr '\n' ' ')" >&2; left=1; }
  return $left
}

status=0
for dir; do remove "$(lab_dir "$dir")" || status=1; done
exit $status
