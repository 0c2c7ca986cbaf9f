#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The HMM mirror.  The kernel's own tests (hmm-tests), unchanged: those of Debian's
# linux-source, built here, and newer ones where $STANDIN_SELFTESTS has them built; and
# hmm_stress, for some seconds, or $STANDIN_STRESS_SECONDS a part.  Each once with traps that
# are guard markers (where the kernel has them) and once with traps that are protection.
#
# A test may skip only for gup_test, which no kernel without CONFIG_GUP_TEST has either, and
# for huge pages that this machine can't give.
. "$(dirname "$0")/lib.sh"

# ---- the kernel's ----

. "$tests/linux_source.sh"
version=$linux_version
if linux_source; then
    mkdir -p extra/linux
    cp "$linux/tools/include/uapi/linux/fs.h" extra/linux/ # PAGEMAP_SCAN
    selftests=$linux/tools/testing/selftests
    check "hmm-tests of $version builds" gcc -O2 -w -U_FORTIFY_SOURCE -D_GNU_SOURCE= -Iextra \
        -I"$linux" -I"$selftests" -o hmm-tests-$version \
        "$selftests/mm/"{hmm-tests,vm_util,thp_settings}.c -pthread
else
    skip "hmm-tests of $version" "no linux-source-$version, gcc or xz"
fi
if [ -x "${STANDIN_SELFTESTS:-}/hmm-tests" ]; then
    cp "$STANDIN_SELFTESTS/hmm-tests" hmm-tests-newer
fi

# Counts the cases of a TAP report, of which there are to be so many.
count() {
    local label=$1 report=$2 all=$3 line name reason cases=0 good=0 left_out=0
    while IFS= read -r line; do
        case $line in
        "ok "* | "not ok "*) ;;
        *) continue ;;
        esac
        cases=$((cases + 1))
        name=${line#*ok * }
        reason=${line#*# SKIP }
        if [ "${line#not }" != "$line" ]; then
            fail "$label: $name"
        elif [ "$reason" = "$line" ]; then
            good=$((good + 1))
        else
            left_out=$((left_out + 1))
            case $reason in
            *gup_test*) ;;
            *[Hh]uge*)
                # Or others on this machine have changed the pool meanwhile.
                [ "${huge_pages:-0}" = 0 ] || [ "$(cat $pool)" != "$huge_pages" ] ||
                    fail "$label: $name"
                ;;
            *) fail "$label: $name" ;;
            esac
        fi
    done < "$report"
    if [ $cases != "$all" ]; then
        fail "$label" "$cases cases reported, not $all"
        tail -20 "$report" | sed 's/^/    /'
    elif grep -q '^not ok' "$report"; then
        grep '^# ' "$report" | grep -v 'RUN\|  OK ' | head -40 | sed 's/^/    /'
    else
        ok "$label: $good of $cases cases pass, $left_out skipped"
    fi
}

# tests TRAPS PROGRAM CASES [ARGUMENT...]
tests() {
    run --set "memory.traps=$1" -- timeout 200 "./$2" "${@:4}" > report 2>&1
    count "$2, traps $1" report "$3"
}

# One huge page, which the tests take from the machine's pool; 7.3's would put it there
# themselves.  So one script at a time: this one runs as two users.
pool=/proc/sys/vm/nr_hugepages
[ -e $pool ] || pool=/dev/null
exec {pool_lock}< $pool
flock $pool_lock
pool_before=$(cat $pool)
# shellcheck disable=SC2154 # work is lib.sh's
if [ "$pool_before" = 0 ] && { echo 1 > $pool; } 2> /dev/null; then
    trap 'echo 0 > $pool; chmod -R u+rwX "$work" 2> /dev/null; rm -rf "$work"' EXIT
fi
huge_pages=$(cat $pool)

chmod -R a+rX .
for traps in auto protect; do
    [ ! -x hmm-tests-$version ] || tests $traps hmm-tests-$version 58
done
if [ -x hmm-tests-newer ]; then
    for traps in auto protect; do
        tests $traps hmm-tests-newer 78
    done
fi

# shellcheck disable=SC2154
trap 'chmod -R u+rwX "$work" 2> /dev/null; rm -rf "$work"' EXIT
[ "$pool_before" != 0 ] || { echo 0 > $pool; } 2> /dev/null
exec {pool_lock}<&-

# ---- stress ----

cp "$BUILD/tests/clients/hmm-stress" "$BUILD/tests/clients/hmm-realloc" \
    "$BUILD/tests/clients/hmm-stack" .
chmod a+rx hmm-stress hmm-realloc hmm-stack
for traps in auto protect; do
    check "realloc, traps $traps" run --set memory.traps=$traps -- ./hmm-realloc
    for device in 0 2; do
        check "own stack, traps $traps, device $device" run --set memory.traps=$traps -- \
            ./hmm-stack /dev/hmm_dmirror$device
    done
    for pages in small huge; do
        check "hmm_stress, traps $traps, $pages pages" run --set memory.traps=$traps -- \
            ./hmm-stress "${STANDIN_STRESS_SECONDS:-1}" $pages
    done
done
finish
