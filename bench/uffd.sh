#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# userfaultfd emulated, beside the kernel's, where this user may have that.
#   bench/uffd.sh [BUILD_DIRECTORY]
set -u
. "$(dirname "$0")/lib.sh"
program=$build/bench/bench-uffd

# measure WHAT TIMES: both sides in turn.
measure() {
    local i
    for ((i = 0; i < $2; i++)); do
        "$standin" run --uffd=emulate -- "$program" "$1" > "$work/ours.$1.$i" || exit 1
        [ $kernel = 0 ] || "$program" "$1" > "$work/theirs.$1.$i" || exit 1
    done
}
value() { cat "$work/$1".* 2> /dev/null | awk -v k="$2" '$1 == k {print $2}' | median; }
# figure TEXT NAME GOAL
figure() {
    local ours theirs
    ours=$(value ours "$2"); theirs=$(value theirs "$2")
    [ -n "$ours" ] || return 0
    row "$1" "$ours" "${theirs:--}" "$([ -z "$theirs" ] && echo - || ratio "$ours" "$theirs")" "$3"
}

kernel=1
"$program" copy > /dev/null 2>&1 || kernel=0
measure faults "$repeat"
measure copy "$repeat"
# Of the memory of half the pages, and as much for others.
if [ "$(awk '/^MemAvailable/ {print $2}' /proc/meminfo)" -gt $((6 << 20)) ]; then
    measure many 1
else
    echo "uffd: less than 6 GiB of memory, so not the million pages" >&2
fi
for place in 'one same 1.6' 'two across 0.5'; do
    read -r number name goal <<< "$place"
    [ $number = one ] && plural= || plural=s
    for way in poll read; do
        [ $way = poll ] && text="poll and read" || text="blocking read"
        figure "fault to access, $number CPU${plural}, $text, us" ${way}_"$name" "at most $goal"
        figure "  99th percentile" ${way}_"${name}"_p99 "at most $goal"
        figure "  pages in no order" ${way}_"${name}"_random "at most $goal"
        figure "  99th percentile" ${way}_"${name}"_random_p99 '-'
        figure "  with a signal handler" ${way}_"${name}"_handled "at most $goal"
    done
done
for threads in 1 4 16; do
    figure "faults/s, threads: $threads" pages_$threads '-'
done
figure 'UFFDIO_COPY of 2 MiB, GB/s' copy 'at least 1.0'
figure '  and the first access to each page' copy_touched '-'
figure '1 million pages of 8 GiB by COPY, us each' many_us '-'
figure '  mappings then' many_mappings 'at most 65530'
