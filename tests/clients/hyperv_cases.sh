# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What every guest of a Hyper-V host does, the kernel's daemons and the agent alike: the cases of
# LISAv2 for KVP, FCOPY and VSS that need no Windows, the checks of lisa's verify_kvp, and limits.
# After hyperv_guest.sh.  A script that has the guest running says kvp_cases, fcopy_cases and
# vss_cases, and tells of it:
#
#   $program            its command line, as pgrep -f sees it, a regular expression
#   $pid                of its process in the guest
#   revive              makes sure that it is there when its device has been away
#   kill_program SIGNAL ends it and waits for that
#   start_program       and starts it again; both for the service under test

mac=
for interface in /sys/class/net/*; do
    case $(cat "$interface/address" 2> /dev/null) in
    *:*:*:*:*:* | 00:00:00:00:00:00) mac=$(tr a-f A-F < "$interface/address") ;;
    esac
    [ "$mac" = 00:00:00:00:00:00 ] || break
done
# There is an adapter with an address.
has_adapter() { [ "${mac:-00:00:00:00:00:00}" != 00:00:00:00:00:00 ]; }

# Of losing the device: as many as LISAv2 has, once.
cycles=20
[ ${#user[@]} = 0 ] || cycles=5

# ---- KVP ----

pool_size() { inside "stat -c %s /var/lib/hyperv/.kvp_pool_$1"; }
pool_has() { [ "$(pool_size "$1")" -ge $(($2 * 2560)) ]; }

# What lisa's verify_kvp looks at.
verify_kvp() {
    host_info || return 1
    [ "$(inside 'ls -A /var/lib/hyperv | grep -c "^\.kvp_pool_[0-4]$"')" = 5 ] &&
        [ "$(inside 'stat -c %a /var/lib/hyperv/.kvp_pool_* | sort -u')" = 644 ] &&
        [ "$(inside "pgrep -f -c -- '$program'")" -ge 1 ] &&
        inside "ls -l /proc/$pid/fd" | grep -q -- '-> /dev/vmbus/hv_kvp$' &&
        within_time pool_has 3 11
}
links() {
    inside "readlink /proc/$pid/fd/*" | grep -q '^/dev/vmbus/hv_kvp$' &&
        inside 'test -c /dev/vmbus/hv_kvp && stat -c %t:%A /dev/vmbus/hv_kvp' | grep -q '^a:crw-------' &&
        [ ! -e "/proc/$pid/root/var/lib/hyperv/.kvp_pool_0" ]
}
key_values() {
    kvp add EXAMPLE first && [ "$(kvp get EXAMPLE)" = first ] &&
        fails 'HV_INVALIDARG.*exists already' kvp add EXAMPLE again &&
        kvp edit EXAMPLE second && [ "$(kvp get EXAMPLE)" = second ] &&
        kvp set EXAMPLE third && [ "$(kvp list --pool external)" = "EXAMPLE	third" ] &&
        kvp delete EXAMPLE && [ -z "$(kvp list --pool external)" ]
}

# A program of the guest's writes a record of its own, as cloud-init does.
push() {
    inside "printf '%-512s%-2048s' PUSHED 'by the guest' | tr ' ' '\\000' >> /var/lib/hyperv/.kvp_pool_1" &&
        [ "$(kvp get --pool guest PUSHED)" = "by" ]
}
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
texts() {
    kvp set 'schlüssel-日本-😀' 'wert-é😀' && [ "$(kvp get 'schlüssel-日本-😀')" = 'wert-é😀' ] &&
        kvp set EMPTY '' && [ "$(kvp get EMPTY)" = '' ] &&
        kvp set -t dword D 4294967295 && [ "$(kvp get D)" = 4294967295 ] &&
        kvp set -t u64 Q 18446744073709551615 && [ "$(kvp get Q)" = 18446744073709551615 ] &&
        fails HV_INVALIDARG kvp set -t dword D 4294967296 && kvp clear &&
        [ -z "$(kvp list --pool external)" ]
}

# 1,022 times two bytes and once three: 2,047 bytes, as many as a record has room for.
in_file() {
    inside "dd if=/var/lib/hyperv/.kvp_pool_0 bs=512 skip=1 count=4 status=none | tr -d '\\000' | cmp - '$work/value' && echo same" |
        grep -q same
}
longest() {
    local value
    value=$(python3 -c "print('é' * 1022 + '日')")
    printf %s "$value" > value && chmod 644 value
    kvp set LONG "$value" && within_time in_file || return 1
    # The way back has one character less.
    [ "$(kvp get LONG)" = "${value%?}" ] || return 1
    fails HV_INVALIDARG kvp set LONG "${value}é" && fails HV_INVALIDARG kvp set "$value" v
}
addresses() {
    kvp ip get --ipv4 --ipv6 "$mac" --json > ip.json || return 1
    python3 -c "import json; a = json.load(open('ip.json')); assert a['family'] in ('both', 'ipv4', 'ipv6', 'none') and 'address' in a, a" &&
        fails HV_GUID_NOTFOUND kvp ip set --address 192.0.2.9 --netmask 255.255.255.0 '{00000000-0000-0000-0000-000000000000}'
}

# append FIRST LAST: records key1 and so on, from the guest.
append() {
    inside "for i in \$(seq $1 $2); do printf '%-512s%-2048s' key\$i value\$i; done | tr ' ' '\\000' >> /var/lib/hyperv/.kvp_pool_0"
}
max_read() {
    kvp clear && within_time eval '[ "$(pool_size 0)" = 0 ]' && append 1 250 || return 1
    kvp list --pool external > list && [ "$(wc -l < list)" = 250 ] && [ "$(tail -1 list)" = "key250	value250" ]
}
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
    append 251 5000 && at_index 0 value1 && at_index 4999 value5000 && at_index 5000 '' &&
        kvp set key5000 changed && kvp set key5001 more && kvp delete key2500 &&
        at_index 2499 value2501 && at_index 4998 changed && at_index 4999 more && at_index 5000 ''
}
kvp_empty() {
    inside ': > /var/lib/hyperv/.kvp_pool_0' && [ -z "$(kvp list --pool external)" ]
}
concurrent() {
    local i
    for i in 1 2 3 4 5 6; do kvp set "both$i" "$i" & done
    wait %2 %3 %4 %5 %6 %7 2> /dev/null
    for i in 1 2 3 4 5 6; do [ "$(kvp get "both$i")" = "$i" ] || return 1; done
}
rescind() {
    for _ in $(seq $cycles); do
        host hyperv disable kvp && inside 'test ! -e /dev/vmbus/hv_kvp' || return 1
        host hyperv enable kvp && revive kvp && kvp get ProcessorArchitecture > /dev/null || return 1
    done
}
suspend() {
    host hyperv suspend && host hyperv status | grep -q 'kvp *suspended' &&
        fails 'suspended' kvp list && host hyperv resume && kvp get ProcessorArchitecture
}

kvp_cases() {
    check "KVP: it registers, and is found" kvp list --pool auto
    check "KVP-BASIC-CHECKS, and lisa's verify_kvp" verify_kvp
    check "the device is a character device, its link has its name, and pools are the run's own" links
    check "KVP-INTRINSIC, SQM-BASIC: what the guest says of itself" intrinsic
    check "KVP-KEY-VALUES-OPERATIONS: add, modify and delete" key_values
    check "KVP-DELETE-NON-EXIST-KVP-ON-GUEST" fails 'HV_S_CONT (0x80070103)' kvp delete NONE
    check "KVP-MODIFY-NON-EXIST-KVP-ON-GUEST" fails 'does not exist' kvp edit NONE value
    check "a missing key can't be read" fails 'HV_S_CONT' kvp get NONE
    check "KVP-PUSH-KEY-VALUES: the host reads what the guest has written" push
    check "all pools, and as JSON" pools
    check "names and values beyond ASCII, numbers, an empty value; clear" texts
    check "a value of 2,047 bytes" longest
    if has_adapter; then
        check "addresses of an adapter; none has that name" addresses
    else
        skip "addresses of an adapter" "this machine has none"
    fi
    check "KVP-MAX-READ: 250 entries" max_read
    check "5,000 records" many
    check "everything is taken away" kvp_empty
    check "hosts at the same time" concurrent
    check "KVP-TEST-RESCIND: $cycles cycles" rescind
    check "suspend and resume" suspend
}

# ---- fcopy ----

copy() { host copy -q "$@"; }

sizes() {
    local size
    for size in 0 1 6143 6144 6145 12288 1000000; do
        head -c $size /dev/urandom > "file$size" && chmod 644 "file$size"
        copy "file$size" "$work/to/" && cmp "file$size" "to/file$size" || return 1
    done
}
overwrite() { copy --force file6145 "$work/to/file1" && cmp file6145 to/file1; }
large() {
    head -c 268435456 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2> /dev/null > large && chmod 644 large
    copy --json large "$work/to/" > copy.json && cmp large to/large || return 1
    rm -f large to/large
    python3 -c "import json; r = json.load(open('copy.json')); assert r['bytes'] == 268435456 and r['name'] == 'HV_S_OK', r"
}
repeated() {
    for _ in 1 2 3 4 5; do
        copy file1 "$work/to/again" && cmp file1 to/again && rm -f to/again || return 1
    done
}
path_rules() {
    fails HV_E_FAIL copy file1 "$work/to/no/such/" || return 1
    copy --create-path file1 "$work/to/a/b/c/" && cmp file1 to/a/b/c/file1 &&
        copy file1 "$work/to/a/b/../b/up" && cmp file1 to/a/b/up &&
        fails HV_INVALIDARG copy file1 "$work/to/$(printf '%0300d' 1)" &&
        fails 'no absolute path' copy file1 relative
}
names() { copy file1 "$work/to/übergröße-日本-😀" && cmp file1 "to/übergröße-日本-😀"; }
negative() {
    fails HV_E_FAIL copy file1 /proc/ && kill_program KILL &&
        fails 'no program of the run' copy --timeout 0.1 file1 "$work/to/off" && start_program &&
        copy file1 "$work/to/on" && cmp file1 to/on
}
# A directory in which nobody can make a file.
immutable() {
    mkdir -p fixed && chattr +i fixed || return 1
    fails HV_E_FAIL copy file1 "$work/fixed/"
    local status=$?
    chattr -i fixed
    return $status
}
disable_fcopy() {
    for _ in $(seq $cycles); do
        host hyperv disable fcopy &&
            fails 'no program of the run' copy --timeout 0 file1 "$work/to/off" &&
            host hyperv enable fcopy && revive fcopy &&
            copy --force file6145 "$work/to/cycle" && cmp file6145 to/cycle || return 1
    done
}
suspend_fcopy() {
    # A program that has seen it go may be about to open it again.
    host hyperv suspend && fails 'suspended\|is not open' copy file1 "$work/to/asleep" &&
        host hyperv resume && copy --force file6145 "$work/to/awake" && cmp file6145 to/awake
}
# The program is killed in the middle of a file.
half() {
    rm -f half && mkfifo half && chmod 644 half
    (head -c 20000 /dev/zero; sleep 0.5; kill_program KILL > /dev/null) > half &
    fails 'HV_E_FAIL' copy half "$work/to/halved" || return 1
    wait $!
    start_program && copy file1 "$work/to/whole" && cmp file1 to/whole
}

# "names": with those beyond ASCII.
fcopy_cases() {
    rm -rf to && mkdir to && chmod 777 to
    check "FCOPY-BASIC, -NON-ASCII: 0, 1, 6,143, 6,144, 6,145 bytes and more, of any content" sizes
    check "FCOPY-FILE-EXISTS" fails 'HV_ERROR_ALREADY_EXISTS (0x80070050)' copy file1 "$work/to/"
    check "FCOPY-OVERWRITE: with --force" overwrite
    check "FCOPY-LARGE-FILE: 256 MiB" large
    check "FCOPY-REPEATED-DELETE" repeated
    check "paths: missing, to be made, with .., too long" path_rules
    [ "$*" != names ] || check "names beyond ASCII" names
    check "FCOPY-NEGATIVE: a place that takes no files, no daemon" negative
    if [ ${#user[@]} = 0 ] && have chattr && touch fixable && chattr +i fixable 2> /dev/null; then
        chattr -i fixable
        check "FCOPY-NEGATIVE: an immutable directory" immutable
    else
        skip "FCOPY-NEGATIVE: an immutable directory" "nothing can be made immutable here"
    fi
    check "FCOPY-DISABLE-ENABLE: $cycles cycles" disable_fcopy
    check "FCOPY: suspend and resume" suspend_fcopy
    check "a copy whose daemon is killed fails, and the next one does not" half
}

# ---- VSS ----

frozen() { host hyperv status | grep -q ' frozen '; }
freeze_thaw() {
    host vss freeze && { ! grep -q '^/dev/[^ ]* / ' /proc/mounts || frozen; } &&
        host vss freeze && host vss thaw && ! frozen && host vss thaw
}
backup() {
    host vss backup -- sh -c 'echo the backup' > backup.out && grep -q 'the backup' backup.out && ! frozen &&
        { host vss backup -- sh -c 'exit 7'; [ $? = 7 ]; } && ! frozen &&
        fails 'not consistent' host vss backup --watchdog 0.2 -- sleep 20 && ! frozen
}
interrupted() {
    rm -f began
    "${user[@]}" "$standin" vss --pid "$guest" backup -- sh -c 'touch began; exec sleep 20' &
    local host=$!
    within_time test -e began
    kill -TERM $host
    wait $host
    [ $? = 143 ] && ! frozen
}
reopened() {
    host vss freeze && host hyperv suspend && within_time eval '! frozen' || return 1
    host hyperv resume
    host vss backup -- true
}
change_vssd() {
    kill_program KILL
    fails 'no program of the run' host vss --timeout 0.1 backup -- true || return 1
    start_program
    host vss backup -- true
}
disable_vss() {
    host hyperv disable vss && fails 'no program of the run' host vss --timeout 0.1 freeze &&
        host hyperv enable vss && revive vss && host vss backup -- true
}

vss_cases() {
    check "VSS: freeze and thaw, twice each; no file system of the machine is touched" freeze_thaw
    check "backup: freeze, the command, thaw; its status; the watchdog" backup
    check "a backup that is interrupted thaws" interrupted
    check "suspended while frozen: the guest thaws" reopened
    check "VSS-CHANGE-HYPERVVSSD: no daemon, no backup" change_vssd
    check "VSS-DISABLE-ENABLE-VSS" disable_vss
}

# ---- VSS with real file systems ----

# The daemon leaves loop devices alone, by what sysfs says of the name in /proc/mounts; so that name
# is one that is gone.  mount_image NAME TYPE IMAGE MOUNTPOINT [OPTIONS]
loops=()
mount_image() {
    local loop device=/dev/standin-$1-$$ status
    loop=$(losetup -f --show "$3") || return 1
    loops+=("$loop")
    mkdir -p "$4"
    mknod "$device" b 7 "${loop#/dev/loop}" && mount -t "$2" -o "${5:-rw}" "$device" "$4"
    status=$?
    rm -f "$device"
    return $status
}
# An ext4 at mnt and at other, an ext2, and one that can only be read.
mount_real() {
    truncate -s 16M disk.img small.img && mke2fs -q -t ext4 disk.img && mke2fs -q -t ext2 small.img &&
        mount_image ext4 ext4 disk.img mnt && mkdir -p other && mount --bind mnt other &&
        mount_image ext2 ext2 small.img small && cp small.img readonly.img &&
        mount_image readonly ext2 readonly.img readonly ro
}
umount_real() {
    for at in other mnt small readonly; do
        fsfreeze -u "$at" 2> /dev/null
        umount "$at" 2> /dev/null
    done
    for loop in "${loops[@]}"; do losetup -d "$loop" 2> /dev/null; done
    loops=()
}
blocked() { [ "$(awk '{print $3}' "/proc/$1/stat" 2> /dev/null)" = D ]; }
# Who writes waits while it is frozen, and only then.
really() {
    echo before > mnt/file && host vss freeze || return 1
    (echo during > mnt/file) &
    local one=$!
    (echo during > small/file) &
    local other=$!
    within_time blocked $one && within_time blocked $other
    local status=$?
    host vss thaw && wait $one $other && [ $status = 0 ] && [ "$(cat other/file)" = during ] &&
        [ "$(cat small/file)" = during ]
}
# VSS-DISKSTRESS: a program writes all the time, and gets on between the backups.
stressed() {
    local writer i
    (while :; do head -c 65536 /dev/zero > mnt/stress && echo >> mnt/count; done) &
    writer=$!
    within_time test -s mnt/count
    for i in 1 2 3 4 5 6 7 8; do
        host vss backup -- sh -c "cp mnt/count count.$i" || break
        within_time eval '[ "$(wc -l < mnt/count)" -gt "$(wc -l < count.'$i')" ]' || break
    done
    kill $writer
    wait $writer 2> /dev/null
    [ -e count.8 ]
}
left_frozen() {
    host vss freeze && kill_program TERM
    timeout 10 fsfreeze -u mnt 2> /dev/null
    timeout 10 fsfreeze -u small 2> /dev/null
    timeout 10 touch mnt/thawed small/thawed && start_program && host vss backup -- touch "$work/again"
}
real_cases() {
    check "VSS-BACKUPRESTORE-MULTIFS, -MOUNT-MULTI-PATHS: real file systems are frozen and thawed" really
    check "VSS-MOUNT-SQUASHFS, -ISO: with one that can only be read beside them" host vss backup -- \
        test -d readonly/lost+found
    check "VSS-DISKSTRESS" stressed
    check "what is left frozen can be thawed, and backed up again" left_frozen
}
