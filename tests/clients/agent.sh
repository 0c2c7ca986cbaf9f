#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# `standin agent` as a guest under standin, with `standin kvp`, `vss`, `copy` and `hyperv` as
# its host: what the kernel's daemons do, too (hyperv_cases.sh), and what the agent does better.
# Nothing of the machine is frozen but file systems of the test's.
. "$(dirname "$0")/lib.sh"
. "$tests/hyperv_guest.sh"
. "$tests/hyperv_cases.sh"

# start_agent OPTION...: in the guest, pid in $pid; what it says in agent.log.
start_agent() {
    agent_options=$*
    inside "\"$standin\" agent $* 9>&- 2>> '$work/agent.log' & echo \$!" > pid
    pid=$(cat pid)
}
# end_agent [SIGNAL]: and waits for that; its status.
end_agent() { inside "kill -${1:-TERM} $pid; wait $pid 2> /dev/null; echo status \$?"; }
said() { grep -q -- "$1" agent.log; }
# For hyperv_cases.sh: the agent stays when a device goes, and its files are written a moment later.
program='standin"* agent'
kill_program() { end_agent "$1"; }
start_program() { start_agent $agent_options; }
revive() { true; }
kvp_empty() { kvp clear && [ -z "$(kvp list --pool external)" ]; }
# raw_kvp BYTES: a request in hexadecimal.
raw_kvp() { kvp raw --size 7432 "$1"; }
# utf16 TEXT: in hexadecimal, of ASCII.
utf16() { printf %s "$1" | sed 's/./&\x00/g' | od -An -tx1 -v | tr -d ' \n'; }

# ---- key-value pairs ----

guest_start --hyperv
start_agent --fcopy-root /
check "all three services register" within_time eval \
    '[ "$(host hyperv status | grep -c " ready ")" = 3 ]'
kvp_cases
vss_cases
fcopy_cases names
end_agent > /dev/null
start_agent --fcopy-root "$work/to"

computed() {
    kvp set --pool auto OSName mine && [ "$(kvp get --pool auto OSName)" != mine ] &&
        kvp delete --pool auto OSName
}
check "what the host writes to the pool that the guest computes is not seen" computed
# The kernel passes a Windows QWORD on without its value; the host gets to know.
qword() {
    kvp set -t u64 Q 1 && fails HV_ERROR_NOT_SUPPORTED kvp set -t qword Q 7 && [ "$(kvp get Q)" = 1 ]
}
check "a type that the kernel does not know" qword

# KVP_OP_GET, which hosts do without since the kernel's daemon answers it with nothing.
get() {
    kvp set WHOLE 'all of it' &&
        raw_kvp "00 00 0000 00000000 0c000000 00000000 $(utf16 WHOLE)" > answer &&
        grep -q "^status 0x00000000 .*$(utf16 'all of it')" answer &&
        raw_kvp "00 00 0000 00000000 0c000000 00000000 $(utf16 WHERE)" | grep -q HV_S_CONT
}
check "KVP_OP_GET" get

# As cloud-init does it, while the host changes the same pool.
cat > append.py << 'PYTHON'
import fcntl, sys
for i in range(int(sys.argv[2])):
    with open(sys.argv[1], 'ab') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        f.write(b'theirs-%d'.ljust(512, b'\0').replace(b'%d', b'%03d' % i)[:512])
        f.write((b'value-%03d' % i).ljust(2048, b'\0'))
        f.flush()
        fcntl.flock(f, fcntl.LOCK_UN)
PYTHON
meanwhile() {
    inside "python3 append.py /var/lib/hyperv/.kvp_pool_1 250 > append.log 2>&1 & echo" || return 1
    for i in $(seq 20); do kvp set --pool guest OURS "$i" || return 1; done
    within_time eval '[ "$(kvp list --pool guest | grep -c "^theirs-")" = 250 ]' &&
        [ "$(kvp get --pool guest OURS)" = 20 ]
}
if have python3; then
    check "KVP-PUSH-KEY-VALUES, -MAX-READ: 250 records from the guest, while the host writes, too" meanwhile
else
    skip "KVP-PUSH-KEY-VALUES, -MAX-READ" "there is no python3"
fi

# Addresses are set by a script, for an adapter that the agent alone sees.
cat > namespace.sh << 'NAMESPACE'
mount -t tmpfs none /sys/class/net && mkdir -p /sys/class/net/eth9/device &&
    echo 02:00:00:00:00:0a > /sys/class/net/eth9/address &&
    echo '{f8615163-df3e-46c5-913f-f2d2f965ed0e}' > /sys/class/net/eth9/device/device_id &&
    exec "$@"
NAMESPACE
mkdir scripts
cat > scripts/hv_set_ifconfig << 'SCRIPT'
#!/bin/sh
cd "$(dirname "$0")" && cat "$1" > ifcfg && cat "$2" > keyfile && [ ! -e fail ]
SCRIPT
chmod 755 scripts/hv_set_ifconfig
set_addresses() {
    local adapter='{f8615163-DF3E-46c5-913f-f2d2f965ed0e}' status
    end_agent > /dev/null
    inside "unshare -m sh namespace.sh \"$standin\" agent --no-vss --scripts '$work/scripts' 9>&- 2>> '$work/agent.log' & echo \$!" > pid
    pid=$(cat pid)
    kvp ip set "$adapter" --address 192.0.2.9 --netmask 255.255.255.0 --gateway 192.0.2.1 \
        --dns 192.0.2.53 && grep -q '^IPADDR0=192.0.2.9$' scripts/ifcfg &&
        grep -q '^address1=192.0.2.9/24$' scripts/keyfile &&
        grep -q '^HWADDR=02:00:00:00:00:0A$' scripts/ifcfg && touch scripts/fail &&
        fails HV_E_FAIL kvp ip set "$adapter" --address 192.0.2.9 --netmask 255.255.255.0 &&
        fails HV_INVALIDARG kvp ip set "$adapter" --address nonsense &&
        fails HV_GUID_NOTFOUND kvp ip set '{00000000-0000-0000-0000-000000000000}' &&
        kvp ip get 02:00:00:00:00:0A
    status=$?
    end_agent > /dev/null
    return $status
}
if [ ${#user[@]} = 0 ] && unshare -m true 2> /dev/null; then
    check "addresses are set by a script" set_addresses
    start_agent --fcopy-root "$work/to"
else
    skip "addresses are set by a script" "no mount namespace can be made here"
fi

# ---- what crashes the kernel's daemons ----

number() { printf '%02x%02x%02x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }
enumerate() { raw_kvp "03 $1 0000 $(number $2)"; }
hostile_kvp() {
    for pool in 05 09 28 ff; do
        enumerate $pool 0 | grep -q HV_INVALIDARG || return 1
    done
    for index in 0x7fffffff 0x80000000 0xffffffff; do
        enumerate 00 $index | grep -q HV_S_CONT || return 1
    done
    for operation in 06 64 ff; do
        raw_kvp "$operation 00 0000" | grep -q 'status 0x80' || return 1
    done
    kvp get ProcessorArchitecture && inside "kill -0 $pid"
}
check "pools and indices that crash the kernel's daemon" hostile_kvp
hostile_vss() {
    for operation in 02 05 05 06 06 06 07 08 81 ff; do
        host hyperv raw vss --size 12 "$operation" | grep -q status ||
            return 1
    done
    inside "kill -0 $pid" && host vss thaw
}
check "VSS operations in any order" hostile_vss

# ---- file copies ----

rm -rf to && mkdir to && chmod 777 to
partial() { find to -name '.standin-*' | grep -q .; }

copy file1 / && copy file6144 / || fail "a copy to the root"
keeps_mode() {
    [ "$(stat -c %a to/file6144)" = 744 ] && chmod 600 to/file1 && copy --force file6145 /file1 && cmp file6145 to/file1 &&
        [ "$(stat -c %a to/file1)" = 600 ]
}
check "a file that is replaced keeps its mode" keeps_mode
below() {
    copy --create-path file1 /a/b/c/ && cmp file1 to/a/b/c/file1 &&
        copy --create-path file1 /a/d/named && cmp file1 to/a/d/named &&
        fails HV_E_FAIL copy --force file1 /a/b
}
check "paths below a root, to be made with and without a slash; a directory" below
confined() {
    ln -s .. to/up && ln -s /etc to/etc && ln -s "$work/file1" to/link && ln -s a to/within
    for path in /../out /a/../../out /up/out /etc/out; do
        fails HV_E_FAIL copy --create-path --force file1 "$path" || return 1
    done
    fails HV_E_FAIL copy --force file6144 /link && [ "$(stat -c %s file1)" = 1 ] &&
        [ ! -e out ] && copy file1 /within/inner && cmp file1 to/a/inner
}
check "neither .. nor a link leads out" confined

# COMPLETE, CANCEL and WRITE of nothing, and a WRITE that says more than it has.
raw_fcopy() { host hyperv raw fcopy --size "$1" "$2"; }
hostile_fcopy() {
    local hole
    hole=$(printf '%064d' 0)
    for operation in 02 03 01 04 ff; do
        raw_fcopy 6196 "${operation}000000" | grep -q HV_E_FAIL || return 1
    done
    raw_fcopy 1088 "00000000 $hole $(utf16 raw)" | grep -q HV_S_OK || return 1
    for size in 01180000 401f0000 00000100 ffffffff; do
        raw_fcopy 6196 "01000000 $hole 00000000 0000000000000000 $size" |
            grep -q HV_INVALIDARG || return 1
    done
    raw_fcopy 36 03000000 | grep -q HV_S_OK && ! partial && inside "kill -0 $pid" &&
        inside "ls -l /proc/$pid/fd" | grep -q -- '-> /dev/vmbus/hv_fcopy$'
}
check "copies out of order, and sizes that lie" hostile_fcopy

# A host that stops in the middle, and an agent that does.
begin_copy() {
    rm -f half && mkfifo half
    (head -c 20000 /dev/zero; exec sleep 20) > half &
    feeder=$!
    "${user[@]}" "$standin" copy -q --pid "$guest" half "$1" > copy.out 2>&1 &
    copier=$!
    within_time partial
}
cancelled() {
    begin_copy /cancelled || return 1
    kill -INT $copier
    kill $feeder
    wait $copier
    [ $? = 130 ] && [ ! -e to/cancelled ] && within_time eval '! partial'
}
check "a copy that is cancelled leaves nothing" cancelled
ended() {
    begin_copy /ended || return 1
    end_agent TERM | grep -q 'status 0' || return 1
    kill $feeder
    wait $copier
    [ $? != 0 ] && ! partial && [ ! -e to/ended ]
}
check "nor does one whose agent is ended" ended
start_agent --fcopy-root "$work/to"
check "a new agent is found" copy file1 /anew

full() {
    mkdir small && mount -t tmpfs -o size=256k none small || return 77
    chmod 777 small
    end_agent > /dev/null
    start_agent --fcopy-root "$work/small"
    fails 'HV_ERROR_DISK_FULL (0x80070070)' copy file1000000 / && [ -z "$(ls -A small)" ] &&
        copy file6144 / && cmp file6144 small/file6144
    local status=$?
    end_agent > /dev/null
    umount small
    return $status
}
if [ ${#user[@]} = 0 ] && mkdir -p probe && mount -t tmpfs none probe 2> /dev/null; then
    umount probe
    check "a disk that is full" full
else
    skip "a disk that is full" "nothing can be mounted here"
    end_agent > /dev/null
fi

# What the agent opens must not become its standard error.
no_streams() {
    inside "\"$standin\" agent --fcopy-root '$work/to' --no-kvp --no-vss 0<&- 1>&- 2>&- 9>&- & echo \$!" > pid
    pid=$(cat pid)
    for file in file0 file1 file6144; do
        copy --force $file /a/ && cmp $file to/a/$file || return 1
    done
    end_agent | grep -q 'status 0'
}
check "without standard streams" no_streams

# ---- the device comes and goes ----

start_agent --fcopy-root "$work/to"
all_asleep() {
    host hyperv suspend && host hyperv resume && within_time kvp get ProcessorArchitecture &&
        within_time host vss backup -- true && copy --force file1 /on && inside "kill -0 $pid"
}
check "suspend and resume: it registers all again, and is the same" all_asleep
second() { inside "timeout 15 \"$standin\" agent --once; echo status \$?" | grep -q 'status 1'; }
check "a second agent that does not wait" second

# ---- backups ----

quiet() {
    host vss freeze && host vss freeze && kvp set WHILE frozen && [ "$(kvp get WHILE)" = frozen ] &&
        host vss thaw && ! frozen
}
check "VSS: key-value pairs while it is frozen" quiet
killed() {
    host vss freeze || return 1
    end_agent KILL > /dev/null
    within_time eval '! frozen' && start_agent --freeze-timeout 1 && host vss freeze &&
        within_time eval '! frozen' && fails HV_E_FAIL host vss thaw && host vss backup -- true
}
check "thawed when the agent is killed, and when the time is up" killed
end_agent > /dev/null
guest_stop

# ---- the channel itself, where there is no device of messages ----

guest_start --hyperv=uio=on
start_agent --fcopy-root /
fcopy_cases names
check "all of that on the ring of Linux 6.10 and later" said 'on the channel'
end_agent > /dev/null
rm -rf to && mkdir to && chmod 777 to
start_agent --fcopy-root "$work/to"
check "and a copy that is cancelled leaves nothing" cancelled
channel_again() {
    host hyperv suspend && host hyperv resume && within_time copy --force file1 /on &&
        host vss backup -- true && copy --force file1000000 /on && cmp file1000000 to/on &&
        inside "kill -0 $pid"
}
check "suspend and resume, and a backup" channel_again
end_agent > /dev/null
guest_stop

if [ ${#user[@]} = 0 ] && have losetup && have mke2fs && mount_real > real.log 2>&1; then
    guest_start "--hyperv=freeze=$work/mnt:$work/small:$work/readonly"
    start_agent --no-kvp --no-fcopy
    # Nothing is left frozen by an agent that ends, however that is.
    real_cases
    guest_stop
else
    skip "VSS: real file systems are frozen and thawed" "no loop device can be mounted here"
fi
umount_real
rm -rf mnt

real_mount() {
    truncate -s 16M disk.img && mke2fs -q -t ext4 disk.img && mkdir mnt &&
        mount -o loop disk.img mnt && chmod 777 mnt
}
if [ ${#user[@]} = 0 ] && have mke2fs && real_mount > /dev/null 2>&1; then
    echo "/dev/test $work/mnt ext4 rw 0 0" > mounts
    guest_start "--hyperv=freeze=$work/mnt"
    start_agent --mounts "$work/mounts" --directory "$work/mnt/pools" --fcopy-root "$work/mnt"
    # The agent's own files are on it, too.
    with_its_files() {
        kvp set BEFORE 1 && host vss freeze && kvp set DURING 2 && [ "$(kvp get DURING)" = 2 ] ||
            return 1
        (echo during > mnt/file) &
        local writer=$!
        within_time blocked $writer
        local status=$?
        host vss thaw && wait $writer && [ $status = 0 ] && [ "$(cat mnt/file)" = during ] &&
            within_time eval '[ "$(stat -c %s mnt/pools/.kvp_pool_0)" = 5120 ]'
    }
    check "VSS: a real ext4 with the agent's own files on it" with_its_files
    really_killed() {
        host vss freeze || return 1
        end_agent KILL > /dev/null
        timeout 10 touch mnt/thawed
    }
    check "and thawed when the agent is killed" really_killed
    fsfreeze -u mnt 2> /dev/null
    guest_stop
    umount mnt
else
    skip "VSS: a real ext4 is frozen and thawed" "no file system can be mounted here"
fi

# ---- the command ----

refused() {
    local status
    as_user "$standin" agent "$@" > refused.out 2>&1
    status=$?
    [ $status = 2 ] && [ "$(wc -l < refused.out)" = 1 ]
}
options() {
    refused --none && refused --freeze-timeout 0 && refused --directory && refused word &&
        refused --fcopy-root relative && refused --no-kvp --no-vss --no-fcopy &&
        as_user "$standin" agent --help | grep -q -- --fcopy-root
}
check "options" options
once() {
    as_user "$standin" agent --once --directory "$work/none" --mounts /dev/null --no-fcopy > once.out 2>&1
    [ $? = 1 ] && grep -q 'kvp: there is no such device' once.out
}
if [ -e /dev/vmbus/hv_kvp ]; then
    skip "a machine without the devices" "this one has them"
else
    mkdir none && chmod 777 none
    check "a machine without the devices" once
fi
static=$BUILD/src/agent/standin-agent-static
static_one() {
    cp "$static" agent-static && chmod 755 agent-static &&
        fails 'not a dynamic executable' env LC_ALL=C ldd agent-static &&
        as_user ./agent-static --help | grep -q -- --fcopy-root
}
if [ -x "$static" ]; then
    check "the static one" static_one
else
    skip "the static one" "it can't be built here"
fi

finish
