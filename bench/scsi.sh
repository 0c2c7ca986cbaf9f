#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# SCSI: what a request costs /dev/vhost-scsi, and 4 KiB random reads of a guest, by
# vhost-scsi-pci against QEMU's own virtio-scsi in an I/O thread with io_uring, on the same file.
# QEMU interprets the guest (TCG), whose driver then takes most of the time.
#   bench/scsi.sh [BUILD_DIRECTORY]
set -u
. "$(dirname "$0")/lib.sh"
wwpn=naa.5001405000000001
place=$work
if [ -w /dev/shm ] && [ "$(stat -f -c %T /dev/shm)" = tmpfs ]; then
    place=$(mktemp -d /dev/shm/standin-bench.XXXXXX)
    trap 'rm -rf "$work" "$place"' EXIT
fi
head -c 67108864 /dev/urandom > "$place/disk.img"

for ((i = 0; i < repeat; i++)); do
    "$standin" run --vhost-scsi "wwpn=$wwpn,lun0=$place/disk.img" -- \
        "$build/bench/bench-scsi" "$place/disk.img" > "$work/engine.$i" || exit 1
done
value() { awk -v k="$1" '$1 == k {print $2}' "$work"/engine.* | median; }
row 'SCSI TEST UNIT READY, ns of the thread' "$(value ready_cpu)" '-' '-' 'at most 300 ns'
row 'SCSI 4K read, ns of the thread (pread)' "$(value read_cpu)" "$(value pread)" \
    "$(ratio "$(value read_cpu)" "$(value pread)")" 'at most pread + 300 ns'
row 'SCSI 4K read, one at a time, ns' "$(value read_one)" '-' '-' '-'

# have COMMAND, for guest.sh, which the client tests share.
have() { command -v "$1" > /dev/null; }
. "$bench/../tests/clients/guest.sh"
(guest_needs) > "$work/needs" || { cat "$work/needs"; exit 0; }
cd "$work" || exit 1
mkdir -p initrd/bin
cp "$build/bench/bench-scsi-guest" initrd/bin/reads
guest_initrd virtio_scsi virtio_pci sd_mod << 'INIT' || exit 1
i=0; while ! [ -b /dev/sda ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done
reads /dev/sda 1 0.3 > /dev/null
for depth in 1 32; do echo "depth$depth $(reads /dev/sda $depth 1.5)"; done
INIT
qemu=(timeout 60 qemu-system-x86_64 -M pc -m 256 "${guest[@]}")
ours() {
    "$standin" run --vhost-scsi "wwpn=$wwpn,lun0=$place/disk.img" -- "${qemu[@]}" \
        -device vhost-scsi-pci,wwpn=$wwpn
}
theirs() {
    "${qemu[@]}" -object iothread,id=thread -device virtio-scsi-pci,iothread=thread \
        -drive "if=none,id=disk,format=raw,aio=io_uring,file=$place/disk.img" \
        -device scsi-hd,drive=disk
}
for ((i = 0; i < repeat; i++)); do
    ours < /dev/null 2>&1 | guest_output > "ours.$i"
    theirs < /dev/null 2>&1 | guest_output > "theirs.$i"
done
for depth in 1 32; do
    a=$(awk -v k=depth$depth '$1 == k {print $2}' ours.* | median)
    b=$(awk -v k=depth$depth '$1 == k {print $2}' theirs.* | median)
    [ "${a:-0}" != 0 ] && [ "${b:-0}" != 0 ] || { tail -5 ours.0 theirs.0; exit 1; }
    row "SCSI 4K reads of a TCG guest, depth $depth, IOPS" "$a" "$b" "$(ratio "$a" "$b")" 'at least 1.0'
done
