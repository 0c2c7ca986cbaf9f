# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# A Linux guest for QEMU: Debian's cloud kernel with an initramfs of busybox, the modules
# asked for and a script.  To be sourced after lib.sh,
# from "$tests/guest.sh".
#
#	guest_needs [COMMAND...]       the test is skipped if something is missing
#	guest_initrd MODULE... < BODY  makes initrd.gz; BODY runs in the guest as shell, with
#	                               /proc, /sys, /dev there and the modules loaded.
#	                               What lies in ./initrd before becomes part of it.
#	"${guest[@]}"                  the options of qemu-system-x86_64 that boot it, console
#	                               on the standard output, without any device; a later
#	                               -append takes the place of the first and begins with
#	                               $cmdline
#	guest_output < OUTPUT          without carriage returns
PATH=$PATH:/usr/sbin:/sbin
kernel=$(ls /boot/vmlinuz-*-cloud-amd64 2> /dev/null | sort -V | tail -1)

guest_needs() {
    local command missing=
    for command in qemu-system-x86_64 cpio modprobe "$@"; do
        have "$command" || missing="$missing $command"
    done
    [ -r "$kernel" ] || missing="$missing linux-image-cloud-amd64"
    [ -x /bin/busybox ] || missing="$missing busybox-static"
    [ -z "$missing" ] || { echo "SKIP: not installed:$missing"; exit 77; }
}

guest_initrd() {
    local word file module n=0
    rm -rf initrd/modules
    mkdir -p initrd/{bin,proc,sys,dev,mnt,tmp,modules}
    cp /bin/busybox initrd/bin/
    for module in "$@"; do
        modprobe -S "${kernel#/boot/vmlinuz-}" --show-depends "$module" || return 1
    done > depends
    awk '!seen[$2]++' depends > depends.once
    while read -r word file _; do
        [ "$word" = insmod ] || continue
        n=$((n + 1))
        case $file in
        *.xz) xz -dc "$file" ;;
        *.zst) zstd -dcq "$file" ;;
        *) cat "$file" ;;
        esac > "initrd/modules/$(printf %02d $n).ko"
    done < depends.once
    {
        cat << 'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
for m in /modules/*.ko; do insmod $m 2> /dev/null; done
INIT
        cat
        echo 'poweroff -f'
    } > initrd/init
    chmod +x initrd/init
    (cd initrd && find . | cpio -o -H newc 2> /dev/null | gzip -1) > initrd.gz
    chmod 644 initrd.gz
}

# Without the kernel's test of its timer, which fails if the machine is too busy to deliver ten
# interrupts in time; and a panic ends QEMU.
cmdline="console=ttyS0 quiet no_timer_check panic=-1"
guest=(-accel tcg -nodefaults -no-reboot -display none -serial stdio -kernel "$kernel"
    -initrd initrd.gz -append "$cmdline")

guest_output() { tr -d '\r'; }
