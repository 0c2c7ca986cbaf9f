#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The kernel's own tests of the HMM mirror (hmm-tests), unchanged: those of Debian's
# linux-source, built here, and newer ones where $STANDIN_SELFTESTS has them built.  Each
# once with traps that are guard markers (where the kernel has them) and once with traps
# that are protection.  A test may skip only for gup_test, which no kernel without
# CONFIG_GUP_TEST has either, and for huge pages that the machine can't give.
. "$(dirname "$0")/lib.sh"

programs=()
archive=$(ls /usr/src/linux-source-6.1.tar.xz 2> /dev/null)
if [ -n "$archive" ] && have gcc && have xz; then
    mkdir source
    xz -dc "$archive" | tar -x -C source --strip-components=1 --wildcards 'linux-source-6.1/'{tools/testing/selftests/vm/hmm-tests.c,tools/testing/selftests/'kselftest*.h',lib/test_hmm_uapi.h,mm/gup_test.h}
    check "hmm-tests of 6.1 builds" gcc -O2 -w -U_FORTIFY_SOURCE -D_GNU_SOURCE= -Isource -Isource/lib \
        -Isource/mm -Isource/tools/testing/selftests -o hmm-tests-6.1 \
        source/tools/testing/selftests/vm/hmm-tests.c -pthread
    [ $failed = 0 ] && programs+=("$work/hmm-tests-6.1")
fi
if [ -x "${STANDIN_SELFTESTS:-}/hmm-tests" ]; then
    cp "$STANDIN_SELFTESTS/hmm-tests" hmm-tests-newer
    programs+=("$work/hmm-tests-newer")
fi
[ ${#programs[@]} != 0 ] || {
    echo "SKIP: neither linux-source-6.1 with gcc nor STANDIN_SELFTESTS"
    exit 77
}
chmod -R a+rX .

# Whether the machine has huge pages; 7.3's tests ask for one as root themselves.
pool=$(cat /proc/sys/vm/nr_hugepages 2> /dev/null || echo 0)

# Without guard markers pagemap shows what is on a device as absent, which one case looks at.
shown_otherwise="hmm-tests-newer, traps protect migrate_anon_huge_fault"

# Counts the cases of a TAP report: a harness of 6.1 calls a skipped one ok.
count() {
    local label=$1 report=$2 line name= reason= cases=0 good=0 left_out=0
    while IFS= read -r line; do
        case $line in
        "#      SKIP      "*) reason=${line#"#      SKIP      "} ;;
        "ok "* | "not ok "*)
            name=${line##*[0-9] }
            cases=$((cases + 1))
            case $line in *"# SKIP"*) reason=${line#*# SKIP } name=${name%% *} ;; esac
            if [ "${line#not }" != "$line" ] && [ "$label ${name##*.}" = "$shown_otherwise" ]; then
                left_out=$((left_out + 1))
            elif [ "${line#not }" != "$line" ]; then
                fail "$label: $name"
            elif [ -z "$reason" ]; then
                good=$((good + 1))
            else
                left_out=$((left_out + 1))
                case $reason in
                *gup_test*) ;;
                *[Hh]uge*) [ "$pool" = 0 ] || fail "$label: $name" "skipped: $reason" ;;
                *) fail "$label: $name" "skipped: $reason" ;;
                esac
            fi
            reason=
            ;;
        esac
    done < "$report"
    if [ $cases -lt 58 ]; then
        fail "$label" "only $cases cases reported"
        tail -20 "$report" | sed 's/^/    /'
    elif grep '^not ok' "$report" | grep -qv "${shown_otherwise##* }"; then
        grep '^# ' "$report" | grep -v 'RUN\|  OK ' | head -40 | sed 's/^/    /'
    else
        ok "$label: $good of $cases cases pass, $left_out skipped"
    fi
}

for program in "${programs[@]}"; do
    for traps in auto protect; do
        run --set memory.traps=$traps -- timeout 200 "$program" > report 2>&1
        count "${program##*/}, traps $traps" report
    done
done
[ "$(cat /proc/sys/vm/nr_hugepages 2> /dev/null || echo 0)" = "$pool" ] || echo "$pool" > /proc/sys/vm/nr_hugepages
finish
