#!/usr/bin/env bash
# Plain kubectl, of the release that the cluster lab uses and of Debian 12 (1.20), against the embedded API.
# The last line counts: N passed, N failed, N skipped.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${ASHLAR_CACHE:-$HOME/.cache/ashlar}
old=$cache/kubectl-1.20/usr/bin/kubectl
if [ ! -x "$old" ]; then # beside the system: another package may own /usr/bin/kubectl
  mkdir -p "$cache/kubectl-1.20"
  (cd "$cache/kubectl-1.20" && apt-get download kubernetes-client >/dev/null 2>&1 && dpkg -x kubernetes-client_*.deb .) || true
fi
bin=${ASHLAR_BIN:-$here/../../build/release/bin}
[ -x "$bin/serve_api" ] || bin=$here/../../build/dev/bin
exec python3 "$here/kubectl_test.py" "$bin/serve_api" "$cache/cluster/bin/kubectl" "$old"
