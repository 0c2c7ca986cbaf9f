#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's hv_kvp_daemon, hv_vss_daemon and hv_fcopy_daemon under standin, and `standin kvp`, `vss`,
# `copy` and `hyperv` as their host: what every guest does (hyperv_cases.sh), what becomes of
# requests when a daemon goes or is late, and what the commands say.
. "$(dirname "$0")/lib.sh"
. "$tests/hyperv_guest.sh"
. "$tests/hyperv_cases.sh"

for daemon in kvp vss fcopy; do
    if [ ! -x /usr/sbin/hv_${daemon}_daemon ]; then
        echo "SKIP: /usr/sbin/hv_${daemon}_daemon is not installed (package hyperv-daemons)"
        exit 77
    fi
done

# hv_kvp_daemon writes records whose ends it has not set, and meson fills what malloc() gives.
unset MALLOC_PERTURB_

# ---- KVP ----

guest_start --hyperv --trace="$work/trace.txt"
start_daemon kvp
kvp_cases

# What Windows calls a QWORD, Linux does not know.
qword() { kvp set -t qword W 7 && [ "$(kvp get W)" = '' ] && kvp delete W; }
check "a type that the kernel does not know" qword

raw() {
    kvp raw --type 2 --size 7432 '03 02 0000 05000000' | grep -q '^status 0x00000000 HV_S_OK type 2 flags 5 body 0302' &&
        fails 'does not answer' kvp raw --timeout 0.3 --type 9 00 &&
        fails 'does not answer' kvp raw --timeout 0.3 --packet 0102030405 &&
        kvp raw --no-negotiate --size 7432 '03 02 0000 63000000' | grep -q '^status 0x80070103 HV_S_CONT'
}
check "packets of any kind" raw

# What ends or crashes the daemon gets to it as through the kernel, for those who test their own.
hostile() {
    local message
    for message in '03 28 0000 00000000' '03 05 0000 00000000' '03 00 0000 00000080'; do
        fails HV_E_FAIL kvp raw --timeout 10 --size 7432 "$message" &&
            inside "wait $pid; test \$? != 0" && start_program || return 1
    done
    kvp get ProcessorArchitecture
}
check "pools and indices that are the end of the daemon, and of its host's request" hostile

traced() {
    grep -q 'write([0-9]*<hv_kvp>, {REGISTER1}, 7432) = 7432' trace.txt &&
        grep -q 'read([0-9]*<hv_kvp>, {SET, pool=0, key="EXAMPLE", value="first"}, 7432) = 7432' trace.txt &&
        grep -q 'write([0-9]*<hv_kvp>, {HV_S_OK, key="EXAMPLE", value="first"}, 7432) = 7432' trace.txt &&
        grep -q 'write([0-9]*<hv_kvp>, {HV_S_CONT}, 7432) = 7432' trace.txt
}
check "the trace has requests, statuses, keys and values" traced

# ---- the daemon goes, in every state ----

# A request that the daemon is long about: it asks `ip`, and this one does not answer for a while.
mkdir bin && printf '#!/bin/sh\nwhile [ -e %s/slow ]; do sleep 0.05; done\n' "$work" > bin/ip &&
    chmod -R a+rx bin
touch slow
pending() {
    local happens=$1 status
    kvp ip get --timeout 20 "$mac" > pending.out 2>&1 &
    status=$!
    for _ in $(seq 200); do
        host hyperv status | grep -q 'kvp *asked' && break
        sleep 0.02
    done
    $happens
    wait $status
    status=$?
    cat pending.out
    [ $status = 1 ] && grep -q 'HV_E_FAIL' pending.out
}
if [ "${mac:-00:00:00:00:00:00}" != 00:00:00:00:00:00 ]; then
    kill_daemon
    inside "PATH=$work/bin:\$PATH"
    start_daemon kvp
    check "a request to a daemon that is killed ends in HV_E_FAIL" pending kill_daemon
    start_daemon kvp
    check "one that ends by SIGTERM meanwhile" pending 'kill_daemon TERM'
    start_daemon kvp
    waiting() {
        kvp get --timeout 20 OSName > waiting.out 2>&1 &
        local waiting=$!
        sleep 0.1
        kill_daemon
        wait $waiting
        grep -q HV_E_FAIL waiting.out
    }
    check "one that has not been taken yet" pending waiting
else
    kill_daemon
fi
fails 'no program of the run' kvp --timeout 0.1 list > /dev/null && ok "then there is no guest" ||
    fail "then there is no guest"
start_daemon kvp
check "a new daemon is found" kvp get ProcessorArchitecture
# A request that comes before its time is answered later.
early() {
    kill_daemon
    kvp get --timeout 20 ProcessorArchitecture > early.out 2>&1 &
    local early=$!
    sleep 0.1
    start_daemon kvp
    wait $early && grep -q "$(uname -m)" early.out
}
check "a host that asks before there is a daemon waits" early
second() { inside 'timeout 5 /usr/sbin/hv_kvp_daemon -n; echo status $?' | grep -q 'status 1'; }
check "a second daemon ends: the device is open once" second

guest_stop

# 0.6 s instead of 30 s.
late() {
    guest_start --hyperv=timeouts=0.02
    inside "PATH=$work/bin:\$PATH"
    start_daemon kvp
    kvp get ProcessorArchitecture || return 1
    fails 'HV_E_FAIL.*failed, or did not answer' kvp ip get --timeout 20 "$mac" || return 1
    # Its late reply is refused with EINVAL, and it opens the device again; or it is taken for the
    # reply to the next request, as the kernel takes it.
    rm slow
    for _ in $(seq 20); do
        [ "$(kvp get --timeout 20 ProcessorArchitecture)" = "$(uname -m)" ] && return 0
        sleep 0.2
    done
    return 1
}
[ "${mac:-00:00:00:00:00:00}" = 00:00:00:00:00:00 ] ||
    check "a daemon that is too late: HV_E_FAIL, and it recovers" late
[ -z "$guest" ] || guest_stop

# ---- the commands ----

guest_start --hyperv
start_daemon kvp
# job COMMAND...: the status, its name and the number of the job that Windows would show.
job() {
    host "$@" --json > job.json
    python3 -c "import json; r = json.load(open('job.json')); print(r['status'], r['name'], r['job'])"
}
jobs_of() {
    [ "$(job kvp set a b)" = '0x00000000 HV_S_OK 0' ] &&
        [ "$(job kvp delete NONE)" = '0x80070103 HV_S_CONT 32773' ] &&
        [ "$(job kvp edit NONE b)" = '0x80070057 HV_INVALIDARG 32773' ] &&
        [ "$(job kvp add a b)" = '0x80070057 HV_INVALIDARG 32773' ] &&
        [ "$(job kvp set -t dword a x)" = '0x80070057 HV_INVALIDARG 32773' ] &&
        [ "$(job kvp ip set '{0}' --address 1.2.3.4)" = '0x80041002 HV_GUID_NOTFOUND 32779' ] &&
        [ "$(job vss freeze --timeout 0)" = '0x8007048f HV_ERROR_DEVICE_NOT_CONNECTED 32777' ] &&
        [ "$(job kvp raw --timeout 0.2 --type 9 00)" = '0x80004005 HV_E_FAIL 32772' ]
}
check "statuses and the numbers of Windows' jobs, as JSON" jobs_of
status_json() {
    host hyperv status --json > status.json && python3 - "$guest" "$pid" << 'PYTHON'
import json, sys
rows = json.load(open('status.json'))
assert len(rows) == 1, rows
row = rows[0]
assert (row['run'], row['pid']) == (int(sys.argv[1]), int(sys.argv[2])), row
assert (row['service'], row['state'], row['registered']) == ('kvp', 'ready', 100), row
assert (row['framework'], row['version']) == ('3.0', '4.0') and row['requests'] > 0, row
PYTHON
}
check "status, as JSON" status_json
libhvee() {
    python3 -c "print('{\"ignition\": \"' + 'é' * 1500 + '\"}', end='')" > config.ign && chmod 644 config.ign &&
        kvp add-ign config.ign && fails 'exists already' kvp add-ign config.ign &&
        [ "$(for i in 0 1 2 3; do kvp get ignition.config.$i; done | tr -d '\n')" = "$(cat config.ign)" ] &&
        fails HV_S_CONT kvp get ignition.config.4 &&
        kvp put one 1 && kvp put two 2 && [ "$(kvp get --pool external | grep -c '^one	1$\|^two	2$')" = 2 ] &&
        kvp rm one two && fails HV_S_CONT kvp rm one && kvp clear && [ -z "$(kvp get --pool external)" ]
}
check "the words of libhvee's kvpctl" libhvee
openvmm() {
    kvp --timeout 3 set --pool guest KEY -t string value && kvp set --pool auto-external N -t dword 7 &&
        [ "$(kvp enum --pool guest)" = "KEY	value" ] && [ "$(kvp enum --pool auto-external)" = "N	7" ]
}
check "the words of OpenVMM's kvp" openvmm
guest_stop
guest_start --hyperv
start_daemon fcopy
mkdir -p to && chmod 777 to
bar() {
    head -c 3000000 /dev/urandom > file3000000 && chmod 644 file3000000
    as_user script -qec "'$standin' copy --pid $guest file3000000 $work/to/bar" /dev/null > bar.out < /dev/null &&
        cmp file3000000 to/bar && grep -q '^.*\[########################################\] 100%  2.9 MiB  [0-9.]* MiB/s' bar.out
}
if have script; then
    check "a progress bar on a terminal" bar
else
    skip "a progress bar on a terminal" "script is not here"
fi
guest_stop

# ---- VSS ----

guest_start --hyperv
start_daemon vss
vss_cases
# The host's request, and then the state that the daemon believes in, outlive it.
killed_frozen() {
    host vss freeze && kill_daemon && start_daemon vss && host vss thaw && ! frozen
}
check "a daemon that is killed while all is frozen, and another that thaws" killed_frozen
guest_stop

if [ ${#user[@]} = 0 ] && have losetup && have mke2fs && mount_real > real.log 2>&1; then
    guest_start "--hyperv=freeze=$work/mnt:$work/small:$work/readonly"
    start_daemon vss
    real_cases
    guest_stop
else
    skip "VSS: real file systems are frozen and thawed" "no loop device can be mounted here"
fi
umount_real

# ---- fcopy ----

guest_start --hyperv
start_daemon fcopy
# It closes descriptor 0, by mistake; and so that is what it gets.
lowest() { inside "readlink /proc/$pid/fd/0" | grep -qx /dev/vmbus/hv_fcopy; }
check "FCOPY: the device is opened as the lowest descriptor that is free" within_time lowest
fcopy_cases names
# The host gives up: the daemon takes the file away.
cancelled() {
    rm -f half && mkfifo half && chmod 644 half
    (head -c 20000 /dev/zero; sleep 20) > half &
    local feeder=$!
    "${user[@]}" "$standin" copy -q --pid "$guest" half "$work/to/cancelled" &
    local copier=$!
    within_time test -s to/cancelled || return 1
    kill -INT $copier
    kill $feeder
    wait $copier
    [ $? = 130 ] && [ ! -e to/cancelled ]
}
check "a copy that is interrupted is taken back" cancelled
# A COMPLETE of nothing has the daemon close its descriptor 0, which is the device.
out_of_order() {
    kill_program KILL && start_program &&
        host hyperv raw fcopy --timeout 10 --size 36 02000000 | grep -q HV_E_FAIL &&
        copy --force file1 "$work/to/after" && cmp file1 to/after
}
check "a COMPLETE before a START, for which the daemon closes the device" out_of_order
guest_stop

# ---- a daemon that waits in all the ways there are ----

cp "$BUILD/tests/clients/hyperv-waits" .
guest_start --hyperv
inside "./hyperv-waits 100 > waited 2>&1 & echo \$!" > pid
all_ways() {
    # More than it answers: the last one finds nobody.
    fails HV_E_FAIL kvp raw --size 7432 --count 2000 '03 00 0000 00000000'
    grep -qx 'done' waited
}
check "read, poll, select, epoll, another thread and a child: each hears of every message" all_ways
guest_stop

finish
