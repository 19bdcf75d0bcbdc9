# Sourced by build.sh: choose_go puts a Go that is new enough for modules/ first in PATH. A Go of any age fetches a newer one,
# since that comes as a Go module too, golang.org/toolchain: Debian 12 has Go 1.19. It is kept in $kept/go-VERSION.
go_version=1.26.8 # what is fetched where no Go is new enough, with the sum of the Go checksum database
go_sum=h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM=
go_kept=$kept/go-$go_version

unset GOROOT

die() { echo "cluster lab: $*" >&2; exit 1; }

# new_enough GO: whether it exists and has the version that the modules ask for.
go_needed=$(awk '$1 == "go" {print $2}' "$here"/modules/*/go.mod | sort -V | tail -n 1)
new_enough() {
  local version
  version=$("$1" env GOVERSION 2>/dev/null) && version=${version%% *} &&
    [ "$(printf '%s\n' "${version#go}" "$go_needed" | sort -V | head -n 1)" = "$go_needed" ]
}

# fetch_go OLD-GO: checks the sum, and leaves nothing behind where it fails.
fetch_go() {
  local module=golang.org/toolchain@v0.0.1-go$go_version.linux-amd64 work answer sum
  [ "$(uname -m)" = x86_64 ] || die "$("$1" version) is older than $go_needed; install one from https://go.dev/dl to /usr/local/go"
  mkdir -p "$kept"
  work=$(mktemp -d "$kept/go.XXXXXX")
  # shellcheck disable=SC2064
  trap "chmod -R u+w '$work'; rm -rf '$work'" EXIT
  echo "cluster lab: $("$1" version) is older than $go_needed; fetching Go $go_version into $go_kept" >&2
  answer=$(cd "$work" && GO111MODULE=on GOMODCACHE=$work/modules GOFLAGS="-mod=mod -modcacherw" "$1" mod download -json "$module") ||
    die "could not fetch $module: $answer"
  sum=$(sed -n 's/.*"Sum": "\(.*\)".*/\1/p' <<<"$answer")
  [ "$sum" = "$go_sum" ] || die "$module has the sum $sum, pinned is $go_sum; it is not used"
  # A module carries no modes.
  chmod +x "$work/modules/$module"/bin/* "$work/modules/$module"/pkg/tool/*/*
  mv -T "$work/modules/$module" "$go_kept" 2>/dev/null || new_enough "$go_kept/bin/go" # another build.sh was faster
}

# The first that is new enough: the one in PATH, the one from go.dev, the one that was fetched.
PATH=$PATH:/usr/local/go/bin
choose_go() {
  local candidate old=
  for candidate in "$(command -v go || true)" /usr/local/go/bin/go "$go_kept/bin/go"; do
    [ -x "$candidate" ] || continue
    if new_enough "$candidate"; then PATH=$(dirname "$candidate"):$PATH; return; fi
    old=${old:-$candidate}
  done
  [ -n "$old" ] || die "Go is missing; deploy/install-packages.sh lab installs it"
  [ "${1:-}" != --check ] || die "its Go is not there yet; run test/lab/cluster/build.sh (about 8 minutes)"
  fetch_go "$old"
  PATH=$go_kept/bin:$PATH
}
