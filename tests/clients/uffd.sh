#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# userfaultfd: stress-ng; what is read to missing memory; and the kernel's own tests, unchanged:
# those of Debian's linux-source, built here (uffd-unit-tests, uffd-stress), and newer ones where
# $STANDIN_SELFTESTS has them built (and uffd-wp-mremap).
#
# A test may skip only for what no kernel has without being configured for it (gup_test, swap),
# and for huge pages that this machine can't give.
. "$(dirname "$0")/lib.sh"
. "$tests/uffd_lib.sh"

# Newer uffd-stress goes by memory that it has not written to, which meson fills with something.
unset MALLOC_PERTURB_

# The filter denies what it should; else all that follows would show nothing.
cat > ask.py << 'END'
import ctypes, fcntl, os
libc = ctypes.CDLL(None, use_errno=True)
print("userfaultfd", libc.syscall(323, 1), os.strerror(ctypes.get_errno()))
requests = {"UFFDIO_API": 0xC018AA3F, "USERFAULTFD_IOC_NEW": 0xAA00, "another": 0xAB00}
for name, request in requests.items():
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

# faults LABEL OPTIONS...: of stress-ng, 10000 of them.
faults() {
    local label=$1
    shift
    emulated stress-ng --temp-path "$work" --metrics-brief --timeout 60 "$@" \
        --userfaultfd-ops 10000 > stress.txt 2>&1
    check "$label" grep -q 'successful run completed' stress.txt
    check "$label: its faults" grep -q '\] userfaultfd  *[1-9][0-9]\{4,\} ' stress.txt
    ! grep -q 'fail:\|error:' stress.txt || sed 's/^/    /' stress.txt
}
if have stress-ng; then
    faults "stress-ng --userfaultfd 1" --userfaultfd 1
    faults "stress-ng --userfaultfd 4" --userfaultfd 4 --userfaultfd-bytes 4M
else
    skip "stress-ng" "it is not installed"
fi

# ---- signals ----

cp "$BUILD/tests/clients/uffd-signals" .
for what in end first many limit; do
    if kernel_has_it; then
        check "signals, natively: $what" native timeout 60 ./uffd-signals $what
    fi
    check "signals: $what" emulated timeout 60 ./uffd-signals $what
done

# ---- what is read meanwhile ----

# input LABEL RUN: its lines are as they are to be.
input() {
    local label=$1
    shift
    "$@" timeout 60 ./uffd-input > lines 2>&1
    check "$label" cmp lines - << 'END'
pipe, read: all there
pipe, readv: all there
stream, read: all there
stream, recv: all there
connection, readv: all there
connection, recv: all there
END
}
cp "$BUILD/tests/clients/uffd-input" .
! kernel_has_it || input "pipes and streams are read, natively" native
input "pipes and streams are read" emulated

# ---- the kernel's ----

# The kernel's tests fill the pool of huge pages, or want it filled: one script at a time.
pool=/proc/sys/vm/nr_hugepages
if [ -e $pool ]; then
    exec {pool_lock}< $pool
    flock "$pool_lock"
fi
pool_before=$(cat $pool 2> /dev/null || echo 0)
set_pool() { { echo "$1" > $pool; } 2> /dev/null; }
# Whether there are so many, or can be.
huge_pages() {
    [ "$pool_before" -lt "$1" ] || return 0
    set_pool "$1"
    [ "$(cat $pool)" -ge "$1" ]
}

# May the test skip that gives this reason?
may_skip() {
    case $1 in
    *GUP_TEST* | *"swap enabled"* | *"swap the page"*) ;;
    *"not enough HugeTLB"* | *"memory allocation failed"*) [ $huge = 0 ] ;;
    *"feature missing"*) [ "${UFFD:-}" = native ] ;;
    *) false ;;
    esac
}

# count LABEL REPORT PLANNED: the lines of the file cases, "good", "bad" or "skip" and a name.
count() {
    local label=$1 report=$2 planned=$3 result name good=0 left_out=0 bad=0
    while read -r result name; do
        case $result in
        good) good=$((good + 1)) ;;
        skip)
            left_out=$((left_out + 1))
            may_skip "$name" || fail "$label: skipped: $name"
            ;;
        bad)
            fail "$label: $name"
            bad=$((bad + 1))
            ;;
        esac
    done < cases
    if [ "$good" = 0 ] || [ "$((good + left_out + bad))" != "$planned" ]; then
        fail "$label" "$((good + left_out + bad)) cases reported of ${planned:-unknown}"
        tail -20 "$report" | sed 's/^/    /'
    elif [ $bad = 0 ]; then
        ok "$label: $good of $planned cases pass, $left_out skipped"
    else
        grep '^# \|ERROR' "$report" | grep -v 'RUN\|INFO' | head -40 | sed 's/^/    /'
    fi
}

# tap PROGRAM ARGUMENT...: one whose report is TAP.
tap() {
    emulated timeout 100 "./$1" "${@:2}" > report 2>&1
    sed -n 's/^not ok [0-9]*/bad/p; t; s/^ok [0-9]* # SKIP/skip/p; t; s/^ok [0-9]*/good/p' \
        report > cases
    count "$*" report "$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' report)"
}

# plain PROGRAM: the older uffd-unit-tests.
plain() {
    emulated timeout 100 "./$1" > report 2>&1
    sed -n 's/^Testing \(.*\)\.\.\. done$/good \1/p; t; s/^Testing \(.*\.\.\. skipped .*\)/skip \1/p; t
        s/^Testing /bad /p' report > cases
    count "$1" report "$(sed -n 's/^Userfaults unit tests: .*(total=\([0-9]*\))$/\1/p' report)"
}

# stress RUNNER PROGRAM: on each sort of memory.
stress() {
    local memory
    for memory in anon shmem shmem-private; do
        "$1" "$2" $memory 20 16
    done
    if huge_pages 159; then
        for memory in hugetlb hugetlb-private; do
            "$1" "$2" $memory 128 32
        done
    else
        skip "$2 with huge pages" "this machine can't give 159"
    fi
}
# What the older uffd-stress reports is its exit status.
status() { check "$*" emulated timeout 100 "./$1" "${@:2}"; }

. "$tests/linux_source.sh"
version=$linux_version
if ! as_user test -w $pool; then
    skip "the kernel's tests" "they write to $pool"
    finish
fi
trap 'set_pool $pool_before; rm -rf "$work"' EXIT
huge=0
! huge_pages 64 || huge=1
if linux_source; then
    mkdir -p extra/linux
    cp "$linux/tools/include/uapi/linux/"{fs,userfaultfd}.h extra/linux/
    selftests=$linux/tools/testing/selftests
    for test in uffd-unit-tests uffd-stress; do
        check "$test of $version builds" gcc -O2 -w -U_FORTIFY_SOURCE -D_GNU_SOURCE= \
            -D'__packed=__attribute__((packed))' -Iextra -I"$linux" -I"$selftests" \
            -o $test-$version "$selftests/mm/"{$test,uffd-common,vm_util,thp_settings}.c -pthread
    done
    plain uffd-unit-tests-$version
    stress status uffd-stress-$version
else
    skip "the tests of $version" "no linux-source-$version, gcc or xz"
fi
if [ ! -x "${STANDIN_SELFTESTS:-}/uffd-unit-tests" ]; then
    skip "newer tests" "STANDIN_SELFTESTS names no directory with the kernel's userfaultfd tests"
    finish
fi
for test in uffd-unit-tests uffd-stress uffd-wp-mremap; do
    cp "$STANDIN_SELFTESTS/$test" $test-newer
done
tap uffd-unit-tests-newer
stress tap uffd-stress-newer
tap uffd-wp-mremap-newer
finish
