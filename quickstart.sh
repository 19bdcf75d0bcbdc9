#!/usr/bin/env bash
# From nothing to bytes in a carved volume, on one Debian 12 machine. usage: ./quickstart.sh [--clean]
# Installs packages, builds, starts `ashlar standalone`, applies deploy/examples/quickstart, mounts the volume, fills it,
# restarts the daemon under it and compares digests. May be run again. --clean stops the daemon and removes what it made.
set -euo pipefail
cd "$(dirname "$0")"

data=/var/lib/ashlar-quickstart    # deploy/examples/quickstart/pool.yaml names a directory below it
mountpoint=/mnt/ashlar-quickstart
tree=${QUICKSTART_TREE:-/usr/share/doc}
ashlar=$PWD/build/release/bin/ashlar
logs=$PWD/build/quickstart

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
die() {
  echo "$*" >&2
  exit 1
}
now_ms() { date +%s%3N; }

supported() {
  [ "$(id -u)" = 0 ] || die "quickstart.sh must run as root: it installs packages, and mounting needs root."
  . /etc/os-release 2>/dev/null || true
  [ "${ID:-}" = debian ] && [ "${VERSION_ID:-}" = 12 ] ||
    die "quickstart.sh knows Debian 12 only; this is ${PRETTY_NAME:-an unknown system}. The README says what a build needs."
}

running() { [ -f "$data/daemon.pid" ] && kill -0 "$(cat "$data/daemon.pid")" 2>/dev/null; }

start_daemon() {
  setsid "$ashlar" standalone --data-dir "$data" --publish-root "$mountpoint" >>"$logs/standalone.log" 2>&1 </dev/null &
  echo $! >"$data/daemon.pid"
  for _ in $(seq 150); do
    running || die "the daemon ended at once; the end of $logs/standalone.log: $(tail -n 3 "$logs/standalone.log")"
    [ -f "$data/kubeconfig" ] && kube get --raw /readyz >/dev/null 2>&1 && return
    sleep 0.2
  done
  die "the daemon did not become ready in 30 s; see $logs/standalone.log"
}

stop_daemon() {
  running || return 0
  kill "$(cat "$data/daemon.pid")"
  for _ in $(seq 100); do
    running || return 0
    sleep 0.1
  done
  die "the daemon (pid $(cat "$data/daemon.pid")) does not stop"
}

kube() { kubectl --kubeconfig "$data/kubeconfig" --request-timeout=5s "$@"; }

clean() {
  stop_daemon
  if [ -x "$ashlar" ] && [ -d "$data" ]; then "$ashlar" purge --data-dir "$data"; fi
  if [ -d "$mountpoint" ]; then rmdir "$mountpoint"; fi
  rm -rf "$data" "$logs"
  echo "Nothing of the quickstart is left but the packages and the build in $PWD/build."
}

digest_of() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1); }

supported
export PATH=$PATH:/usr/local/go/bin:/usr/sbin
if [ "${1:-}" = --clean ]; then
  clean
  exit 0
fi
[ $# = 0 ] || die "usage: quickstart.sh [--clean]"

say "1/6  packages and build"
deploy/install-packages.sh build runtime
command -v kubectl >/dev/null || deploy/install-packages.sh quickstart
mkdir -p "$logs" "$data"
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
began=$(now_ms)
{ cmake --preset release && ninja -C build/release ashlar; } >"$logs/build.log" 2>&1 ||
  die "the build failed: $(grep -E 'error' "$logs/build.log" | head -n 3); all of it in $logs/build.log"
echo "built in $((($(now_ms) - began) / 1000)) s"

say "2/6  the daemon"
running && echo "already running"
began=$(now_ms)
running || start_daemon
echo "ready in $(($(now_ms) - began)) ms, pid $(cat "$data/daemon.pid")"

say "3/6  kubectl apply -f deploy/examples/quickstart"
began=$(now_ms)
kube apply -f deploy/examples/quickstart
kube wait --for=condition=Ready pool/quickstart --timeout=60s
kube wait --for=condition=Carved volumes.ashlar.dev/quickstart --timeout=60s
carved_ms=$(($(now_ms) - began))
kube get pools,volumes.ashlar.dev,nodeinventories

say "4/6  mount, and copy $tree into it"
began=$(now_ms)
mountpoint -q "$mountpoint" 2>/dev/null || "$ashlar" mount quickstart "$mountpoint" --data-dir "$data"
mount_ms=$(($(now_ms) - began))
began=$(now_ms)
rm -rf "${mountpoint:?}/tree"
cp -r --no-preserve=ownership "$tree" "$mountpoint/tree"
sync -f "$mountpoint"
copy_ms=$(($(now_ms) - began))
bytes=$(du -sb "$mountpoint/tree" | cut -f1)
files=$(find "$mountpoint/tree" -type f | wc -l)
before=$(digest_of "$mountpoint/tree")

say "5/6  restart the daemon under the mounted volume"
(while [ -d "$data" ] && [ ! -e "$logs/stop-reading" ]; do cat "$mountpoint"/tree/*/copyright >/dev/null || touch "$logs/read-failed"; done) 2>/dev/null &
reader=$!
began=$(now_ms)
stop_daemon
start_daemon
restart_ms=$(($(now_ms) - began))
touch "$logs/stop-reading"
wait $reader || true
[ ! -e "$logs/read-failed" ] || die "reading from the volume failed while the daemon was away"
rm -f "$logs/stop-reading"
after=$(digest_of "$mountpoint/tree")
source_digest=$(digest_of "$tree")
[ "$before" = "$after" ] || die "the digest changed over the restart: $before, then $after"
[ "$after" = "$source_digest" ] || die "the volume's digest $after is not that of $tree, $source_digest"
kube wait --for=condition=Ready pool/quickstart --timeout=30s >/dev/null
kube get volumes.ashlar.dev quickstart

say "6/6  done"
cat <<END
Carved, mounted and filled a volume; the daemon was restarted under it, and a reader never noticed.
  applied and carved      $carved_ms ms
  mounted                 $mount_ms ms
  copied                  $files files, $bytes bytes in $copy_ms ms
  digest                  $after (same as $tree, and the same before and after the restart)
  daemon restart          $restart_ms ms

Look around:   kubectl --kubeconfig $data/kubeconfig get pools,volumes.ashlar.dev,nodeinventories
               kubectl --kubeconfig $data/kubeconfig describe volumes.ashlar.dev quickstart
Unmount:       $ashlar umount $mountpoint --data-dir $data
Stop:          kill \$(cat $data/daemon.pid)      (the volume stays mounted)
Remove all:    ./quickstart.sh --clean
END
