#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What ordinary programs see in /sys and /dev under standin: coreutils, find, Python and
# lspci, by the names that a real machine would show, with nothing of the private directory.
. "$(dirname "$0")/lib.sh"

bdf=0000:01:00.0
dev=/sys/bus/pci/devices/$bdf

# shows EXPECTED COMMAND...: the command's output under standin.
shows() {
    local want=$1
    shift
    got=$(run --device nvme,addr=01:00.0 --device edu,addr=02:00.0 -- "$@" 2>&1)
    [ "$got" = "$want" ] || { printf 'got %s, not %s\n' "$got" "$want"; return 1; }
}
# matches PATTERN COMMAND...
matches() {
    local pattern=$1
    shift
    run --device nvme,addr=01:00.0 --device edu,addr=02:00.0 -- "$@" > got 2>&1
    cat got
    grep -Eq "$pattern" got
}

check "cat vendor" shows 0x1b36 cat $dev/vendor
check "cat class" shows 0x010802 cat $dev/class
check "readlink iommu_group" shows ../../../../kernel/iommu_groups/0 readlink $dev/iommu_group
check "readlink driver" shows ../../../../bus/pci/drivers/vfio-pci readlink $dev/driver
check "basename of the group" shows 1 sh -c 'basename $(readlink -f /sys/bus/pci/devices/0000:02:00.0/iommu_group)'
check "a path with .. and //" shows 0x1b36 cat /sys//bus/pci/../pci/devices/./$bdf/vendor
check "relative to a directory" shows 0x1b36 sh -c "cd $dev && cat vendor"
check "pwd after cd through a link" shows "$dev" sh -c "cd $dev && pwd"
check "realpath gives the real name" matches "^/sys/devices/pci0000:00/0000:00:[0-9a-f]+\.[0-7]/$bdf\$" realpath $dev
check "pwd -P gives the real name" matches "^/sys/devices/pci0000:00/0000:00:[0-9a-f]+\.[0-7]/$bdf\$" sh -c "cd $dev && pwd -P"
check "what realpath gives can be read" shows 0x1b36 sh -c "cat \$(realpath $dev)/vendor"
check "ls of the nodes" shows "0
1
vfio" ls /dev/vfio
check "the container is a character device 10, 196" shows "character special file 10 196 666" \
    sh -c "stat -c '%F %Hr %Lr %a' /dev/vfio/vfio"
check "ls -l shows a character device" matches '^crw-rw-rw- .* 10, 196 ' ls -l /dev/vfio/vfio
check "test -c" shows yes sh -c '[ -c /dev/vfio/0 ] && echo yes'
check "there is no group 7" shows no sh -c '[ -e /dev/vfio/7 ] || echo no'
check "find in sysfs" matches "/sys/bus/pci/devices/$bdf\$" find /sys/bus/pci/devices -name $bdf
check "find -type f in the function's directory" matches "^./vendor\$" sh -c "cd $dev/ && find . -type f"
check "a glob" shows "/sys/kernel/iommu_groups/0/devices/$bdf" sh -c "echo /sys/kernel/iommu_groups/0/devices/*"
check "the size of config" shows 4096 stat -c %s $dev/config
check "od of config" matches '^0000000 +36 +1b +10 +00' od -A o -t x1 -N 16 $dev/config
check "modules" shows N cat /sys/module/vfio/parameters/enable_unsafe_noiommu_mode
check "memory regions of vhost" shows 64 cat /sys/module/vhost/parameters/max_mem_regions
check "a module for each vhost node" shows "/sys/module/vhost_net
/sys/module/vhost_scsi
/sys/module/vhost_vdpa
/sys/module/vhost_vsock" ls -d /sys/module/vhost_net /sys/module/vhost_scsi \
    /sys/module/vhost_vdpa /sys/module/vhost_vsock
check "DPDK's path to the address width" shows d2008c222f0286 cat $dev/iommu/intel-iommu/cap

has_python() { run -- python3 -c 'print(1)' > out 2>&1 && grep -q 1 out; }
if has_python; then
    check "Python's os.path.realpath and listdir" matches "^/sys/devices/pci0000:00/.*/$bdf True\$" python3 -c "
import os
print(os.path.realpath('$dev'), 'iommu_group' in os.listdir('$dev'))"
    check "Python's os.walk finds every group" shows "['0', '1']" python3 -c "
import os
print(sorted(next(os.walk('/sys/kernel/iommu_groups'))[1])[:2])"
fi

leaks_nothing() {
    run -- sh -c "
        for f in $dev $dev/iommu_group $dev/driver /sys/class/vfio/0 /dev/vfio/vfio; do
            realpath \$f; readlink -f \$f; (cd \$f 2> /dev/null && pwd -P && ls -l)
        done
        ls -lR /sys/kernel/iommu_groups /dev/vfio
        find /sys/bus/pci /sys/class/vfio -ls" > seen 2>&1
    [ -s seen ] || return 1
    ! grep -n 'standin\.' seen
}
check "nothing shows the private directory" leaks_nothing

the_machine_stays() {
    ls /sys/bus/pci/devices > alone 2> /dev/null || return 0
    run -- ls /sys/bus/pci/devices > under || return 1
    [ -z "$(comm -23 alone under)" ] && grep -q $bdf under
}
check "the machine's own functions stay visible" the_machine_stays
others_are_the_same() {
    ls /sys/class /sys/module /sys/block /sys/kernel > alone 2>&1
    run -- ls /sys/class /sys/module /sys/block /sys/kernel > under 2>&1
    diff alone under
}
check "directories that are not ours are the same" others_are_the_same

if have lspci; then
    check "lspci" matches "^$bdf Non-Volatile memory controller: .*NVM Express" lspci -D
    check "lspci -k" matches 'Kernel driver in use: vfio-pci' lspci -D -s $bdf -k
    check "lspci -t" matches '\[01\]----00.0' lspci -t
    check "lspci -vv reads capabilities" matches 'MSI-X: Enable- Count=' lspci -D -s $bdf -vv
else
    skip "lspci" "pciutils is not installed"
fi

without=$(run -- true 2>&1 && cat $dev/vendor 2>&1)
gone() { case $without in *"No such file"*) true ;; *) [ -e $dev ] ;; esac; }
check "outside, nothing changed" gone

finish
