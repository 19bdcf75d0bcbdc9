#!/usr/bin/env python3
"""Packs a folder as an OCI image archive, as `ctr image import`, `podman load` and `skopeo copy oci-archive:` read it.

  oci.py --name localhost/ashlar:0.1.0 --root FOLDER --out ashlar.tar [--entrypoint WORD]... [--label KEY=VALUE]... [--gzip]

Equal folders give equal bytes: entries are sorted, owned by root, and bear the time in SOURCE_DATE_EPOCH (default 0).
"""
import argparse
import datetime
import gzip
import hashlib
import io
import json
import os
import platform
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def entry(archive, path, name, epoch):
    info = archive.gettarinfo(path, arcname=name)
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = epoch
    return info


def layer_of(root, epoch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder, folders, files in os.walk(root):
            folders.sort()
            for name in sorted(files + [f for f in folders if os.path.islink(os.path.join(folder, f))]):
                path = os.path.join(folder, name)
                info = entry(archive, path, os.path.relpath(path, root), epoch)
                if info.isreg():
                    with open(path, "rb") as data:
                        archive.addfile(info, data)
                else:
                    archive.addfile(info)
            for name in folders:
                path = os.path.join(folder, name)
                if not os.path.islink(path):
                    archive.addfile(entry(archive, path, os.path.relpath(path, root), epoch))
    return buffer.getvalue()


def pack(args):
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    plain = layer_of(args.root, epoch)
    layer = gzip.compress(plain, 6, mtime=0) if args.gzip else plain
    created = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = json.dumps({
        "created": created, "architecture": ARCHITECTURES[platform.machine()], "os": "linux",
        "config": {"Entrypoint": args.entrypoint or None, "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                   "Labels": dict(label.split("=", 1) for label in args.label)},
        "rootfs": {"type": "layers", "diff_ids": [digest(plain)]}}, sort_keys=True).encode()
    kind = "application/vnd.oci.image."
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
        "config": {"mediaType": kind + "config.v1+json", "digest": digest(config), "size": len(config)},
        "layers": [{"mediaType": kind + "layer.v1.tar" + ("+gzip" if args.gzip else ""), "digest": digest(layer),
                    "size": len(layer)}]}, sort_keys=True).encode()
    index = json.dumps({
        "schemaVersion": 2,
        "manifests": [{"mediaType": kind + "manifest.v1+json", "digest": digest(manifest), "size": len(manifest),
                       "annotations": {"io.containerd.image.name": args.name,
                                       "org.opencontainers.image.ref.name": args.name.rsplit(":", 1)[-1]}}]},
        sort_keys=True).encode()
    part = args.out + ".part"
    with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as archive:
        def put(name, data):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), epoch
            archive.addfile(info, io.BytesIO(data))
        put("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        put("index.json", index)
        for blob in (layer, config, manifest):
            put("blobs/sha256/" + digest(blob)[7:], blob)
    os.replace(part, args.out)
    print(f"{args.name}  {os.path.getsize(args.out) / 1e6:.1f} MB  {args.out}")


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--name", required=True)
parser.add_argument("--root", required=True)
parser.add_argument("--out", required=True)
parser.add_argument("--entrypoint", action="append", default=[])
parser.add_argument("--label", action="append", default=[])
parser.add_argument("--gzip", action="store_true")
pack(parser.parse_args())
