#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's qemu-img and qemu-io, unmodified, on drives that standin provides, through
# QEMU's own user-space NVMe driver (block/nvme.c) over VFIO.
. "$(dirname "$0")/lib.sh"
have qemu-img || { echo "SKIP: qemu-utils is not installed"; exit 77; }

drive=nvme://0000:01:00.0/1
image=$work/disk.img
as_user truncate -s 64M "$image"
with_file() { run --device "nvme,addr=01:00.0,file=$image" -- "$@"; }

info_shows_the_size() {
    with_file qemu-img info $drive > info || return 1
    cat info
    grep -q 'virtual size: 64 MiB (67108864 bytes)' info
}
check "qemu-img info of a file-backed drive" info_shows_the_size

default_drive() {
    run -- qemu-img info $drive > info || return 1
    cat info
    grep -q 'virtual size: 64 MiB (67108864 bytes)' info
}
check "qemu-img info of the default drive" default_drive

there_and_back() {
    head -c 67108864 /dev/urandom > source.raw
    with_file qemu-img convert -n -f raw -O raw "$PWD/source.raw" $drive || return 1
    cmp source.raw "$image" || return 1
    with_file qemu-img convert -f raw -O raw $drive "$PWD/back.raw" || return 1
    cmp source.raw back.raw && rm back.raw
}
chmod 777 "$work"
check "qemu-img convert 64 MiB there and back, byte for byte" there_and_back

compare_images() { with_file qemu-img compare -f raw -F raw "$PWD/source.raw" $drive; }
check "qemu-img compare with the source" compare_images

qcow2_inside() {
    # A format driver above the drive: metadata at odd places, flushes, zero writes.
    with_file qemu-img create -q -f qcow2 $drive 32M 2>&1 | grep -q 'not support' && return 0
    as_user qemu-img create -q -f raw "$PWD/q.img" 64M || return 1
    run --device "nvme,file=$PWD/q.img" -- qemu-io -f raw -c 'write -z 0 1M' -c 'discard 1M 1M' \
        -c 'write -P 7 3M 64k' -c 'flush' -c 'read -P 0 0 1M' -c 'read -P 7 3M 64k' $drive
}
check "zero writes, discard and flush" qcow2_inside

# Offsets that QEMU has to align, sizes that cross pages and PRP lists.
for case in "512 512" "1536 4096" "4096 4096" "65024 131072" "1048576 1048576" "3145216 2097152" \
    "67104768 4096" "12345344 1049088"; do
    set -- $case
    pattern_at() {
        with_file qemu-io -f raw -c "write -P 0xa5 $1 $2" -c "read -P 0xa5 $1 $2" $drive > io 2>&1
        grep -q "wrote $2/$2" io && grep -q "read $2/$2" io && ! grep -qi 'verification failed' io &&
            cmp <(dd if="$image" iflag=skip_bytes,count_bytes skip="$1" count="$2" bs=64k status=none) \
                <(head -c "$2" /dev/zero | tr '\0' '\245')
    }
    check "qemu-io pattern write and verify, $2 bytes at $1" pattern_at "$1" "$2"
done

beyond_the_end() {
    ! with_file qemu-io -f raw -c 'read 67108864 512' $drive > io 2>&1 || ! grep -q 'read 512/512' io
}
check "a read beyond the end fails" beyond_the_end

for depth in 1 32; do
    check "qemu-img bench, 20000 reads at depth $depth" \
        with_file qemu-img bench -c 20000 -d $depth -s 4096 -S 69632 -f raw -t none $drive
    check "qemu-img bench, 5000 writes at depth $depth" \
        with_file qemu-img bench -w -c 5000 -d $depth -s 4096 -S 69632 -f raw -t none $drive
done

threads_backend() {
    run --device "nvme,file=$image,aio=threads" -- \
        qemu-io -f raw -c 'write -P 3 1M 1M' -c 'read -P 3 1M 1M' $drive
}
check "the threads backend" threads_backend

blocks_of_4096() {
    run --device "nvme,file=$image,blocksize=4096" -- \
        qemu-io -f raw -c 'write -P 9 4096 12288' -c 'read -P 9 4096 12288' $drive > io 2>&1
    cat io
    grep -q 'read 12288/12288' io && ! grep -qi 'verification failed' io
}
check "4096 byte blocks" blocks_of_4096

two_drives() {
    as_user truncate -s 16M "$PWD/a.img"
    as_user truncate -s 16M "$PWD/b.img"
    head -c 16777216 /dev/urandom > a.raw
    head -c 16777216 /dev/urandom > b.raw
    run --device "nvme,addr=01:00.0,file=$PWD/a.img" --device "nvme,addr=02:00.0,file=$PWD/b.img" -- \
        sh -c "qemu-img convert -n -f raw -O raw a.raw nvme://0000:01:00.0/1 & first=\$!
               qemu-img convert -n -f raw -O raw b.raw nvme://0000:02:00.0/1 && wait \$first" &&
        cmp a.raw a.img && cmp b.raw b.img
}
check "two processes, two drives at once" two_drives

one_process_two_drives() {
    run --device "nvme,addr=01:00.0,file=$PWD/a.img" --device "nvme,addr=02:00.0,file=$PWD/b.img" -- \
        qemu-img convert -n -f raw -O raw nvme://0000:01:00.0/1 nvme://0000:02:00.0/1 && cmp a.img b.img
}
check "one process copies from drive to drive" one_process_two_drives

busy_group() {
    # While one process has the group, another gets the kernel's EBUSY.
    run -- sh -c "(sleep 5; echo) | qemu-io -f raw $drive > /dev/null 2>&1 & sleep 1.5
                  qemu-img info $drive; status=\$?; wait; exit \$status" > busy 2>&1
    cat busy
    grep -q 'Device or resource busy' busy
}
check "a group in use by another process is busy" busy_group

memory_survives() {
    run -- sh -c "qemu-io -f raw -c 'write -P 0x42 8M 64k' $drive && qemu-io -f raw -c 'read -P 0x42 8M 64k' $drive" > io 2>&1
    cat io
    grep -q 'read 65536/65536' io && ! grep -qi 'verification failed' io
}
check "a memory drive keeps its data between processes of a run" memory_survives

killed() {
    as_user mkdir "$PWD/runtime" || return 1
    chmod 700 "$PWD/runtime"
    XDG_RUNTIME_DIR=$PWD/runtime run --device "nvme,file=$image" -- sh -c \
        "{ echo 'write -P 0x77 2M 1M'; echo flush; sleep 30; } | qemu-io -f raw $drive &
         sleep 2; ls $PWD/runtime > during; kill -KILL \$!; kill -KILL \$\$"
    [ $? = 137 ] || return 1
    cmp <(dd if="$image" bs=1M skip=2 count=1 status=none) <(head -c 1048576 /dev/zero | tr '\0' '\167') || return 1
    [ -s during ] && [ -z "$(ls runtime)" ]
}
check "SIGKILL: what was flushed is in the file, nothing is left behind" killed

trace_lines() {
    run --trace="$PWD/trace" --device "nvme,file=$image" -- qemu-img info $drive > /dev/null || return 1
    for line in 'VFIO_GET_API_VERSION.* = 0 <' 'VFIO_IOMMU_MAP_DMA.*iova=' 'VFIO_DEVICE_SET_IRQS' 'doorbell(' 'irq(0000:01:00.0, msix'; do
        grep -q "$line" trace || { echo "no line: $line"; return 1; }
    done
}
check "--trace decodes the calls, the doorbells and the interrupts" trace_lines

injected_fault() {
    ! run --fault 'VFIO_IOMMU_MAP_DMA:errno=ENOMEM,nth=1' -- qemu-img info $drive > out 2>&1 &&
        grep -q 'Cannot allocate memory' out
}
check "an injected fault reaches the client" injected_fault

read_error() {
    ! run --fault 'nvme.read:errno=EIO' -- qemu-io -f raw -c 'read 0 4096' $drive > out 2>&1 ||
        grep -q 'Input/output error' out
}
check "an injected media error is an I/O error of the client" read_error

if have valgrind; then
    valgrind_info() {
        # The emulator needs the registers as they are at the access, which memcheck does not
        # keep by default.  What it says of trapped pages (they look unmapped) is expected.
        run -- valgrind -q --vex-iropt-register-updates=allregs-at-mem-access \
            qemu-img info $drive > out 2>&1 || { tail -5 out; return 1; }
        grep -q 'virtual size: 64 MiB' out
    }
    check "qemu-img info under valgrind" valgrind_info
else
    skip "qemu-img info under valgrind" "valgrind is not installed"
fi
finish
