#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A Linux guest of Debian's qemu-system-x86_64 uses a virtio-blk device that standin provides
# and QEMU passes through (-device vfio-pci, software emulation), by its own driver: packed
# and split rings, by message interrupts, by INTx, and with the BARs not mapped.
. "$(dirname "$0")/lib.sh"
. "$tests/guest.sh"
guest_needs debugfs
chmod 777 "$work"
guest_initrd virtio_pci virtio_blk << 'INIT'
i=0; while [ ! -b /dev/vda ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
echo "SIZE $(cat /sys/block/vda/size) $(cat /sys/block/vda/serial)"
echo "FEATURES $(cat /sys/block/vda/device/features)"
mke2fs /dev/vda > /dev/null; mount -t ext2 /dev/vda /mnt
dd if=/dev/urandom of=/mnt/file bs=1M count=8 2> /dev/null
sha256sum < /mnt/file; umount /mnt
grep virtio /proc/interrupts
echo 3 > /proc/sys/vm/drop_caches
mount -t ext2 /dev/vda /mnt; sha256sum < /mnt/file; umount /mnt
INIT

# linux_guest DEVICE-KEYS KERNEL-PARAMETERS PATTERN-IN-/proc/interrupts BIT-34
linux_guest() {
    local sums
    rm -f disk.img && truncate -s 64M disk.img && chmod 666 disk.img || return 1
    run --device "virtio-blk,addr=01:00.0,serial=guest,file=$PWD/disk.img$1" -- \
        timeout 120 qemu-system-x86_64 -M q35 -m 512 -device vfio-pci,host=0000:01:00.0 \
        "${guest[@]}" -append "$cmdline $2" < /dev/null 2>&1 | guest_output > out
    cat out
    grep -q '^SIZE 131072 guest$' out && grep -q "$3.*virtio" out || return 1
    [ "$(sed -n 's/^FEATURES //p' out | cut -c 35)" = "$4" ] || return 1
    sums=$(grep -ao '^[0-9a-f]\{64\}' out | sort -u)
    [ "$(printf '%s\n' "$sums" | wc -l)" = 1 ] && [ -n "$sums" ] || return 1
    # What the guest wrote is in the host's file.
    debugfs -R "dump /file dumped" disk.img
    [ "$(sha256sum < dumped | cut -d ' ' -f 1)" = "$sums" ]
}
check "a Linux guest's file system, packed ring, MSI-X" linux_guest "" "" MSI 1
check "a Linux guest's file system, split ring, INTx" linux_guest ",packed=off" "pci=nomsi" \
    IO-APIC 0
check "a Linux guest's file system, split ring, BARs not mapped" \
    linux_guest ",packed=off,mmap=off" "" MSI 0
finish
