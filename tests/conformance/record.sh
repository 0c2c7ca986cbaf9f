#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# record.sh [--compare] EXPECTED PROGRAM [AREA...]
#
# Runs the static PROGRAM in a real kernel and writes its answers to EXPECTED, or with
# --compare shows how they differ from what is there.  AREAs are all unless some are named.
# $STANDIN_ORACLE names a command that boots a kernel with a device bound to vfio-pci, sets VFIO_BDF
# and VFIO_GROUP, runs the program given to it there as root, and prints what it prints.
#
# vfio.txt is recorded with QEMU's nvme and edu devices on the root bus; vfio-port.txt, the
# area `reset` alone, with the nvme device below a root port, where it can be hot reset.
set -eu
compare=
if [ "${1:-}" = --compare ]; then compare=yes; shift; fi
[ $# -ge 2 ] || { echo "usage: record.sh [--compare] EXPECTED PROGRAM [AREA...]" >&2; exit 2; }
expected=$1 program=$2
shift 2
if [ -z "${STANDIN_ORACLE:-}" ]; then
	echo "STANDIN_ORACLE is not set: there is no kernel to ask" >&2
	exit 2
fi
answers=$(mktemp)
trap 'rm -f "$answers"' EXIT
"$STANDIN_ORACLE" "$program" --kernel "$@" >"$answers" || true
if [ "$(tail -n 1 "$answers")" != end ]; then
	echo "record.sh: the program did not run to its end:" >&2
	tail -n 5 "$answers" >&2
	exit 1
fi
if [ "$compare" ]; then
	diff -u "$expected" "$answers"
	echo "$(wc -l <"$expected") lines as in $expected"
else
	cp "$answers" "$expected"
	echo "$(head -n 1 "$expected" | cut -c3-) $(wc -l <"$expected") lines in $expected"
fi
