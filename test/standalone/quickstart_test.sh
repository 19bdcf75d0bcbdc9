#!/usr/bin/env bash
# quickstart.sh as a new user runs it: twice, then --clean, after which no process, mount, loop device or file of it is left.
# Last line: "N passed, N failed, N skipped".
set -uo pipefail
cd "$(dirname "$0")/../.."
passed=0 failed=0
check() {
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)) && echo "ok   $name"; else failed=$((failed + 1)) && echo "FAIL $name"; fi
}
nothing() { [ -z "$1" ] || { echo "left: $1"; return 1; }; }

./quickstart.sh --clean
check "quickstart.sh ends well on a machine that never saw it" ./quickstart.sh
check "a second run ends well too" ./quickstart.sh
after_a_reboot() {
  local other
  kill "$(cat /var/lib/ashlar-quickstart/daemon.pid)"
  sleep 300 &
  other=$!
  for _ in $(seq 100); do pgrep -f 'ashlar standalone --data-dir /var/lib/ashlar-quickstart' >/dev/null || break; sleep 0.1; done
  echo "$other" >/var/lib/ashlar-quickstart/daemon.pid
  ./quickstart.sh && kill "$other"
}
check "a run ends well where daemon.pid holds the number of another program, which is let be" after_a_reboot
while_used() {
  local answer
  (cd /mnt/ashlar-quickstart && exec sleep 300) &
  answer=$(./quickstart.sh --clean 2>&1) && return 1
  kill $!
  [[ $(tail -n 1 <<<"$answer") == *"may still use /mnt/ashlar-quickstart"* ]]
}
check "--clean says so where the volume is in use" while_used
check "--clean ends well" ./quickstart.sh --clean
check "no process is left" nothing "$(pgrep -af 'ashlar standalone --data-dir /var/lib/ashlar-quickstart' || true)"
check "no mount is left" nothing "$(grep ashlar-quickstart /proc/self/mountinfo || true)"
check "no loop device is left" nothing "$(losetup -a | grep ashlar-quickstart || true)"
check "no file is left" nothing "$(ls -d /var/lib/ashlar-quickstart /mnt/ashlar-quickstart build/quickstart 2>/dev/null || true)"
as_nobody() {
  local answer
  # Handed over on standard input: nobody need not be able to enter the folder of this checkout.
  answer=$(exec <quickstart.sh && cd / && setpriv --reuid 65534 --clear-groups bash -s 2>&1) && return 1
  [ "$(wc -l <<<"$answer")" = 1 ] && [[ $answer == *"must run as root"* ]]
}
check "without root it says so in one sentence" as_nobody
elsewhere() {
  local answer system
  system=$(mktemp)
  echo 'ID=other PRETTY_NAME="Other 1"' >"$system"
  answer=$(unshare -m sh -c 'mount --bind "$0" /etc/os-release && exec ./quickstart.sh' "$system" 2>&1) && return 1
  rm -f "$system"
  [ "$(wc -l <<<"$answer")" = 1 ] && [[ $answer == *"this is Other 1"* ]]
}
check "on another system it says so in one sentence" elsewhere
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
