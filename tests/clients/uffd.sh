#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# userfaultfd: the kernel's own tests, unchanged (uffd-unit-tests, uffd-stress, uffd-wp-mremap),
# where $STANDIN_SELFTESTS has them built; and stress-ng.
#
# A test may skip only for what no kernel has without being configured for it (gup_test, swap), and
# for huge pages that this machine can't give.
. "$(dirname "$0")/lib.sh"
. "$tests/uffd_lib.sh"

# The filter denies what it should; else all that follows would show nothing.
cat > ask.py << 'END'
import ctypes, fcntl, os
libc = ctypes.CDLL(None, use_errno=True)
print("userfaultfd", libc.syscall(323, 1), os.strerror(ctypes.get_errno()))
for name, request in (("UFFDIO_API", 0xC018AA3F), ("USERFAULTFD_IOC_NEW", 0xAA00), ("another", 0xAB00)):
    try:
        print(name, fcntl.ioctl(0, request, bytes(64)))
    except OSError as error:
        print(name, error.strerror)
END
if have python3; then
    as_user ./without-uffd python3 ask.py < /dev/null > denied 2>&1
    check "the kernel's userfaultfd is denied" cmp denied - << 'END'
userfaultfd -1 Operation not permitted
UFFDIO_API Operation not permitted
USERFAULTFD_IOC_NEW Operation not permitted
another Inappropriate ioctl for device
END
fi

# ---- stress-ng ----

# faults LABEL OPTIONS...: of stress-ng, with a number of faults.
faults() {
    local label=$1
    shift
    emulated stress-ng --temp-path "$work" --metrics-brief --timeout 60 "$@" > stress.txt 2>&1
    check "$label" grep -q 'successful run completed' stress.txt
    check "$label: its faults" eval \
        'awk -v least='"$faults_wanted"' "\$4 == \"userfaultfd\" && \$5 >= least {found = 1} END {exit !found}" stress.txt'
    ! grep -q 'fail:\|error:' stress.txt || sed 's/^/    /' stress.txt
}
if have stress-ng; then
    faults_wanted=10000 faults "stress-ng --userfaultfd 1" --userfaultfd 1 --userfaultfd-ops 10000
    faults_wanted=10000 faults "stress-ng --userfaultfd 4" --userfaultfd 4 \
        --userfaultfd-ops 10000 --userfaultfd-bytes 4M
else
    skip "stress-ng" "it is not installed"
fi

# ---- the kernel's ----

selftests=${STANDIN_SELFTESTS:-}
# Huge pages of the pool, which these tests fill themselves; whether so many can be had.
pool=/proc/sys/vm/nr_hugepages
huge_pages() {
    local before got
    before=$(cat $pool)
    [ "$before" -lt "$1" ] || return 0
    { echo "$1" > $pool; } 2> /dev/null
    got=$(cat $pool)
    echo "$before" > $pool
    [ "$got" -ge "$1" ]
}

# count LABEL REPORT: the cases of a TAP report.
count() {
    local label=$1 report=$2 line name planned cases=0 good=0 left_out=0 bad=0
    while IFS= read -r line; do
        case $line in
        "ok "* | "not ok "*) ;;
        *) continue ;;
        esac
        cases=$((cases + 1))
        name=${line#*ok [0-9]* }
        if [ "${line#not }" != "$line" ]; then
            fail "$label: $name"
            bad=$((bad + 1))
        elif [ "${name#*SKIP}" = "$name" ]; then
            good=$((good + 1))
        else
            left_out=$((left_out + 1))
            case $name in
            *GUP_TEST* | *"swap enabled"* | *"swap the page"*) ;;
            *"not enough HugeTLB"*) [ $huge = 0 ] || fail "$label: $name" ;;
            *"feature missing"*) [ "${UFFD:-}" = native ] || fail "$label: $name" ;;
            *) fail "$label: $name" ;;
            esac
        fi
    done < "$report"
    planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$report")
    if [ $cases = 0 ] || [ "$cases" != "$planned" ]; then
        fail "$label" "$cases cases reported of ${planned:-unknown}"
        tail -20 "$report" | sed 's/^/    /'
    elif [ $bad = 0 ] && [ $good != 0 ]; then
        ok "$label: $good of $cases cases pass, $left_out skipped"
    else
        grep '^# ' "$report" | grep -v 'RUN\|INFO' | head -40 | sed 's/^/    /'
    fi
}

# selftest PROGRAM ARGUMENT...
selftest() {
    local program=$1
    shift
    emulated timeout 100 "./$program" "$@" > report 2>&1
    count "$program${*:+ $*}" report
}

if [ ! -x "$selftests/uffd-unit-tests" ]; then
    skip "the kernel's tests" \
        "STANDIN_SELFTESTS names no directory with uffd-unit-tests, uffd-stress, uffd-wp-mremap"
elif ! as_user test -w $pool; then
    skip "the kernel's tests" "they write to $pool"
else
    huge=0
    ! huge_pages 16 || huge=1
    cp "$selftests"/uffd-{unit-tests,stress,wp-mremap} .
    selftest uffd-unit-tests
    for memory in anon shmem shmem-private; do
        selftest uffd-stress $memory 20 16
    done
    if huge_pages 159; then
        selftest uffd-stress hugetlb 128 32
        selftest uffd-stress hugetlb-private 128 32
    else
        skip "uffd-stress with huge pages" "this machine can't give 159"
    fi
    selftest uffd-wp-mremap
fi
finish
