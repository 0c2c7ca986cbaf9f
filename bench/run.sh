#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# make bench: every figure beside what it is compared with, measured in this run, as
# medians.  A part is a script here that sources lib.sh; each also runs alone.
#   bench/run.sh [BUILD_DIRECTORY [PART...]]
set -u
build=${1:-build}
[ $# = 0 ] || shift
[ $# != 0 ] || set -- vfio pvp vhost_net vsock kick scsi hmm uffd hyperv
. "$(dirname "$0")/lib.sh" "$build"
row 'what' 'standin' 'compared with' 'ratio' 'goal'
status=0
for part; do
    "$bench/$part.sh" "$build" || status=1
done
exit $status
