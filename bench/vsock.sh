#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A guest's vsock and a Unix socket between two processes.   bench/vsock.sh [BUILD_DIRECTORY]
# A byte to the guest's peer and back is four wake-ups, where a Unix socket has two; what one
# costs depends on whether the scheduler puts both sides on one processor.
set -u
. "$(dirname "$0")/lib.sh"

# value FILE NAME: the median of what bench-vsock printed for it.
value() { awk -v k="$2" '$1 == k {print $2}' "$work/$1" | median; }

for ((i = 0; i < repeat * 2; i++)); do
    "$build/bench/bench-vsock" unix >> "$work/unix" || exit 1
    "$standin" run --vsock "$work/guest.$i" -- "$build/bench/bench-vsock" "$work/guest.$i" >> "$work/vsock" || exit 1
done
stream=$(value unix stream)
for way in host guest; do
    v=$(value vsock to_$way)
    row "vsock, 64 KiB to the $way, GB/s (Unix socket)" "$v" "$stream" "$(ratio "$v" "$stream")" 'at least 0.7'
done
v=$(value vsock round_trip); there=$(value unix round_trip)
row 'vsock, 1 B there and back, us (Unix socket)' "$v" "$there" "$(ratio "$v" "$there")" 'at most 2'
