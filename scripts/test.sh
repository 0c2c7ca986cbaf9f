#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# test.sh [BUILD_DIRECTORY]: all suites, and at the end one line with the counts.
build=${1:-build}
meson test -C "$build" --no-rebuild --print-errorlogs
status=$?
python3 "$(dirname "$0")/summary.py" "$build/meson-logs/testlog.json" || exit 1
exit $status
