#!/bin/bash
# Builds the parts of the cluster lab from Go modules and prints the folder that holds them.
#
#   build.sh           builds what is missing or was made from other inputs (minutes, once), prints the folder
#   build.sh --check   builds nothing; status 1 and a reason on standard error if a build is due
#   build.sh --go      prints the folder of the Go that it builds with, fetching one if none is new enough
#
# Versions and checksums are pinned by modules/*/go.mod and go.sum; with -mod=readonly and -trimpath the same inputs
# give the same binaries. They are kept in ${ASHLAR_CACHE:-~/.cache/ashlar}/cluster/bin beside .inputs, the hash of
# what they were made from.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kept=${ASHLAR_CACHE:-$HOME/.cache/ashlar}
cache=$kept/cluster
bin=$cache/bin
export CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local
. "$here/go.sh" # choose_go
choose_go "$@"
if [ "${1:-}" = --go ]; then dirname "$(command -v go)"; exit 0; fi

inputs() { { cat "$here"/modules/*/go.mod "$here"/modules/*/go.sum "$here"/modules/*/*.go "$here/build.sh"; go version; } | sha256sum | cut -d' ' -f1; }
want=$(inputs)
fresh() { [ "$(cat "$bin/.inputs" 2>/dev/null)" = "$want" ]; }

if [ "${1:-}" = --check ]; then
  fresh || { echo "cluster lab: its parts are not built in $bin; run test/lab/cluster/build.sh (about 8 minutes)" >&2; exit 1; }
  exit 0
fi
mkdir -p "$bin"
exec 9>"$cache/lock"; flock 9 # two builds at once would only slow each other
if fresh; then echo "$bin"; exit 0; fi

# Each program lands under a name of its own first: one that runs keeps its file.
build() { # module, linker flags, packages...
  local module=$1 flags=$2 out; shift 2
  out=$(mktemp -d "$cache/out.XXXXXX")
  (cd "$here/modules/$module" && go build -trimpath -buildvcs=false -ldflags "-s -w $flags" -o "$out/" "$@") >&2
  mv -f "$out"/* "$bin/"; rmdir "$out"
}
tools() { awk -F'"' '/_ "/{print $2}' "$here/modules/$1/tools.go"; }

echo "cluster lab: building Kubernetes, the CSI sidecars, Helm, containerd and csi-sanity (about 8 minutes, once)" >&2
version=$(awk '$1 == "k8s.io/kubernetes" {print $2}' "$here/modules/kube/go.mod")
v=k8s.io/component-base/version
build kube "-X $v.gitVersion=$version -X $v.gitMajor=1 -X $v.gitMinor=$(cut -d. -f2 <<<"$version")" .
for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl; do ln -sf kube "$bin/$name"; done
build kube "" $(tools kube)
# The kinds of snapshots, as external-snapshotter's module has them.
crds=$(cd "$here/modules/kube" && go list -m -f '{{.Dir}}' github.com/kubernetes-csi/external-snapshotter/client/v8)/config/crd
rm -rf "$bin/snapshot-crds"; mkdir "$bin/snapshot-crds"
cp "$crds"/*.storage.k8s.io_*.yaml "$bin/snapshot-crds/"; chmod 644 "$bin/snapshot-crds"/*
build sanity "" $(tools sanity)
build containerd "" $(tools containerd)
echo "$want" >"$bin/.inputs"
echo "$bin"
