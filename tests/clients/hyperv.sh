#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's hv_kvp_daemon, hv_vss_daemon and hv_fcopy_daemon under standin, and `standin kvp`, `vss`,
# `copy` and `hyperv` as their host.  The cases are those of LISAv2 for KVP, FCOPY and VSS that
# need no Windows, the checks of lisa's verify_kvp, and what is known of limits and failures.
. "$(dirname "$0")/lib.sh"
. "$tests/hyperv_guest.sh"

for daemon in kvp vss fcopy; do
    if [ ! -x /usr/sbin/hv_${daemon}_daemon ]; then
        echo "SKIP: /usr/sbin/hv_${daemon}_daemon is not installed (package hyperv-daemons)"
        exit 77
    fi
done

# hv_kvp_daemon writes records whose ends it has not set, and meson fills what malloc() gives.
unset MALLOC_PERTURB_

mac=
# start_daemon NAME [PATH]: in the guest, and its pid in $pid.
start_daemon() {
    inside "${2:-/usr/sbin/hv_${1}_daemon} -n 9>&- & echo \$!" > pid
    pid=$(cat pid)
}
# kill_daemon [SIGNAL]: and waits for its end.
kill_daemon() { inside "kill -${1:-KILL} $pid; wait $pid 2> /dev/null; true"; }

# ---- KVP ----

guest_start --hyperv --trace="$work/trace.txt"
start_daemon kvp
check "KVP: the daemon registers, and is found" kvp list --pool auto

# What lisa's verify_kvp looks at.
verify_kvp() {
    host_info || return 1
    [ "$(inside 'ls -A /var/lib/hyperv | grep -c "^\.kvp_pool_[0-4]$"')" = 5 ] || return 1
    [ "$(inside 'stat -c %a /var/lib/hyperv/.kvp_pool_* | sort -u')" = 644 ] || return 1
    [ "$(inside 'pgrep -f -x -c "/usr/sbin/hv_kvp_daemon -n"')" -ge 1 ] || return 1
    inside "ls -l /proc/$pid/fd" | grep -q -- '-> /dev/vmbus/hv_kvp$' || return 1
    [ "$(inside 'stat -c %s /var/lib/hyperv/.kvp_pool_3')" -ge $((11 * 2560)) ]
}
check "lisa's verify_kvp" verify_kvp
links() {
    inside "readlink /proc/$pid/fd/*" | grep -q '^/dev/vmbus/hv_kvp$' &&
        inside 'test -c /dev/vmbus/hv_kvp && stat -c %t:%A /dev/vmbus/hv_kvp' | grep -q '^a:crw-------' &&
        [ ! -e "/proc/$pid/root/var/lib/hyperv/.kvp_pool_0" ]
}
check "the device is a character device, its link has its name, and pools are the run's own" links

check "KVP-INTRINSIC, SQM-BASIC: what the guest says of itself" intrinsic

key_values() {
    kvp add EXAMPLE first && [ "$(kvp get EXAMPLE)" = first ] &&
        fails 'HV_INVALIDARG.*exists already' kvp add EXAMPLE again &&
        kvp edit EXAMPLE second && [ "$(kvp get EXAMPLE)" = second ] &&
        kvp set EXAMPLE third && [ "$(kvp list --pool external)" = "EXAMPLE	third" ] &&
        kvp delete EXAMPLE && [ -z "$(kvp list --pool external)" ]
}
check "KVP-KEY-VALUES-OPERATIONS: add, modify and delete" key_values
check "KVP-DELETE-NON-EXIST-KVP-ON-GUEST" fails 'HV_S_CONT (0x80070103)' kvp delete NONE
check "KVP-MODIFY-NON-EXIST-KVP-ON-GUEST" fails 'does not exist' kvp edit NONE value
check "a missing key can't be read" fails 'HV_S_CONT' kvp get NONE

# A program of the guest's writes a record of its own, as cloud-init does.
push() {
    inside "printf '%-512s%-2048s' PUSHED 'by the guest' | tr ' ' '\\000' >> /var/lib/hyperv/.kvp_pool_1" &&
        [ "$(kvp get --pool guest PUSHED)" = "by" ]
}
check "KVP-PUSH-KEY-VALUES: the host reads what the guest has written" push

pools() {
    for pool in external guest auto-external auto-internal 0; do
        kvp set --pool $pool "KEY-$pool" "of $pool" || return 1
        [ "$(kvp get --pool $pool "KEY-$pool")" = "of $pool" ] || return 1
    done
    kvp list --json > list.json && python3 - list.json << 'PYTHON'
import json, sys
pairs = json.load(open(sys.argv[1]))
assert {p['pool'] for p in pairs} == {0, 1, 2, 3, 4}, pairs
assert {'pool': 4, 'key': 'KEY-auto-internal', 'value': 'of auto-internal'} in pairs
PYTHON
}
check "all pools, and as JSON" pools

texts() {
    kvp set 'schlüssel-日本-😀' 'wert-é😀' && [ "$(kvp get 'schlüssel-日本-😀')" = 'wert-é😀' ] &&
        kvp set EMPTY '' && [ "$(kvp get EMPTY)" = '' ] &&
        kvp set -t dword D 4294967295 && [ "$(kvp get D)" = 4294967295 ] &&
        kvp set -t u64 Q 18446744073709551615 && [ "$(kvp get Q)" = 18446744073709551615 ] &&
        # What Windows calls a QWORD, Linux does not know.
        kvp set -t qword W 7 && [ "$(kvp get W)" = '' ] &&
        fails HV_INVALIDARG kvp set -t dword D 4294967296 && kvp clear &&
        [ -z "$(kvp list --pool external)" ]
}
check "names and values beyond ASCII, numbers, an empty value; clear" texts

# 1,022 times two bytes and once three: 2,047 bytes, as many as a record has room for.
longest() {
    local value
    value=$(python3 -c "print('é' * 1022 + '日')")
    kvp set LONG "$value" || return 1
    inside "dd if=/var/lib/hyperv/.kvp_pool_0 bs=512 skip=1 count=4 status=none | tr -d '\\000' | cmp - <(printf %s '$value') && echo same" |
        grep -q same || return 1
    # The way back has one character less.
    [ "$(kvp get LONG)" = "${value%?}" ] || return 1
    fails HV_INVALIDARG kvp set LONG "${value}é" && fails HV_INVALIDARG kvp set "$value" v
}
check "a value of 2,047 bytes" longest

for interface in /sys/class/net/*; do
    case $(cat "$interface/address" 2> /dev/null) in
    *:*:*:*:*:* | 00:00:00:00:00:00) mac=$(tr a-f A-F < "$interface/address") ;;
    esac
    [ "$mac" = 00:00:00:00:00:00 ] || break
done
addresses() {
    kvp ip get --ipv4 --ipv6 "$mac" --json > ip.json || return 1
    python3 -c "import json; a = json.load(open('ip.json')); assert a['family'] in ('both', 'ipv4', 'ipv6', 'none') and 'address' in a, a" &&
        fails HV_GUID_NOTFOUND kvp ip set --address 192.0.2.9 --netmask 255.255.255.0 '{00000000-0000-0000-0000-000000000000}'
}
if [ "${mac:-00:00:00:00:00:00}" != 00:00:00:00:00:00 ]; then
    check "addresses of an adapter; none has that name" addresses
else
    skip "addresses of an adapter" "this machine has none"
fi

max_read() {
    kvp clear || return 1
    inside "for i in \$(seq 250); do printf '%-512s%-2048s' key\$i value\$i; done | tr ' ' '\\000' >> /var/lib/hyperv/.kvp_pool_0" || return 1
    kvp list --pool external > list && [ "$(wc -l < list)" = 250 ] && [ "$(tail -1 list)" = "key250	value250" ]
}
check "KVP-MAX-READ: 250 entries" max_read
# The daemon reads the whole file for every request: a look at some is enough.
at_index() {
    local answer
    answer=$(kvp raw --size 7432 "03 00 0000 $(printf '%02x%02x0000' $(($1 % 256)) $(($1 / 256)))") || return 1
    case $2 in
    '') [ "${answer#status 0x80070103}" != "$answer" ] ;;
    *) echo "$answer" | grep -q "$(printf %s "$2" | sed 's/./&\x00/g' | od -An -tx1 -v | tr -d ' \n' | sed 's/5c783030/00/g')" ;;
    esac
}
many() {
    inside "for i in \$(seq 251 5000); do printf '%-512s%-2048s' key\$i value\$i; done | tr ' ' '\\000' >> /var/lib/hyperv/.kvp_pool_0" || return 1
    at_index 0 value1 && at_index 4999 value5000 && at_index 5000 '' &&
        kvp set key5000 changed && kvp set key5001 more && kvp delete key2500 &&
        at_index 2499 value2501 && at_index 4998 changed && at_index 4999 more && at_index 5000 ''
}
check "5,000 records" many
inside ': > /var/lib/hyperv/.kvp_pool_0'

concurrent() {
    local i
    for i in 1 2 3 4 5 6; do kvp set "both$i" "$i" & done
    wait %2 %3 %4 %5 %6 %7 2> /dev/null
    for i in 1 2 3 4 5 6; do [ "$(kvp get "both$i")" = "$i" ] || return 1; done
}
check "hosts at the same time" concurrent

raw() {
    kvp raw --type 2 --size 7432 '03 02 0000 05000000' | grep -q '^status 0x00000000 HV_S_OK type 2 flags 5 body 0302' &&
        fails 'does not answer' kvp raw --timeout 0.3 --type 9 00 &&
        fails 'does not answer' kvp raw --timeout 0.3 --packet 0102030405 &&
        kvp raw --no-negotiate --size 7432 '03 02 0000 63000000' | grep -q '^status 0x80070103 HV_S_CONT'
}
check "packets of any kind" raw

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

rescind() {
    for _ in $(seq 20); do
        host hyperv disable kvp || return 1
        inside "wait $pid; test ! -e /dev/vmbus/hv_kvp" || return 1
        host hyperv enable kvp || return 1
        start_daemon kvp
        kvp get ProcessorArchitecture > /dev/null || return 1
    done
}
check "KVP-TEST-RESCIND: 20 cycles" rescind
suspend() {
    host hyperv suspend && host hyperv status | grep -q 'kvp *suspended' &&
        fails 'suspended' kvp list && host hyperv resume && kvp get ProcessorArchitecture
}
check "suspend and resume" suspend
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

# ---- VSS ----

guest_start --hyperv
start_daemon vss
frozen() { host hyperv status | grep -q ' frozen '; }
freeze_thaw() {
    host vss freeze && { ! grep -q '^/dev/[^ ]* / ' /proc/mounts || frozen; } &&
        host vss freeze && host vss thaw && ! frozen && host vss thaw
}
check "VSS: freeze and thaw, twice each; no file system of the machine is touched" freeze_thaw
backup() {
    host vss backup -- sh -c 'echo the backup' > backup.out && grep -q 'the backup' backup.out && ! frozen &&
        { host vss backup -- sh -c 'exit 7'; [ $? = 7 ]; } && ! frozen &&
        fails 'not consistent' host vss backup --watchdog 0.2 -- sleep 20 && ! frozen
}
check "backup: freeze, the command, thaw; its status; the watchdog" backup
interrupted() {
    "${user[@]}" "$standin" vss --pid "$guest" backup -- sleep 20 &
    local host=$!
    sleep 0.5
    kill -TERM $host
    wait $host
    [ $? = 143 ] && ! frozen
}
check "a backup that is interrupted thaws" interrupted
reopened() {
    host vss freeze && host hyperv suspend && ! frozen || return 1
    host hyperv resume
    host vss thaw
}
check "suspended while frozen: the daemon thaws" reopened
change_vssd() {
    kill_daemon
    fails 'no program of the run' host vss --timeout 0.1 backup -- true || return 1
    start_daemon vss
    host vss backup -- true
}
check "VSS-CHANGE-HYPERVVSSD: no daemon, no backup" change_vssd
disable_vss() {
    host hyperv disable vss && fails 'no program of the run' host vss --timeout 0.1 freeze &&
        host hyperv enable vss && start_daemon vss && host vss backup -- true
}
check "VSS-DISABLE-ENABLE-VSS" disable_vss
guest_stop

# The daemon leaves loop devices alone, by what sysfs says of the name in /proc/mounts; so that name
# is one that is gone.
real_freeze() {
    truncate -s 16M "$work/disk.img" && mke2fs -q -t ext4 "$work/disk.img" || return 1
    loop=$(losetup -f --show "$work/disk.img") || return 1
    mkdir "$work/mnt"
    mknod /dev/standin-test-$$ b 7 "${loop#/dev/loop}" &&
        mount -t ext4 /dev/standin-test-$$ "$work/mnt"
    local status=$?
    rm -f /dev/standin-test-$$
    return $status
}
if [ ${#user[@]} = 0 ] && have losetup && have mke2fs && real_freeze > /dev/null 2>&1; then
    guest_start "--hyperv=freeze=$work/mnt"
    start_daemon vss
    really() {
        echo before > mnt/file && host vss freeze || return 1
        (echo during > mnt/file) &
        local writer=$!
        sleep 0.3
        [ "$(cat /proc/$writer/stat 2> /dev/null | awk '{print $3}')" = D ]
        local blocked=$?
        host vss thaw && wait $writer && [ $blocked = 0 ] && [ "$(cat mnt/file)" = during ]
    }
    check "VSS: a real ext4 is frozen and thawed" really
    killed() {
        host vss freeze && kill_daemon TERM
        fsfreeze -u mnt
    }
    check "what a daemon leaves frozen can be thawed" killed
    guest_stop
    umount mnt
    losetup -d "$loop"
else
    skip "VSS: a real ext4 is frozen and thawed" "no loop device can be mounted here"
fi

# ---- fcopy ----

guest_start --hyperv
start_daemon fcopy
mkdir to && chmod 777 to
copy() { host copy -q "$@"; }

sizes() {
    local size
    for size in 0 1 6143 6144 6145 12288 1000000; do
        head -c $size /dev/urandom > "file$size" && chmod 644 "file$size"
        copy "file$size" "$work/to/" && cmp "file$size" "to/file$size" || return 1
    done
}
check "FCOPY-BASIC, -NON-ASCII: 0, 1, 6,143, 6,144, 6,145 bytes and more, of any content" sizes
check "FCOPY-FILE-EXISTS" fails 'HV_ERROR_ALREADY_EXISTS (0x80070050)' copy file1 "$work/to/"
overwrite() { copy --force file6145 "$work/to/file1" && cmp file6145 to/file1; }
check "FCOPY-OVERWRITE: with --force" overwrite
large() {
    head -c 268435456 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2> /dev/null > large && chmod 644 large
    copy --json large "$work/to/" > copy.json && cmp large to/large || return 1
    rm -f large to/large
    python3 -c "import json; r = json.load(open('copy.json')); assert r['bytes'] == 268435456 and r['name'] == 'HV_S_OK', r"
}
check "FCOPY-LARGE-FILE: 256 MiB" large
repeated() {
    for _ in 1 2 3 4 5; do
        copy file1 "$work/to/again" && cmp file1 to/again && rm -f to/again || return 1
    done
}
check "FCOPY-REPEATED-DELETE" repeated
path_rules() {
    fails HV_E_FAIL copy file1 "$work/to/no/such/" || return 1
    copy --create-path file1 "$work/to/a/b/c/" && cmp file1 to/a/b/c/file1 &&
        copy file1 "$work/to/a/b/../b/up" && cmp file1 to/a/b/up &&
        fails HV_INVALIDARG copy file1 "$work/to/$(printf '%0300d' 1)" &&
        fails 'no absolute path' copy file1 relative
}
check "paths: missing, to be made, with .., too long" path_rules
names() { copy file1 "$work/to/übergröße-日本-😀" && cmp file1 "to/übergröße-日本-😀"; }
check "names beyond ASCII" names
negative() {
    fails HV_E_FAIL copy file1 /proc/ || return 1
    host hyperv disable fcopy
    fails 'no program of the run' copy --timeout 0.1 file1 "$work/to/off" || return 1
    host hyperv enable fcopy
    start_daemon fcopy
    copy file1 "$work/to/on"
}
check "FCOPY-NEGATIVE, -DISABLE-ENABLE: a place that takes no files, the service off and on" negative
half() {
    mkfifo half
    (head -c 20000 /dev/zero; sleep 0.5; kill_daemon > /dev/null) > half &
    fails 'HV_E_FAIL' copy half "$work/to/halved" || return 1
    wait $!
    # Again, and the host gives up: the daemon takes the file away.
    start_daemon fcopy
    (head -c 20000 /dev/zero; sleep 20) > half &
    local feeder=$!
    "${user[@]}" "$standin" copy -q --pid "$guest" half "$work/to/cancelled" &
    local copier=$!
    for _ in $(seq 200); do [ -s to/cancelled ] && break; sleep 0.02; done
    [ -s to/cancelled ] || return 1
    kill -INT $copier
    kill $feeder
    wait $copier
    [ $? = 130 ] && [ ! -e to/cancelled ]
}
check "a copy whose daemon is killed fails, one that is interrupted is taken back" half
guest_stop

# ---- newer daemons: from the kernel sources that Debian offers, unchanged ----

newest=
for archive in "${STANDIN_LINUX_SOURCE:-}" /usr/src/linux-source-*.tar.xz; do
    [ ! -e "$archive" ] || newest=$archive
done
build_newest() {
    case $newest in
    *.tar.xz) mkdir hv && tar xf "$newest" -C hv --wildcards --strip-components=3 '*/tools/hv/*' ;;
    *) cp -r "$newest/tools/hv" hv ;;
    esac &&
        cc -O1 -w -o hv/hv_kvp_daemon hv/hv_kvp_daemon.c &&
        cc -O1 -w -o hv/hv_fcopy_uio_daemon hv/hv_fcopy_uio_daemon.c hv/vmbus_bufring.c &&
        chmod -R a+rX hv
}
if [ -n "$newest" ] && have cc && build_newest > build.log 2>&1; then
    guest_start --hyperv=uio=on
    start_daemon kvp hv/hv_kvp_daemon
    newer_kvp() {
        kvp set new value && [ "$(kvp get new)" = value ] && kvp delete new &&
            [ "$(kvp get ProcessorArchitecture)" = "$(uname -m)" ]
    }
    check "hv_kvp_daemon of $(basename "$newest" .tar.xz)" newer_kvp
    start_daemon fcopy_uio hv/hv_fcopy_uio_daemon
    rm -rf to/* && head -c 5000000 /dev/urandom > file5000000 && chmod 644 file5000000
    newer_fcopy() {
        local size
        for size in 0 1 6144 6145 5000000; do
            copy "file$size" "$work/to/" && cmp "file$size" "to/file$size" || return 1
        done
        fails HV_ERROR_ALREADY_EXISTS copy file1 "$work/to/" &&
            fails HV_E_FAIL copy file1 "$work/to/no/such/" &&
            copy --create-path file1 "$work/to/a/b/" && cmp file1 to/a/b/file1 &&
            host hyperv status | grep -q 'fcopy *ready *3.0 *1.1'
    }
    check "hv_fcopy_uio_daemon, through the ring and around its end" newer_fcopy
    uio_killed() {
        kill_daemon
        fails 'no program of the run' copy --timeout 0.1 file1 "$work/to/b" || return 1
        start_daemon fcopy_uio hv/hv_fcopy_uio_daemon
        copy file1 "$work/to/b"
    }
    check "it is killed, and another comes" uio_killed
    guest_stop
else
    skip "newer daemons" "no linux-source package with tools/hv, or no compiler"
fi

finish
