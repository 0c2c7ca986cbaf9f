#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's qemu-system-x86_64 passes a drive that standin provides through to a guest
# (-device vfio-pci, software emulation): SeaBIOS boots from it, and a Debian kernel's own
# NVMe driver makes a file system on it, by message interrupts, by INTx, and with the BARs
# not mapped.
. "$(dirname "$0")/lib.sh"
have qemu-system-x86_64 || { echo "SKIP: qemu-system-x86 is not installed"; exit 77; }
chmod 777 "$work"

# on_drive DEVICE-KEYS QEMU-OPTIONS...
on_drive() {
    run --device "nvme,addr=01:00.0,file=$PWD/disk.img$1" -- timeout 120 qemu-system-x86_64 \
        -M q35 -m 512 -device vfio-pci,host=0000:01:00.0,bootindex=1 "${@:2}" < /dev/null
}

# A boot sector that prints its text on the serial port and ends QEMU.
boot_sector() {
    printf '\x31\xc0\x8e\xd8\xbe\x1b\x7c\xac\x84\xc0\x74\x06\xba\xf8\x03\xee\xeb\xf5'
    printf '\xba\x01\x05\xb0\x31\xee\xf4\xeb\xfd'
    printf 'the drive boots\r\n\0' && head -c 465 /dev/zero && printf '\x55\xaa'
}

seabios_boots() {
    boot_sector > disk.img && truncate -s 16M disk.img && chmod 666 disk.img || return 1
    on_drive "" -accel tcg -nodefaults -no-reboot -display none -serial stdio \
        -device isa-debug-exit,iobase=0x501,iosize=1 > out 2>&1
    cat out
    grep -aq 'the drive boots' out
}
check "SeaBIOS boots from the drive" seabios_boots

. "$tests/guest.sh"
missing=$(guest_needs debugfs) || { skip "a Linux guest" "${missing#SKIP: }"; finish; }
guest_initrd << 'INIT'
i=0; while [ ! -b /dev/nvme0n1 ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
echo "SIZE $(cat /sys/block/nvme0n1/size)"
mke2fs /dev/nvme0n1 > /dev/null; mount -t ext2 /dev/nvme0n1 /mnt
dd if=/dev/urandom of=/mnt/file bs=1M count=8 2> /dev/null
sha256sum < /mnt/file; umount /mnt
grep nvme0q /proc/interrupts
echo 3 > /proc/sys/vm/drop_caches
mount -t ext2 /dev/nvme0n1 /mnt; sha256sum < /mnt/file; umount /mnt
INIT

# linux_guest DEVICE-KEYS KERNEL-PARAMETERS PATTERN-IN-/proc/interrupts
linux_guest() {
    local sums
    rm -f disk.img && truncate -s 64M disk.img && chmod 666 disk.img || return 1
    on_drive "$1" "${guest[@]}" -append "$cmdline $2" 2>&1 | guest_output > out
    cat out
    grep -q '^SIZE 131072$' out && grep -q "$3.*nvme0q" out || return 1
    sums=$(grep -ao '^[0-9a-f]\{64\}' out | sort -u)
    [ "$(printf '%s\n' "$sums" | wc -l)" = 1 ] && [ -n "$sums" ] || return 1
    # What the guest wrote is in the host's file.
    debugfs -R "dump /file dumped" disk.img
    [ "$(sha256sum < dumped | cut -d ' ' -f 1)" = "$sums" ]
}
check "a Linux guest's file system, MSI-X" linux_guest "" "" MSI
check "a Linux guest's file system, INTx" linux_guest "" "pci=nomsi" IO-APIC
check "a Linux guest's file system, BARs not mapped" linux_guest ",mmap=off" "" MSI
finish
