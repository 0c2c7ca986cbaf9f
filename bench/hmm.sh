#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The HMM mirror: migration and faults.   bench/hmm.sh [BUILD_DIRECTORY]
set -u
. "$(dirname "$0")/lib.sh"

value() { awk -v k="$1" '$1 == k {print $2}' "$work"/hmm.* | median; }

for ((i = 0; i < repeat; i++)); do
    "$standin" run -- "$build/bench/bench-hmm" > "$work/hmm.$i" || exit 1
done
for pages in small huge; do
    for size in 4K 2M 256M; do
        memcpy=$(value memcpy_${size}_$pages)
        for way in to_device to_system read; do
            v=$(value ${way}_${size}_$pages)
            goal='at least 0.5'
            [ $size != 4K ] && [ $way != read ] || goal=-
            row "${way//_/ }, $size in $pages pages, GB/s (memcpy)" "$v" "$memcpy" "$(ratio "$v" "$memcpy")" "$goal"
        done
    done
done
v=$(value fault_back) segv=$(value segv)
row 'a page back by a fault, us (bare SIGSEGV, undone)' "$v" "$segv" "$(ratio "$v" "$segv")" '-'
