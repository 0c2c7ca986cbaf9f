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
    qemu-img info $drive
count() { grep -c "^[0-9]* $1" "$work/trace.txt"; }
ioctls=$(count 'ioctl(') registers=$(count 'mmio-') doorbells=$(count 'doorbell(') interrupts=$(count 'irq(')
for kind in 'ioctl(' 'mmio-' 'doorbell(' 'irq('; do
    grep -m 4 "^[0-9]* $kind" "$work/trace.txt" | cut -c 1-140
done
echo "(4 lines of each kind, of $(wc -l < "$work/trace.txt"))"

say "What happened"
cat << END
$(qemu-img --version | head -1 | cut -d' ' -f1-3), as the distribution ships it, $alone without standin. With it,
all $steps steps above went well. In the last one alone it made $ioctls VFIO ioctls, accessed $registers
controller registers, rang $doorbells doorbells and got $interrupts interrupts. None of them reached
the kernel: the controller, its bus and the IOMMU are code in QEMU's own process.
/dev/vfio/vfio still $([ -e /dev/vfio/vfio ] && echo exists || echo "does not exist") here.
END
