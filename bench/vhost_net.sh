#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# /dev/vhost-net on a tap, beside write(2) and read(2) on the same tap; and, with nothing to compare
# them with, on stood-in taps.   bench/vhost_net.sh [BUILD_DIRECTORY]
set -u
. "$(dirname "$0")/lib.sh"

# value NAME SIZE MODE: the median, ns a packet.
value() { awk -v k="$1" '$1 == k {print $2}' "$work/$3.$2".* | median; }
# mpps NS: millions a second.
mpps() { awk -v n="$1" 'BEGIN {printf "%.3f", n ? 1e3 / n : 0}'; }

modes=(null loop)
if unshare -Urn sh -c ': <> /dev/net/tun' 2> /dev/null; then
    modes+=(tap)
else
    echo 'vhost-net on a tap: not measured, no tap can be had here'
fi
for ((i = 0; i < repeat; i++)); do
    for size in 64 1518; do
        for mode in "${modes[@]}"; do
            how=(unshare -Urn "$standin" run)
            [ "$mode" = null ] && how=("$standin" run --net null)
            [ "$mode" = loop ] && how=("$standin" run --net loopback)
            "${how[@]}" -- "$build/bench/bench-vhost-net" $mode $size > "$work/$mode.$size.$i" || exit 1
        done
    done
done
for size in 64 1518; do
    [ "${#modes[@]}" = 3 ] || break
    for pair in tx:write rx:read; do
        ours=$(value "${pair%:*}" $size tap); theirs=$(value "${pair#*:}" $size tap)
        row "vhost-net to a tap, ${pair%:*} $size B, Mpps (${pair#*:})" "$(mpps "$ours")" "$(mpps "$theirs")" \
            "$(ratio "$theirs" "$ours")" 'at least 0.8'
    done
done
for size in 64 1518; do
    row "vhost-net to a stood-in tap, tx $size B, Mpps" "$(mpps "$(value tx $size null)")" '-' '-' '-'
    row "  the same, and back, Mpps" "$(mpps "$(value loop $size loop)")" '-' '-' '-'
done
