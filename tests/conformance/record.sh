#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# record.sh [--compare] PROGRAM EXPECTED
#
# Runs the static PROGRAM in a real kernel and writes its answers to EXPECTED, or with
# --compare shows how they differ from what is there.  $STANDIN_ORACLE names a command that
# boots a kernel with a device bound to vfio-pci, sets VFIO_BDF and VFIO_GROUP, runs the
# program given to it there as root, and prints what it prints.
set -eu
compare=
if [ "${1:-}" = --compare ]; then compare=yes; shift; fi
[ $# = 2 ] || { echo "usage: record.sh [--compare] PROGRAM EXPECTED" >&2; exit 2; }
if [ -z "${STANDIN_ORACLE:-}" ]; then
	echo "SKIP: STANDIN_ORACLE is not set: no kernel to ask"
	exit 77
fi
answers=$(mktemp)
trap 'rm -f "$answers"' EXIT
"$STANDIN_ORACLE" "$1" --kernel >"$answers"
if [ "$(tail -n 1 "$answers")" != end ]; then
	echo "record.sh: the program did not run to its end:" >&2
	tail -n 5 "$answers" >&2
	exit 1
fi
if [ "$compare" ]; then
	diff -u "$2" "$answers"
else
	cp "$answers" "$2"
	echo "$(head -n 1 "$2" | cut -c3-) $(wc -l <"$2") lines in $2"
fi
