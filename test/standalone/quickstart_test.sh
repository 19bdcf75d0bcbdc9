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
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
