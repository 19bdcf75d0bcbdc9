#!/usr/bin/env bash
# `ashlar standalone` as a person uses it: carve, mount, restart, kill -9, second instance, refusals, purge. Needs root.
# The last line counts: N passed, N failed, N skipped.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" != 0 ]; then
  echo "skipped: mounting needs root"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
fi
# Mounts of its own: nobody else's namespace may hold them.
[ "${IN_NAMESPACE:-}" = yes ] || IN_NAMESPACE=yes exec unshare --mount --propagation private "$0" "$@"
export PATH=$PATH:/usr/sbin:/sbin
bin=${ASHLAR_BIN:-$here/../../build/release/bin}
[ -x "$bin/ashlar" ] || bin=$here/../../build/dev/bin
kubectl=${ASHLAR_CACHE:-$HOME/.cache/ashlar}/cluster/bin/kubectl
work=$(mktemp -d /tmp/ashlar-daemon-XXXXXX)
data=$work/data
mount=$work/volume
passed=0 failed=0

kube() { "$kubectl" --kubeconfig "$data/kubeconfig" --request-timeout=5s "$@"; }
pid() { cat "$data/lock" 2>/dev/null; }
start() {
  "$bin/ashlar" standalone --data-dir "$data" --publish-root "$work" >>"$work/log" 2>&1 </dev/null &
  for _ in $(seq 150); do
    kube get --raw /readyz >/dev/null 2>&1 && [ -S "$data/csi.sock" ] && return 0
    sleep 0.2
  done
  return 1
}
stop() { # SIGNAL
  local p
  p=$(pid)
  kill "-$1" "$p" 2>/dev/null
  wait "$p" 2>/dev/null
  return 0
}
cleanup() {
  stop KILL
  awk -v dir="$work/" 'index($5, dir) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r m; do umount "$m"; done
  losetup --noheadings --list --output NAME,BACK-FILE | awk -v dir="$work/" 'index($2, dir) == 1 {print $1}' |
    while read -r device; do losetup --detach "$device"; done
  [ "$failed" = 0 ] || tail -n 40 "$work/log"
  rm -rf "$work"
}
trap cleanup EXIT

check() { # WHAT COMMAND...
  local what=$1
  shift
  if "$@" >"$work/out" 2>&1; then
    passed=$((passed + 1))
    echo "passed: $what"
  else
    failed=$((failed + 1))
    echo "FAILED: $what: $(head -c 600 "$work/out")"
  fi
}
refused() { # TEXT COMMAND...: fails, and says so
  local text=$1
  shift
  ! "$@" >"$work/said" 2>&1 && { grep -qF -- "$text" "$work/said" || { cat "$work/said"; return 1; }; }
}
holds() { [ "$(cat "$mount/file" 2>&1)" = bytes ]; }
make_objects() {
  kube apply -f - <<Y
{"apiVersion": "v1", "kind": "List", "items": [
 {"apiVersion": "ashlar.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "p"},
  "spec": {"directory": {"path": "$work/pool", "capacity": "256Mi"}, "inlineVolumes": {"maxSize": "64Mi"}}},
 {"apiVersion": "ashlar.dev/v1alpha1", "kind": "Volume", "metadata": {"name": "v"}, "spec": {"pool": "p", "size": "64Mi"}},
 {"apiVersion": "ashlar.dev/v1alpha1", "kind": "Volume", "metadata": {"name": "large"}, "spec": {"pool": "p", "size": "1Ti"}}]}
Y
}
carved() { kube wait --for=condition=Carved volumes.ashlar.dev/v --timeout=30s; }
writes() { echo bytes >"$mount/file" && sync -f "$mount"; }
# As the node plugin passes on what a kubelet asks for a pod.
inline_volume() { # BYTES
  "$bin/agent_call" "$data/agent.sock" PublishVolume "{\"volumeId\": \"csi-0123\", \"targetPath\": \"$work/pod/scratch\",
    \"mode\": \"VOLUME_MODE_FILESYSTEM\", \"inlineVolume\": {\"pool\": \"p\", \"sizeBytes\": $1}}"
}
take_inline_volume() {
  "$bin/agent_call" "$data/agent.sock" UnpublishVolume "{\"volumeId\": \"csi-0123\", \"targetPath\": \"$work/pod/scratch\"}"
}
inline_holds() { [ "$(cat "$work/pod/scratch/file" 2>&1)" = bytes ]; }
inline_gone() { [ ! -e "$work/pod/scratch" ] && [ -z "$(find "$work/pool" -name 'csi-0123*')" ] && ! grep -q csi-0123 /proc/self/mountinfo; }
no_such_object() { [ -z "$(kube get volumes.ashlar.dev -o name | grep csi-0123)" ]; }
nothing_left() {
  [ ! -e "$data" ] && ! grep -q "$work/" /proc/self/mountinfo && ! losetup --noheadings --list --output BACK-FILE | grep -q "$work/" &&
    [ -z "$(find "$work/pool" -type f 2>/dev/null)" ]
}

check "starts" start
check "keeps the kubeconfig to its owner" test "$(stat -c %a "$data/kubeconfig")" = 600
check "refuses a second instance" refused "an instance runs already" "$bin/ashlar" standalone --data-dir "$data"
check "shows its node and agent" kube -n ashlar-system get pods,nodes
check "takes a pool and volumes" make_objects
check "carves" carved
check "mounts" "$bin/ashlar" mount v "$mount" --data-dir "$data"
check "mounts again" "$bin/ashlar" mount v "$mount" --data-dir "$data"
check "takes bytes" writes
check "refuses a system directory" refused "belongs to the system" "$bin/ashlar" mount v /etc --data-dir "$data"
check "refuses a place that nobody named" refused "--publish-root" "$bin/ashlar" mount v /var/ashlar-test --data-dir "$data"
check "refuses a volume that is not there" refused "not found" "$bin/ashlar" mount absent "$work/x" --data-dir "$data"
check "says why a volume is not carved" refused "not carved: NoCapacity" "$bin/ashlar" mount large "$work/x" --data-dir "$data"
check "refuses an inline volume that is larger than the pool allows" refused "spec.inlineVolumes.maxSize" inline_volume 68157440
check "leaves nothing of a refused one" inline_gone
check "carves an inline volume" inline_volume 33554432
check "carves it once" inline_volume 33554432
check "takes its bytes" eval 'echo bytes >"$work/pod/scratch/file"'
check "makes no object of it" no_such_object
url=$(grep server: "$data/kubeconfig")
stop TERM
check "leaves the volume mounted when it stops" holds
check "says that it does not run" refused "no instance answers" "$bin/ashlar" umount "$mount" --data-dir "$data"
check "starts again" start
check "keeps its address" test "$(grep server: "$data/kubeconfig")" = "$url"
stop KILL
check "leaves the volume mounted when it is killed" holds
check "starts after a kill" start
check "finds its volume again" carved
check "has left the inline volume alone" inline_holds
check "takes the inline volume back" take_inline_volume
check "takes it back once" take_inline_volume
check "leaves nothing of it" inline_gone
check "unmounts" "$bin/ashlar" umount "$mount" --data-dir "$data"
check "has nothing there then" test ! -e "$mount/file"
check "says that nothing is mounted" refused "nothing is mounted" "$bin/ashlar" umount "$mount" --data-dir "$data"
check "mounts what it kept" "$bin/ashlar" mount v "$mount" --data-dir "$data"
check "kept the bytes" holds
check "purges not while it runs" refused "an instance runs already" "$bin/ashlar" purge --data-dir "$data"
stop KILL
check "purges" "$bin/ashlar" purge --data-dir "$data"
check "leaves nothing" nothing_left
check "purges nothing that is not its own" refused "not the data directory" "$bin/ashlar" purge --data-dir "$work"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
