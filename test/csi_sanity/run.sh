#!/usr/bin/env bash
# Runs csi-sanity (csi-test v5) against a whole Ashlar on this machine: volumes are really carved, mounted and removed.
#   run.sh [standalone [BACKEND]]   against `ashlar standalone`, with a pool of this backend: File (default), Directory,
#                                   Partition
#   run.sh kubernetes               against ashlar-controller, ashlar-node-agent and ashlar-csi on a real kube-apiserver
# ASHLAR_BIN: the folder of the programs (default build/release/bin, else build/dev/bin). Needs root: mounts and loop
# devices. Leaves nothing behind. The last line counts: suite csi-sanity: N passed, N failed, N skipped.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
side=${1:-standalone} backend=${2:-File}
case $side/$backend in
  standalone/File | standalone/Directory | standalone/Partition | kubernetes/File) ;;
  *) echo "usage: run.sh [standalone [File|Directory|Partition]|kubernetes]" >&2; exit 2 ;;
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
    while read -r device; do losetup --detach "$device"; done
  mkdir -p "$root/build/test-logs/csi-sanity-$side-$backend" && cp "$work"/*.log "$root/build/test-logs/csi-sanity-$side-$backend/"
  rm -rf "$work"
}
trap cleanup EXIT

# A pool on a filesystem of its own (XFS, as Ashlar makes it on a drive, or btrfs), or on a loop device.
device=
make_pool() {
  local source
  truncate --size 40G "$work/pool.img"
  mkdir "$work/pool"
  case $backend in
    File) mkfs.xfs -q -m reflink=1 "$work/pool.img" ;;
    Directory) mkfs.btrfs -q "$work/pool.img" >/dev/null 2>&1 ;;
  esac
  if [ "$backend" = Partition ]; then
    device=$(losetup --find --show --direct-io=on "$work/pool.img")
    source="\"devices\": {\"paths\": [\"$device\"]}"
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

# sanity KIND: csi-sanity with volumes of this access type, mount or block. Skipped is what the backend cannot do: partitions
# are not copied, directories have no limits of I/O.
sanity() {
  local skip=()
  [ "$backend" != Partition ] || skip=(--ginkgo.skip 'napshot|source volume')
  printf 'pool: sanity\ncsi.storage.k8s.io/fstype: %s\n' "$(filesystem)" >"$work/parameters.yaml"
  printf 'trim: Daily\n' >"$work/mutable.yaml"
  [ "$backend" = Directory ] || printf 'readIops: "5k"\nwriteBytesPerSecond: 500Mi\n' >>"$work/mutable.yaml"
  # The test that is left out compares a received message with a sent one by reflect.DeepEqual, which sees that only one of
  # them has a cached size: a driver that tells where a snapshot can be used cannot pass. csi/snapshots_test.cc tests the same.
  skip+=(--ginkgo.skip "creating a snapshot with accessibility requirements")
  "$cache/csi-sanity" --csi.endpoint "$endpoint" --csi.mountdir "$work/mnt-$1" --csi.stagingdir "$work/staging-$1" \
    --csi.testvolumeparameters "$work/parameters.yaml" --csi.testvolumeaccesstype "$1" \
    --csi.testvolumemutableparameters "$work/mutable.yaml" "${skip[@]}" \
    --csi.testvolumesize $((512 << 20)) --csi.testvolumeexpandsize $((1 << 30)) \
    --ginkgo.junit-report "$work/junit-$1.xml" >"$work/sanity-$1.log" 2>&1 || true
  [ -s "$work/junit-$1.xml" ] || { tail -n 30 "$work/sanity-$1.log"; return 1; }
  grep -E '^\s*\[FAIL\]' "$work/sanity-$1.log" | sort -u || true
}

count() { # what a JUnit file says of its tests: passed failed skipped
  python3 - "$@" <<'P'
import sys, xml.etree.ElementTree as tree
cases = [case for path in sys.argv[2:] for case in tree.parse(path).iter("testcase") if "[It]" in case.get("name")]
failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
skipped = sum(case.find("skipped") is not None for case in cases)
print(f"suite csi-sanity {sys.argv[1]}: {len(cases) - failed - skipped} passed, {failed} failed, {skipped} skipped")
sys.exit(failed > 0)
P
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
  [ -z "$device" ] || left=$(find "/sys/block/${device##*/}" -name "${device##*/}p*" ! -name '*p1') # the first has the facts
  [ -z "$left" ] || { echo "partitions left behind: $left"; return 1; }
  left=$(losetup --noheadings --list --output NAME,BACK-FILE | awk -v dir="$work/pool/" 'index($2, dir) == 1')
  [ -z "$left" ] || { echo "loop devices left behind: $left"; return 1; }
}

. "$here/$side.sh"
start_ashlar
await 60 "the CSI socket is there" test -S "${endpoint#unix://}"
make_pool
kinds=(mount block)
[ "$backend" != Directory ] || kinds=(mount)
for kind in "${kinds[@]}"; do sanity "$kind"; done
leak=0
check_left || leak=1
reports=()
for kind in "${kinds[@]}"; do reports+=("$work/junit-$kind.xml"); done
count "$backend" "${reports[@]}" && [ "$leak" = 0 ]
