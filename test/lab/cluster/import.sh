#!/bin/bash
# Imports every image archive of a folder into the containerd of the node it runs in:  import.sh DIR
for archive in "$1"/*.tar; do
  for attempt in 1 2 3 4 5; do
    ctr -n k8s.io image import "$archive" && break
    sleep 0.3
  done
done
