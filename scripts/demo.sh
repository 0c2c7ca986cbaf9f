#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# make demo: Debian's own qemu-img and qemu-io on an NVMe drive that is not there.  All that
# is printed comes from the programs that run here; a step that goes wrong ends it.
set -u
BUILD=$(cd "${BUILD:-build}" && pwd)
standin=$BUILD/standin
drive=nvme://0000:01:00.0/1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
steps=0

say() { printf '\n== %s\n' "$*"; }
show() { printf '$ %s\n' "$*" | sed "s|$standin|standin|g; s|$work/||g"; }
step() {
    show "$@"
    if ! "$@"; then
        printf '\nThat failed; the demonstration ends here.\n'
        exit 1
    fi
    steps=$((steps + 1))
}

command -v qemu-img > /dev/null || { echo "qemu-utils is not installed"; exit 1; }

say "What this machine has"
for path in /dev/vfio/vfio /sys/bus/pci/devices/0000:01:00.0; do
    if [ -e $path ]; then echo "$path: exists"; else echo "$path: does not exist"; fi
done
qemu-img --version | head -1

say "QEMU's user-space NVMe driver, alone"
show qemu-img info $drive
if qemu-img info $drive; then alone=worked; else alone=failed; fi

say "The same program on a drive that standin provides, kept in disk.img"
truncate -s 256M "$work/disk.img"
with=("$standin" run --device "nvme,addr=01:00.0,file=$work/disk.img" --)
step "${with[@]}" qemu-img info $drive

say "Write a pattern at an odd offset, read it back, verify it"
step "${with[@]}" qemu-io -f raw -c 'write -P 0xa5 123457k 777k' -c 'read -P 0xa5 123457k 777k' $drive

say "Copy 64 MiB of random bytes to the drive and back, and compare"
head -c 64M /dev/urandom > "$work/source.raw"
step "${with[@]}" qemu-img convert -n -f raw -O raw "$work/source.raw" $drive
step cmp -n 67108864 "$work/source.raw" "$work/disk.img"
step "${with[@]}" qemu-img convert -f raw -O raw $drive "$work/back.raw"
step cmp -n 67108864 "$work/source.raw" "$work/back.raw"

say "What QEMU asked the kernel for, and what it was told instead"
step "$standin" run --trace="$work/trace.txt" --device "nvme,addr=01:00.0,file=$work/disk.img" -- \
    qemu-img info $drive > "$work/info.txt"
head -12 "$work/trace.txt" | cut -c 1-150
calls=$(wc -l < "$work/trace.txt")
echo "... $calls lines in all"

say "What happened"
cat << END
$(qemu-img --version | head -1 | cut -d' ' -f1-3), as Debian ships it, $alone without standin and did
$steps steps with it: it opened VFIO, mapped the registers of an NVMe controller, set up queues and
interrupts, and moved data by DMA. The controller, the PCI bus and the IOMMU were code in its own
process; the kernel was asked for nothing but memory, eventfds and the file disk.img.
END
