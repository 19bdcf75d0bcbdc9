#!/usr/bin/env bash
# From nothing to bytes in a carved volume, on one Debian 12 machine. usage: ./quickstart.sh [--clean]
# Installs packages, builds, starts `ashlar standalone`, applies deploy/examples/quickstart, mounts the volume, fills it,
# restarts the daemon under it and compares digests. May be run again. --clean stops the daemon and removes what it made.
# QUICKSTART_TREE names another folder to copy than /usr/share/doc; it must fit into the volume of 1 GiB.
set -euo pipefail
cd "$(dirname "$0")"

data=/var/lib/ashlar-quickstart    # deploy/examples/quickstart/pool.yaml names a directory below it
mountpoint=/mnt/ashlar-quickstart
tree=${QUICKSTART_TREE:-/usr/share/doc}
ashlar=$PWD/build/release/bin/ashlar
logs=$PWD/build/quickstart

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
die() {
  echo "quickstart.sh: $*" >&2
  exit 1
}
now_ms() { date +%s%3N; }

supported() {
  [ "$(id -u)" = 0 ] || die "must run as root: it installs packages, and mounting needs root. Try: sudo ./quickstart.sh"
  . /etc/os-release 2>/dev/null || true
  [ "${ID:-}" = debian ] && [ "${VERSION_ID:-}" = 12 ] ||
    die "knows Debian 12 only; this is ${PRETTY_NAME:-an unknown system}. deploy/packages.txt lists what a build needs."
}

# By its command line too: after a reboot the number in the file may be another program's.
running() {
  local pid
  pid=$(cat "$data/daemon.pid" 2>/dev/null) || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF " standalone --data-dir $data "
}

start_daemon() {
  setsid "$ashlar" standalone --data-dir "$data" --publish-root "$mountpoint" >>"$logs/standalone.log" 2>&1 </dev/null &
  echo $! >"$data/daemon.pid"
  for _ in $(seq 150); do
    kill -0 $! 2>/dev/null || die "the daemon ended at once. The end of $logs/standalone.log:
$(tail -n 3 "$logs/standalone.log")"
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
  die "the daemon (pid $(cat "$data/daemon.pid")) does not stop in 10 s; see $logs/standalone.log"
}

kube() { kubectl --kubeconfig "$data/kubeconfig" --request-timeout=5s "$@"; }

# await CONDITION OBJECT: waits for it, or ends with the object's conditions, which say what is in the way.
await() {
  kube wait --for=condition="$1" "$2" --timeout=60s && return
  kube get "$2" -o jsonpath='{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}' >&2 || true
  die "$2 did not become $1 in 60 s; its conditions stand above, the log is $logs/standalone.log"
}

# The pool's figures follow with the agent's next report, a moment after the volume is carved.
await_figures() {
  for _ in $(seq 100); do
    [ "$(kube get pools quickstart -o jsonpath='{.status.allocated}')" = 0 ] || return 0
    sleep 0.1
  done
  die "the pool does not count the volume after 10 s; see $logs/standalone.log"
}

clean() {
  if [ -e "$data/api.db" ] || [ -e "$data/identity" ]; then
    [ -x "$ashlar" ] || die "$ashlar is missing, which unmounts what lies in $data: run ./quickstart.sh first, then --clean"
    stop_daemon
    rm -f "$data/daemon.pid"
    # What it says to be left is the pool's directory, which is removed below.
    "$ashlar" purge --data-dir "$data" | { grep -v "^left in $data" || true; } ||
      die "not all could be removed, and $data stays. Something may still use $mountpoint: end it and repeat --clean"
  fi
  if [ -d "$mountpoint" ]; then rmdir "$mountpoint"; fi
  # Images of snapshots are immutable.
  if [ -d "$data" ]; then chattr -R -f -i "$data" || true; fi
  rm -rf "$data" "$logs"
  echo "Nothing of the quickstart is left but the packages and the build in $PWD/build."
}

digest_of() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1); }

[ $# = 0 ] || [ "$*" = --clean ] || die "usage: ./quickstart.sh [--clean]"
supported
[ -d "$tree" ] || die "$tree, which is to be copied into the volume, is no folder; name another: QUICKSTART_TREE=FOLDER"
export PATH=$PATH:/usr/local/go/bin:/usr/sbin
if [ "${1:-}" = --clean ]; then
  clean
  exit 0
fi

say "1/6  packages and build"
deploy/install-packages.sh build runtime
command -v kubectl >/dev/null || deploy/install-packages.sh quickstart
mkdir -p "$logs"
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
began=$(now_ms)
echo "building; the first time takes minutes, and this shows how far it is: tail -f $logs/build.log"
{ cmake --preset release && ninja -C build/release ashlar; } >"$logs/build.log" 2>&1 ||
  die "the build failed; all of it is in $logs/build.log. The first errors, or its end:
$(grep -iE -m 4 -A 2 'error[ :]|FAILED' "$logs/build.log" || tail -n 5 "$logs/build.log")"
echo "built in $((($(now_ms) - began) / 1000)) s"
mkdir -p "$data"

say "2/6  the daemon"
if running; then
  echo "already running, pid $(cat "$data/daemon.pid")"
else
  began=$(now_ms)
  start_daemon
  echo "ready in $(($(now_ms) - began)) ms, pid $(cat "$data/daemon.pid")"
fi

say "3/6  kubectl apply -f deploy/examples/quickstart"
began=$(now_ms)
kube apply -f deploy/examples/quickstart
await Ready pool/quickstart
await Carved volumes.ashlar.dev/quickstart
carved_ms=$(($(now_ms) - began))
await_figures
kube get pools,volumes.ashlar.dev,nodeinventories

say "4/6  mount, and copy $tree into it"
began=$(now_ms)
mountpoint -q "$mountpoint" 2>/dev/null || "$ashlar" mount quickstart "$mountpoint" --data-dir "$data"
mount_ms=$(($(now_ms) - began))
began=$(now_ms)
rm -rf "${mountpoint:?}/tree"
cp -r --no-preserve=ownership "$tree" "$mountpoint/tree" ||
  die "$tree could not be copied. If it does not fit into the volume, name a smaller folder: QUICKSTART_TREE=FOLDER"
sync -f "$mountpoint"
copy_ms=$(($(now_ms) - began))
bytes=$(du -sb "$mountpoint/tree" | cut -f1)
files=$(find "$mountpoint/tree" -type f | wc -l)
before=$(digest_of "$mountpoint/tree")
source_digest=$(digest_of "$tree")
[ "$before" = "$source_digest" ] || die "the volume's digest $before is not that of $tree, $source_digest"

say "5/6  restart the daemon under the mounted volume"
rm -f "$logs/stop-reading" "$logs/read-failed"
until [ -e "$logs/stop-reading" ]; do find "$mountpoint/tree" -type f -exec cat {} + >/dev/null || { touch "$logs/read-failed" && break; }; done &
reader=$!
trap 'kill $reader 2>/dev/null || true' EXIT # also where the daemon does not come back
began=$(now_ms)
stop_daemon
start_daemon
restart_ms=$(($(now_ms) - began))
touch "$logs/stop-reading"
wait $reader || true
trap - EXIT
[ ! -e "$logs/read-failed" ] || die "reading from the volume failed while the daemon was away, as said above"
after=$(digest_of "$mountpoint/tree")
[ "$before" = "$after" ] || die "the digest changed over the restart: $before, then $after"
await Ready pool/quickstart >/dev/null
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
