#!/bin/bash
# Makes the images that every lab node needs, as archives in a folder:  images.sh DIR
# localhost/pause:1 (the sandbox of pods) and busybox (programs for test pods, under the name that deploy/examples uses; with
# fio, which measures).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); out=$1
pack=$here/../../../deploy/images/oci.py
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/pause "$work"/busybox/{bin,tmp,etc}
gcc -Os -static -s -o "$work/pause/pause" "$here/pause.c"
"$pack" --name localhost/pause:1 --root "$work/pause" --out "$out/pause.tar" --entrypoint /pause
cp /bin/busybox "$work/busybox/bin/busybox"
for applet in $("$work/busybox/bin/busybox" --list); do
  [ "$applet" = busybox ] || ln -sf busybox "$work/busybox/bin/$applet"
done
fio=$(command -v fio)
ldd "$fio" | grep -oE '/[^ ]+' | while read -r library; do install -D "$library" "$work/busybox$library"; done
cp "$fio" "$work/busybox/bin/"
echo 'root:x:0:0:root:/:/bin/sh' >"$work/busybox/etc/passwd"
"$pack" --name docker.io/library/busybox:1.36 --root "$work/busybox" --out "$out/busybox.tar" --entrypoint /bin/sh
