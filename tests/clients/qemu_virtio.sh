#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A Linux guest of Debian's qemu-system-x86_64 uses a virtio-blk device that standin provides
# and QEMU passes through (-device vfio-pci, software emulation), by its own driver: packed
# and split rings, by message interrupts, by INTx, and with the BARs not mapped.
. "$(dirname "$0")/lib.sh"
have qemu-system-x86_64 || { echo "SKIP: qemu-system-x86 is not installed"; exit 77; }
PATH=$PATH:/usr/sbin:/sbin # debugfs, modprobe
chmod 777 "$work"
AS=()
[ "${AS_USER:-0}" = 1 ] && AS=(setpriv --reuid=65534 --regid=65534 --clear-groups)

kernel=$(ls /boot/vmlinuz-*-cloud-amd64 2> /dev/null | sort -V | tail -1)
version=${kernel#/boot/vmlinuz-}
if [ -z "$kernel" ] || [ ! -r "$kernel" ] || [ ! -x /bin/busybox ] || ! have cpio ||
    ! have modprobe || ! have debugfs; then
    echo "SKIP: needs linux-image-cloud-amd64, busybox-static, cpio, kmod and e2fsprogs"
    exit 77
fi

mkdir -p initrd/bin initrd/proc initrd/sys initrd/dev initrd/mnt initrd/modules
cp /bin/busybox initrd/bin/
modules=""
for module in $(modprobe -S "$version" --show-depends virtio_pci 2> /dev/null |
    sed -n 's/^insmod //p') $(modprobe -S "$version" --show-depends virtio_blk 2> /dev/null |
    sed -n 's/^insmod //p'); do
    [ -e "initrd/modules/${module##*/}" ] && continue
    cp "$module" initrd/modules/
    modules="$modules ${module##*/}"
done
cat > initrd/init << INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
cd /modules; for m in$modules; do insmod \$m; done; cd /
i=0; while [ ! -b /dev/vda ] && [ \$i -lt 100 ]; do sleep 0.1; i=\$((i+1)); done
echo "SIZE \$(cat /sys/block/vda/size) \$(cat /sys/block/vda/serial)"
echo "FEATURES \$(cat /sys/block/vda/device/features)"
mke2fs /dev/vda > /dev/null; mount -t ext2 /dev/vda /mnt
dd if=/dev/urandom of=/mnt/file bs=1M count=8 2> /dev/null
sha256sum < /mnt/file; umount /mnt
grep virtio /proc/interrupts
echo 3 > /proc/sys/vm/drop_caches
mount -t ext2 /dev/vda /mnt; sha256sum < /mnt/file; umount /mnt
poweroff -f
INIT
chmod +x initrd/init
(cd initrd && find . | cpio -o -H newc 2> /dev/null | gzip -1) > initrd.gz
chmod 644 initrd.gz

# linux_guest DEVICE-KEYS KERNEL-PARAMETERS PATTERN-IN-/proc/interrupts BIT-34
linux_guest() {
    local sums
    rm -f disk.img && truncate -s 64M disk.img && chmod 666 disk.img || return 1
    timeout 120 "${AS[@]}" "$standin" run \
        --device "virtio-blk,addr=01:00.0,serial=guest,file=$PWD/disk.img$1" -- \
        qemu-system-x86_64 -M q35 -accel tcg -m 512 -nodefaults -no-reboot -display none \
        -serial stdio -device vfio-pci,host=0000:01:00.0 -kernel "$kernel" -initrd initrd.gz \
        -append "console=ttyS0 quiet $2" < /dev/null 2>&1 | tr -d '\r' > out
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
