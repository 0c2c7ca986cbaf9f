#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# How soon vhost's worker has a kick, and the driver its call, beside two threads that wake each
# other through eventfds.   bench/kick.sh [BUILD_DIRECTORY]
set -u
. "$(dirname "$0")/lib.sh"

for ((i = 0; i < repeat; i++)); do
    "$standin" run -- "$build/bench/bench-kick" > "$work/kick.$i" || exit 1
done
value() { awk -v k="$1" '$1 == k {print $2}' "$work"/kick.* | median; }
# figure TEXT NAME COMPARED GOAL
figure() {
    local ours theirs
    ours=$(value "$2"); theirs=$(value "$3")
    [ -n "$ours" ] || return 0
    row "$1" "$ours" "$theirs" "$(ratio "$ours" "$theirs")" "$4"
}
figure 'kick and call, one processor, us (eventfds)' kick_same eventfd_same 'at most 1.1'
figure '  with a busyloop timeout' poll_same eventfd_same '-'
figure 'kick and call, two processors, us (eventfds)' kick_across eventfd_across 'at most 1.1'
figure '  with a busyloop timeout' poll_across eventfd_across '-'
figure 'kick to buffer used, us (eventfd)' kick_seen eventfd_across 'at most 1.1'
figure '  with a busyloop timeout' poll_seen eventfd_across '-'
