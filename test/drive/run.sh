#!/usr/bin/env bash
# The suite "drive": the agent inside machines of the drive lab (test/lab/drive). Needs build/release and the section
# drive-lab of deploy/packages.txt; no root. A single test:  test/drive/run.sh UsedDrives.test_none_of_them_is_touched
# With CI=true a lab that cannot start is a failure, elsewhere its tests are skipped and the reason is said.
exec python3 "$(dirname "$0")/drive_test.py" "$@"
