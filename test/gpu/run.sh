#!/usr/bin/env bash
# The suite "gpu": the agent among GPUs and drives of the drive lab (test/lab/drive), with the stand-in for NVML
# (test/fake_nvml). Needs build/release and the section drive-lab of deploy/packages.txt; no root.
# A single test:  test/gpu/run.sh Gpus.test_every_gpu_is_found_at_its_place
exec python3 "$(dirname "$0")/gpu_test.py" "$@"
