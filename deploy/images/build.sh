#!/bin/bash
# Makes Ashlar's image as an OCI archive, without a registry and without a container runtime.
#
#   build.sh [--programs DIR] [--out DIR] [--name REPOSITORY] [--lab BIN]
#
#   --programs  where the release programs are           (build/release/bin)
#   --out       where ashlar.tar lands                   (build/images)
#   --name      the image's repository; the tag is the chart's appVersion   (localhost/ashlar)
#   --lab       also packs the CSI sidecars found in the folder BIN, for the cluster lab
#
# Load it:  ctr -n k8s.io images import ashlar.tar   or   podman load -i ashlar.tar   or   skopeo copy oci-archive:ashlar.tar docker://…
# Equal inputs give equal bytes. See files.txt for what the image holds, and why.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); top=$(cd "$here/../.." && pwd)
programs=$top/build/release/bin out=$top/build/images name=localhost/ashlar lab=
while [ $# -gt 0 ]; do
  case $1 in
    --programs) programs=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --name) name=$2; shift 2 ;;
    --lab) lab=$2; shift 2 ;;
    *) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p}' "$0" >&2; exit 2 ;;
  esac
done
tag=$(sed -n 's/^appVersion: *//p' "$top/charts/ashlar/Chart.yaml")
mkdir -p "$out"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

# The lab imports its images on every start: unpacked layers are quicker. What is given to people is compressed.
squeeze=--gzip; [ -z "$lab" ] || squeeze=
"$here/rootfs.py" --programs "$programs" --files "$here/files.txt" --root "$work/ashlar"
"$here/oci.py" --name "$name:$tag" --root "$work/ashlar" --out "$out/ashlar.tar" $squeeze \
  --label org.opencontainers.image.title=ashlar --label org.opencontainers.image.version="$tag" \
  --label org.opencontainers.image.licenses=Apache-2.0
[ -n "$lab" ] || exit 0
for sidecar in csi-provisioner csi-resizer csi-snapshotter; do
  mkdir "$work/$sidecar"
  cp "$lab/$sidecar" "$work/$sidecar/"
  "$here/oci.py" --name "localhost/$sidecar:lab" --root "$work/$sidecar" --out "$out/$sidecar.tar" --entrypoint "/$sidecar"
done
