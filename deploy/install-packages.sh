#!/usr/bin/env bash
# Installs the Debian packages of deploy/packages.txt. usage: install-packages.sh SECTION...   (build runtime check lab)
# Says what it installs; does nothing where all is there. Needs root only if something is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

have() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ] && return 0
  [ "$1" = golang-go ] && { command -v go >/dev/null || [ -x /usr/local/go/bin/go ]; }
}

missing=()
for section in "$@"; do
  for package in $(awk -v s="[$section]" '/^\[/{on=($0==s)} on && /^[a-z]/{print $1}' "$here/packages.txt"); do
    have "$package" || missing+=("$package")
  done
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ]; then
  echo "missing Debian packages: ${missing[*]}; run as root: $0 $*" >&2
  exit 1
fi
echo "installing ${#missing[@]} Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "apt-get could not install: ${missing[*]}" >&2
  exit 1
fi
