#!/usr/bin/env bash
# Runs csi-sanity (csi-test v5) against a whole Ashlar on this machine: volumes are really carved, mounted and removed.
# LVM has no machine of its own here: test/drive/lvm.py runs the same csi-sanity (sanity.sh) in a guest of the drive lab.
#   run.sh [standalone [BACKEND]]   against `ashlar standalone`, with a pool of this backend: File (default), Directory,
#                                   Partition, WholeDrive
#   run.sh kubernetes               against ashlar-controller, ashlar-node-agent and ashlar-csi on a real kube-apiserver
# ASHLAR_BIN: the folder of the programs (default build/release/bin, else build/dev/bin). Needs root: mounts and loop
# devices. Leaves nothing behind. The last line counts: suite csi-sanity: N passed, N failed, N skipped.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
side=${1:-standalone} backend=${2:-File}
case $side/$backend in
  standalone/File | standalone/Directory | standalone/Partition | standalone/WholeDrive | kubernetes/File) ;;
  *) echo "usage: run.sh [standalone [File|Directory|Partition|WholeDrive]|kubernetes]" >&2; exit 2 ;;
esac
export PATH=$PATH:/usr/sbin:/sbin
cache=${ASHLAR_CACHE:-$HOME/.cache/ashlar}/cluster/bin
bin=${ASHLAR_BIN:-$root/build/release/bin}
[ -d "$bin" ] || bin=$root/build/dev/bin
[ "$(id -u)" = 0 ] || { echo "csi-sanity needs root: it mounts volumes"; echo "suite csi-sanity: 0 passed, 0 failed, 1 skipped"; exit 0; }
work=$(mktemp -d /tmp/ashlar-sanity-XXXXXX)
pids=()

# background NAME COMMAND...: its output goes to $work/NAME.log.
background() {
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 </dev/null &
  pids+=($!)
}

# await SECONDS WHAT COMMAND...
await() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "waited in vain: $what"; tail -n 20 "$work"/*.log; return 1; }
    sleep 0.2
  done
}

cleanup() {
  set +e
  local i end=$((SECONDS + 20))
  # Those that were started last end first; the API server waits long for an etcd that has gone.
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill "${pids[i]}" 2>/dev/null
    while kill -0 "${pids[i]}" 2>/dev/null && [ $SECONDS -lt $end ]; do sleep 0.1; done
    kill -9 "${pids[i]}" 2>/dev/null
  done
  wait 2>/dev/null
  # Mounts below the work directory, the innermost first; then loop devices whose files lie in it.
  awk -v dir="$work/" 'index($5, dir) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r mount; do umount "$mount"; done
  losetup --noheadings --list --output NAME,BACK-FILE | awk -v dir="$work/" 'index($2, dir) == 1 {print $1}' |
    while read -r device; do partx --delete "$device" 2>/dev/null; losetup --detach "$device"; done # partitions would stay
  mkdir -p "$root/build/test-logs/csi-sanity-$side-$backend" && cp "$work"/*.log "$root/build/test-logs/csi-sanity-$side-$backend/"
  rm -rf "$work"
}
trap cleanup EXIT

# make_drives COUNT SIZE: loop devices over sparse files.
drives=()
make_drives() {
  local number
  for ((number = 0; number < $1; number++)); do
    truncate --size "$2" "$work/drive$number.img"
    drives+=("$(losetup --find --show --direct-io=on "$work/drive$number.img")")
  done
}

# A pool on a filesystem of its own (XFS, as Ashlar makes it on a drive, or btrfs), or on loop devices: one for each volume
# of a test where a volume is a drive.
make_pool() {
  local source
  mkdir "$work/pool"
  case $backend in
    File) truncate --size 40G "$work/pool.img" && mkfs.xfs -q -m reflink=1 "$work/pool.img" ;;
    Directory) truncate --size 40G "$work/pool.img" && mkfs.btrfs -q "$work/pool.img" >/dev/null 2>&1 ;;
    Partition) make_drives 1 40G ;;
    WholeDrive) make_drives 12 2G ;;
  esac
  if [ ${#drives[@]} != 0 ]; then
    source="\"devices\": {\"paths\": [$(printf ', "%s"' "${drives[@]}" | cut -c3-)]}"
  else
    mount -o loop "$work/pool.img" "$work/pool"
    source="\"directory\": {\"path\": \"$work/pool/volumes\"}"
  fi
  kubectl apply -f - >/dev/null <<Y
{"apiVersion": "ashlar.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "sanity"},
 "spec": {"backend": "$backend", $source}}
Y
  await 60 "the pool is ready" kubectl wait --for condition=Ready --timeout 1s pool/sanity
}

# The kernel grows a mounted ext4 only for CAP_SYS_RESOURCE (bit 24), which some containers lack; XFS needs it not.
filesystem() {
  local capabilities
  [ "$backend" != Directory ] || { echo btrfs; return; }
  capabilities=$(awk '/^CapEff/ {print $2}' /proc/self/status)
  if ((16#$capabilities >> 24 & 1)); then echo ext4; else echo xfs; fi
}

# After the tests everything that they made must be gone.
check_left() {
  local left
  for kind in volumes snapshots snapshotgroups; do
    left=$(kubectl get "$kind.ashlar.dev" --no-headers 2>/dev/null)
    [ -z "$left" ] || { echo "$kind left behind:"; echo "$left"; return 1; }
  done
  left=$(find "$work/pool/" -name '*.img*' -o -name '*.vol*')
  [ -z "$left" ] || { echo "volumes left behind: $left"; return 1; }
  for drive in "${drives[@]}"; do
    left=$(find "/sys/block/${drive##*/}" -name "${drive##*/}p*" ! -name '*p1') # the first has the facts
    [ -z "$left" ] || { echo "partitions left behind: $left"; return 1; }
    [ "$backend" = Partition ] || left=$(blkid --probe "$drive" || true)
    [ -z "$left" ] || { echo "a volume left behind: $left"; return 1; }
  done
  left=$(losetup --noheadings --list --output NAME,BACK-FILE | awk -v dir="$work/pool/" 'index($2, dir) == 1')
  [ -z "$left" ] || { echo "loop devices left behind: $left"; return 1; }
}

. "$here/$side.sh"
. "$here/sanity.sh"
start_ashlar
await 60 "the CSI socket is there" test -S "${endpoint#unix://}"
make_pool
csi_sanity=$cache/csi-sanity filesystem=$(filesystem) volume_mib=512 grown_mib=1024
# Asked for exactly, so that what is given can be compared; it is as large as it will ever be.
[ "$backend" != WholeDrive ] || { volume_mib=2048 grown_mib=2048; }
kinds=(mount block)
[ "$backend" != Directory ] || kinds=(mount)
for kind in "${kinds[@]}"; do sanity "$kind"; done
leak=0
check_left || leak=1
reports=()
for kind in "${kinds[@]}"; do reports+=("$work/junit-$kind.xml"); done
"$here/count.py" "$backend" "${reports[@]}" && [ "$leak" = 0 ]
