#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Calls, and QEMU's NVMe driver.   bench/vfio.sh [BUILD_DIRECTORY]
set -u
. "$(dirname "$0")/lib.sh"

# value NAME: the median of what bench-calls printed for it.
value() { awk -v k="$1" '$1 == k {print $2}' "$work"/calls.* | median; }

for ((i = 0; i < repeat; i++)); do
    "$build/bench/bench-calls" alone > "$work/calls.alone.$i" || exit 1
    "$standin" run --device edu -- "$build/bench/bench-calls" > "$work/calls.$i" || exit 1
done
alone=$(value null_ioctl_alone)
row 'VFIO ioctl, ns (ioctl on /dev/null)' "$(value vfio_ioctl)" "$alone" "$(ratio "$(value vfio_ioctl)" "$alone")" 'at most 0.1'
for when in before after; do
    v=$(value null_ioctl_$when)
    row "other ioctl, ns ($when a device is opened)" "$v" "$alone" "$(ratio "$v" "$alone")" 'at most +10 ns'
done
for live in 1 60000; do
    v=$(value map_unmap_$live)
    row "MAP_DMA + UNMAP_DMA, million/s, $live live" "$(awk -v n="$v" 'BEGIN {printf "%.2f", 1e3 / n}')" "-" "-" "at least $([ $live = 1 ] && echo 5 || echo 1)"
done
for kind in load store; do
    v=$(value register_$kind)
    row "trapped register $kind, ns (plain load)" "$v" "$(value memory_load)" "$(ratio "$v" "$(value memory_load)")" '-'
done

# qemu_rows PLACE IMAGE: QEMU's NVMe driver on standin against QEMU's file driver with io_uring.
qemu_rows() {
    local place=$1 image=$2 depth count ours theirs traps
    local reads=(-s 4096 -S 69632 -f raw)
    cat "$image" > /dev/null # both read what is in the page cache
    for depth in 1 32; do
        count=$([ $depth = 1 ] && echo 50000 || echo 100000)
        : > "$work/ours"; : > "$work/theirs"
        for ((i = 0; i < repeat; i++)); do
            seconds "$standin" run --device "nvme,addr=01:00.0,file=$image" -- \
                qemu-img bench -c "$count" -d $depth "${reads[@]}" -t none nvme://0000:01:00.0/1 >> "$work/ours" || exit 1
            seconds qemu-img bench -c "$count" -d $depth "${reads[@]}" -t writeback -i io_uring "$image" >> "$work/theirs" || exit 1
        done
        traps=$("$standin" run --log info --device "nvme,addr=01:00.0,file=$image" -- \
            qemu-img bench -c "$count" -d $depth "${reads[@]}" -t none nvme://0000:01:00.0/1 2>&1 |
            sed -n 's/.*: \([0-9]*\) I\/O doorbells trapped.*/\1/p')
        ours=$(median < "$work/ours"); theirs=$(median < "$work/theirs")
        row "4K reads, file $place, depth $depth, IOPS" "$(awk -v c=$count -v t="$ours" 'BEGIN {printf "%.0f", c / t}')" \
            "$(awk -v c=$count -v t="$theirs" 'BEGIN {printf "%.0f", c / t}')" "$(ratio "$theirs" "$ours")" 'at least 1.0'
        row "  commands per trapped doorbell" "$(awk -v c=$count -v t="${traps:-0}" 'BEGIN {printf "%.1f", t ? c / t : 0}')" '1.0' '-' '-'
    done
}

head -c 268435456 /dev/urandom > "$work/disk.img"
sync "$work/disk.img"
qemu_rows "on disk" "$work/disk.img"
if [ -w /dev/shm ] && [ "$(stat -f -c %T /dev/shm)" = tmpfs ]; then
    memory=$(mktemp -d /dev/shm/standin-bench.XXXXXX)
    trap 'rm -rf "$work" "$memory"' EXIT
    cp "$work/disk.img" "$memory/disk.img" && qemu_rows "in tmpfs" "$memory/disk.img"
fi

: > "$work/ours"; : > "$work/theirs"
for ((i = 0; i < repeat * 4; i++)); do
    seconds "$standin" run -- /bin/true >> "$work/ours"; seconds /bin/true >> "$work/theirs"
done
ours=$(awk '{print $1 * 1000}' "$work/ours" | median); theirs=$(awk '{print $1 * 1000}' "$work/theirs" | median)
row 'standin run -- true, ms (true)' "$ours" "$theirs" "$(ratio "$ours" "$theirs")" '-'
