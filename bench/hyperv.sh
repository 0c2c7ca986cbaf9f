#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Hyper-V's services: requests to Debian's hv_kvp_daemon beside a bare socket pair of the same
# size, a file of 256 MiB through Debian's hv_fcopy_daemon and the agent beside dd in pieces of the
# same size and cp, and a change of a pool with 5,000 records, Debian's daemon beside the agent.
#   bench/hyperv.sh [BUILD_DIRECTORY]
set -u
. "$(dirname "$0")/lib.sh"
for daemon in kvp fcopy; do
    if [ ! -x /usr/sbin/hv_${daemon}_daemon ]; then
        echo "hyperv: /usr/sbin/hv_${daemon}_daemon is not installed (package hyperv-daemons)"
        exit 0
    fi
done
place=$work
if [ -w /dev/shm ] && [ "$(df --output=avail -m /dev/shm | tail -1)" -gt 1000 ]; then
    place=$(mktemp -d /dev/shm/standin-bench.XXXXXX)
    trap 'rm -rf "$work" "$place"' EXIT
fi
count=20000 mib=256

# guest COMMAND...: what runs under standin, until stop.
guest() {
    "$standin" run --hyperv -- "$@" > "$work/guest.log" 2>&1 &
    guest=$!
}
stop() {
    kill "$guest" 2> /dev/null
    wait "$guest" 2> /dev/null
}
host() {
    local command=$1
    shift
    "$standin" "$command" --pid "$guest" "$@"
}
# rate COUNT SECONDS
rate() { awk -v n="$1" -v s="$2" 'BEGIN {printf "%.0f\n", n / s}'; }
enumerate() { host kvp raw --size 7432 --count $count '03 02 0000 05000000'; }

guest /usr/sbin/hv_kvp_daemon -n
host kvp get OSName > "$work/first" || exit 1
for ((i = 0; i < repeat; i++)); do
    t=$(seconds enumerate) || exit 1
    rate $count "$t" >> "$work/kvp"
    "$build/bench/bench-hyperv" $count >> "$work/pair"
done
stop
a=$(median < "$work/kvp") b=$(median < "$work/pair")
row 'KVP requests/s (socket pair)' "$a" "$b" "$(ratio "$a" "$b")" 'at least 0.6'

head -c $((mib << 20)) /dev/zero > "$place/source"
copy() { host copy --quiet --force "$place/source" "$place/to"; }
# Until the daemon has registered; the guest's start is no part of a copy. That of `standin copy` is,
# about 4 ms, as dd's is.
registered() { host copy --quiet --force /dev/null "$place/to" || exit 1; }
plain() { dd if="$place/source" of="$place/to" bs=6144 status=none; }
for ((i = 0; i < repeat; i++)); do
    guest /usr/sbin/hv_fcopy_daemon -n
    registered
    t=$(seconds copy) || exit 1
    rate $mib "$t" >> "$work/fcopy"
    stop
    guest "$standin" agent --no-kvp --no-vss --fcopy-root /
    registered
    t=$(seconds copy) || exit 1
    rate $mib "$t" >> "$work/agent"
    stop
    rate $mib "$(seconds plain)" >> "$work/dd"
    rate $mib "$(seconds cp "$place/source" "$place/to")" >> "$work/cp"
done
a=$(median < "$work/fcopy") b=$(median < "$work/dd")
row "copy of $mib MiB, Debian's daemon, MB/s (dd)" "$a" "$b" "$(ratio "$a" "$b")" 'at least 0.5'
a=$(median < "$work/agent")
row "copy of $mib MiB, standin agent, MB/s (dd)" "$a" "$b" "$(ratio "$a" "$b")" 'at least 0.8'
b=$(median < "$work/cp")
row "copy of $mib MiB, standin agent, MB/s (cp)" "$a" "$b" "$(ratio "$a" "$b")" '-'

# A record is 512 bytes of key and 2,048 of value.
cat > "$work/pool.sh" << 'POOL'
for i in $(seq 5000); do printf '%-512s%-2048s' "key$i" "value$i"; done | tr ' ' '\000' > /var/lib/hyperv/.kvp_pool_0
exec "$@"
POOL
# set_many COUNT: of "a" in pool 0, to nothing.
set_many() { host kvp raw --size 7432 --count "$1" '01 00 0000 01000000 04000000 02000000 6100'; }
for ((i = 0; i < repeat; i++)); do
    guest bash "$work/pool.sh" /usr/sbin/hv_kvp_daemon -n
    host kvp get --pool auto OSName > /dev/null || exit 1
    t=$(seconds set_many 20) || exit 1
    awk -v t="$t" 'BEGIN {printf "%.1f\n", 20 / t}' >> "$work/set"
    stop
    guest bash "$work/pool.sh" "$standin" agent --no-fcopy --no-vss
    host kvp get --pool auto OSName > /dev/null || exit 1
    t=$(seconds set_many 20000) || exit 1
    rate 20000 "$t" >> "$work/agent_set"
    stop
done
a=$(median < "$work/agent_set") b=$(median < "$work/set")
row 'KVP changes/s in 5,000 records, agent (Debian)' "$a" "$b" "$(ratio "$a" "$b")" 'at least 100'
