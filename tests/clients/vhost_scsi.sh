#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's qemu-system-x86_64 with -device vhost-scsi-pci: SeaBIOS boots from a unit, and a
# Debian kernel's sd driver partitions one, keeps a file system on it, and meets units of 4 KiB
# blocks, read-only ones, and one that comes and goes while it runs.  sg3-utils and sdparm ask about them.
. "$(dirname "$0")/lib.sh"
. "$tests/guest.sh"
guest_needs debugfs
wwpn=naa.5001405000000001

seabios_boots() {
    as --32 -o boot.o "$tests/boot.S" &&
        ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o boot.img boot.o || return 1
    truncate -s 16M boot.img && chmod 666 boot.img
    run --vhost-scsi "wwpn=$wwpn,lun0=$work/boot.img" -- timeout 60 qemu-system-x86_64 -M pc \
        -accel tcg -m 256 -nodefaults -no-reboot -display none -serial stdio \
        -device isa-debug-exit,iobase=0x501,iosize=1 \
        -device vhost-scsi-pci,wwpn=$wwpn,bootindex=1 < /dev/null > out 2>&1
    cat out
    grep -aq 'the drive boots' out
}
if have as && have ld; then
    check "SeaBIOS boots from a unit, and the boot sector reads from it" seabios_boots
else
    skip "SeaBIOS boots from a unit" "binutils are not installed"
fi

# sg3-utils in the guest: the programs with their libraries.
tools=
mkdir -p initrd/bin initrd/lib64 initrd/lib/x86_64-linux-gnu initrd/usr/lib/x86_64-linux-gnu
if have sg_inq && have sdparm && have ldd; then
    for tool in sg_inq sg_vpd sg_luns sg_readcap sg_opcodes sg_persist sg_unmap sg_write_same \
        sg_modes sg_turs sg_requests sg_sync sg_verify sg_start sg_get_lba_status sdparm; do
        cp "$(command -v "$tool")" initrd/bin/ || exit 99
        tools=yes
    done
    for tool in initrd/bin/s[gd]*; do ldd "$tool"; done | grep -o '/[^ ]*' | sort -u |
        while read -r library; do cp -L "$library" "initrd$library"; done
fi

guest_initrd virtio_scsi virtio_pci sd_mod sg ext4 << 'INIT'
wait_for() { i=0; while ! eval "$1" && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done; }
# The order of names is not that of units: /dev/unitN is unit N.
name_units() {
    for q in /sys/block/sd*; do
        n=$(basename $(readlink $q/device)); n=${n##*:}
        ln -sf ${q##*/} /dev/unit$n
        [ ! -b /dev/${q##*/}1 ] || ln -sf ${q##*/}1 /dev/unit${n}p1
    done
}
block() { echo /sys/block/$(readlink /dev/unit$1); }
wait_for '[ -b /dev/sdd ]'
name_units
for n in 0 1 2 5; do
    q=$(block $n)
    echo "UNIT $(basename $(readlink $q/device) | cut -d: -f3-) $(cat $q/size) $(cat $q/queue/logical_block_size) $(cat $q/ro) $(cat $q/device/vendor) $(cat $q/device/model)"
done
printf 'n\np\n1\n\n\nw\n' | fdisk /dev/unit0 > /dev/null 2>&1
wait_for '[ -b /dev/$(readlink /dev/unit0)1 ]'
name_units
echo "PARTITION $(cat $(block 0)/sd?1/start) $(cat $(block 0)/sd?1/size)"
for d in unit0p1 unit1; do
    mke2fs -b 4096 /dev/$d > /dev/null; mount -t ext4 /dev/$d /mnt
    dd if=/dev/urandom of=/mnt/file bs=1M count=6 2> /dev/null
    echo "SUM $d $(sha256sum < /mnt/file)"
    umount /mnt; echo 3 > /proc/sys/vm/drop_caches
    mount -t ext4 /dev/$d /mnt; echo "SUM $d $(sha256sum < /mnt/file)"; umount /mnt
done
dd if=/dev/zero of=/dev/unit2 count=1 oflag=direct 2> /dev/null && echo "WRITTEN to what is read-only"
echo "READ $(dd if=/dev/unit2 bs=512 count=1 2> /dev/null | head -c 9)"
if [ -x /bin/sg_inq ]; then
    # What it says follows on lines that begin with ">".
    tool() { "$@" > /tmp/out 2>&1; echo "TOOL $? $*"; sed 's/^/> /' /tmp/out; }
    for page in sv sn di bl bdc lbpv; do tool sg_vpd -p $page /dev/unit0; done
    tool sg_inq /dev/unit0
    tool sg_luns /dev/unit0
    tool sg_readcap -l /dev/unit1
    tool sg_opcodes /dev/unit0
    tool sg_modes -a /dev/unit0
    tool sg_turs /dev/unit0
    tool sg_requests /dev/unit0
    tool sg_sync /dev/unit0
    tool sg_verify --lba=0 --count=8 /dev/unit0
    tool sdparm --clear=WCE /dev/unit5
    # Its status is that of asking for saved values, which the unit has none of.
    sdparm --get=WCE /dev/unit5 | sed 's/^/> /'
    tool sg_write_same --lba=0 --num=64 --unmap /dev/unit5
    not_zero() { dd if=/dev/unit5 bs=512 skip=64 count=64 iflag=direct 2> /dev/null | tr -d '\0' | wc -c; }
    dd if=/dev/urandom of=/dev/unit5 bs=512 seek=64 count=64 oflag=direct 2> /dev/null
    before=$(not_zero)
    tool sg_unmap --force --lba=64 --num=64 /dev/unit5
    [ $before -gt 30000 ] && echo "UNMAPPED, left: $(not_zero)"
    tool sg_get_lba_status --lba=0 /dev/unit5
    tool sg_persist --out --register --param-sark=0xabc /dev/unit5
    tool sg_persist --out --reserve --param-rk=0xabc --prout-type=5 /dev/unit5
    tool sg_persist --in --read-reservation /dev/unit5
    tool sg_persist --out --release --param-rk=0xabc --prout-type=5 /dev/unit5
    tool sg_persist --out --register --param-rk=0xabc --param-sark=0 /dev/unit5
    tool sg_persist --in --read-keys /dev/unit5
    tool sg_start --stop /dev/unit5
    dd if=/dev/unit5 of=/dev/null count=1 iflag=direct 2> /dev/null && echo "READ what is stopped"
    tool sg_start --start /dev/unit5
fi
echo "GUEST WAITS"
# QEMU does not offer its guests the feature of events, so they have to look.
rescan() { for h in /sys/class/scsi_host/host*/scan; do echo - - - > $h; done; [ -b /dev/sde ]; }
wait_for rescan
name_units
echo "CAME $(cat $(block 9)/size) $(dd if=/dev/unit9 bs=512 count=1 2> /dev/null | head -c 7)"
dd if=/dev/zero of=/dev/unit9 bs=1M count=1 oflag=direct 2> /dev/null && echo "WROTE"
wait_for '! dd if=/dev/unit9 of=/dev/null count=1 iflag=direct 2> /dev/null'
echo "GONE"
dd if=/dev/unit0 of=/dev/null bs=1M count=1 iflag=direct 2> /dev/null && echo "STILL THERE"
INIT

# What the host does meanwhile: a unit comes, and goes when the guest has written to it.
host() {
    until grep -q 'GUEST WAITS' guest.out 2> /dev/null; do sleep 0.1; done
    as_user "$standin" scsi add $wwpn "lun9=$work/late.img" && echo "added"
    until grep -q 'WROTE' guest.out 2> /dev/null; do sleep 0.1; done
    as_user "$standin" scsi list
    as_user "$standin" scsi remove $wwpn lun9 && echo "removed"
}

truncate -s 64M disk.img
truncate -s 32M blocks.img
{ echo read-only; head -c 1048566 /dev/zero; } > fixed.img
{ echo comes in; head -c 4194295 /dev/zero; } > late.img
chmod 666 ./*.img
chmod 444 fixed.img
host > host.out 2>&1 &
host=$!
run --vhost-scsi "wwpn=$wwpn,lun0=$work/disk.img,lun1=$work/blocks.img,lun1.blocksize=4096,lun2=$work/fixed.img,lun2.readonly=on,lun5.size=8M,lun5.product=in memory" \
    -- timeout 240 qemu-system-x86_64 -M pc -m 256 "${guest[@]}" \
    -append "$cmdline loglevel=0" \
    -device vhost-scsi-pci,wwpn=$wwpn < /dev/null > guest.out 2>&1
kill $host 2> /dev/null
wait $host 2> /dev/null
guest_output < guest.out > guest.txt
sed 's/^/    /' guest.txt host.out
same() { # UNIT: both sums are there and equal
    [ "$(grep -c "^SUM $1 [0-9a-f]\{64\}" guest.txt)" = 2 ] &&
        [ "$(grep "^SUM $1 " guest.txt | sort -u | wc -l)" = 1 ]
}
on_the_host() { # UNIT FILE OFFSET: the file's sum in the host's file is the guest's
    dd if="$2" of=part.img bs=512 skip="$3" status=none
    debugfs -R "dump /file dumped" part.img 2> /dev/null
    grep -q "^SUM $1 $(sha256sum < dumped | cut -d ' ' -f 1)" guest.txt
}
check "units of 512 and 4096 bytes, read-only, in memory" grep -c \
    -e '^UNIT 0:0 131072 512 0 STANDIN' -e '^UNIT 0:1 65536 4096 0 ' \
    -e '^UNIT 0:2 2048 512 1 ' -e '^UNIT 0:5 16384 512 0 STANDIN in memory' guest.txt
check "all four of them" test "$(grep -c '^UNIT' guest.txt)" = 4
check "a partition" grep -q '^PARTITION [0-9]* [0-9]*' guest.txt
check "a file system in the partition" same unit0p1
check "a file system on 4 KiB blocks" same unit1
check "the first is in the host's file" on_the_host unit0p1 disk.img \
    "$(sed -n 's/^PARTITION \([0-9]*\) .*/\1/p' guest.txt)"
check "and so is the second" on_the_host unit1 blocks.img 0
check "what is read-only can be read" grep -q '^READ read-only' guest.txt
check "and is not written" sh -c '! grep -q "^WRITTEN" guest.txt'
# says COMMAND PATTERN...: it succeeded in the guest, and said a line for each.
says() {
    local command="TOOL 0 $1" pattern
    shift
    awk -v command="$command" '
        /^[^>]/ { on = index($0, command) == 1; found += on }
        on
        END { exit !found }' guest.txt > said || { echo "no '$command'"; return 1; }
    for pattern; do
        grep -q -e "^> *$pattern" said || { echo "no '$pattern' in:"; cat said; return 1; }
    done
}
if [ "$tools" ]; then
    check "all of sg3-utils that was run succeeds" sh -c '! grep "^TOOL [^0]" guest.txt'
    check "sg_vpd: the pages" says 'sg_vpd -p sv' 'Unit serial' 'Device ident' 'Block limits' \
        'Block device char' 'Logical block prov'
    check "sg_vpd: the serial number" says 'sg_vpd -p sn' 'Unit serial number: 5001405000000001-0'
    check "sg_vpd: identification" says 'sg_vpd -p di' 'vendor id: STANDIN' '0x3[0-9a-f]\{15\}$' \
        '0x5001405000000001$' 'Relative target port: 0x1'
    check "sg_vpd: limits" says 'sg_vpd -p bl' 'Maximum unmap block descriptor count: 255' \
        'Optimal unmap granularity: 8 blocks'
    check "sg_vpd: characteristics" says 'sg_vpd -p bdc' 'Non-rotating medium'
    check "sg_vpd: provisioning" says 'sg_vpd -p lbpv' 'Unmap command supported (LBPU): 1' \
        'Provisioning type: 2'
    check "sg_inq" says 'sg_inq' '.*Peripheral device type: disk' 'Product identification: disk'
    check "sg_luns" says 'sg_luns' 'Lun list length = 32' 0000000000000000 0001000000000000 \
        0002000000000000 0005000000000000
    check "sg_readcap" says 'sg_readcap' 'Last LBA=8191 ' 'Logical block length=4096 '
    check "sg_opcodes" says 'sg_opcodes' '00 .*Test Unit Ready' '42 .*Unmap' \
        '5f *0 .*Persistent reserve out, register' 'a3 *c .*Report supported operation codes'
    check "sg_modes" says 'sg_modes' '.*WP=0, DpoFua=1' '>> Caching' '>> Control'
    check "sg_requests" says 'sg_requests' '.*Sense key: No Sense'
    check "sdparm switches the write cache off" grep -q '^> WCE *0 .*def: *1' guest.txt
    check "sg_unmap takes data away" grep -q '^UNMAPPED, left: 0$' guest.txt
    check "sg_get_lba_status" says 'sg_get_lba_status' '.*LBA: 0x0* *blocks: *16384 *deallocated'
    check "sg_persist reserves" says 'sg_persist --in --read-reservation' 'Key=0xabc' \
        '.*type: Write Exclusive, registrants only'
    check "and lets go" says 'sg_persist --in --read-keys' '.*there are NO registered'
    check "sg_start stops and starts" sh -c \
        'grep -q "^TOOL 0 sg_start --start" guest.txt && ! grep "^READ what is stopped" guest.txt'
else
    skip "sg3-utils and sdparm" "not installed"
fi
check "a unit comes while the guest runs" grep -q '^CAME 8192 comes i' guest.txt
check "what the guest writes to it is in its file" cmp -n 1048576 late.img /dev/zero
check "it is listed" grep -q "lun9=$work/late.img" host.out
check "it goes" grep -q '^GONE' guest.txt
check "the others stay" grep -q '^STILL THERE' guest.txt
finish
