#!/usr/bin/env bash
# The suite "cluster": Ashlar's chart in a real Kubernetes of two nodes. Needs root, build/release and the lab's parts.
# A single test:  test/e2e/run.sh Claims.test_a_deleted_claim_leaves_nothing
# ASHLAR_E2E_KEEP=1 leaves the lab running and says where.
exec python3 "$(dirname "$0")/cluster_test.py" "$@"
