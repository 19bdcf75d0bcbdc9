#!/usr/bin/env bash
# The suite "chart": charts/ashlar linted and rendered.
exec python3 "$(dirname "$0")/chart_test.py" "$@"
