#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# sanitize.sh [address|thread]...
#
# Builds everything under ASan+UBSan and under TSan (build-address, build-thread beside the
# ordinary build), and runs the unit tests and the embedded conformance program in each.
# The injected libraries are left to the client tests: a sanitizer and the preload library
# would each want to be first.
set -u
cd "$(dirname "$0")/.." || exit 99
[ $# != 0 ] || set -- address thread
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:abort_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=0:exitcode=66:second_deadlock_stack=1
export MESON_TESTTHREADS=2
status=0
for kind; do
    build=build-$kind
    sanitize=$kind
    [ "$kind" != address ] || sanitize=address,undefined
    if [ ! -e "$build/build.ninja" ]; then
        rm -rf "$build"
        meson setup "$build" --buildtype=debugoptimized -Db_sanitize=$sanitize -Db_lundef=false \
            > "$build.log" 2>&1 || { cat "$build.log"; exit 1; }
        rm -f "$build.log"
    fi
    ninja -C "$build" > "$build/ninja.log" 2>&1 || { tail -40 "$build/ninja.log"; exit 1; }
    # TSan delays signals, cannot follow handlers that are entered past its own sigaction, and does
    # not know that who is given a page comes after who has filled it.
    left_out='^$'
    [ "$kind" != thread ] || left_out=' (filter|mmio|signals|uffd|uffd_event|watch|watch_race)$'
    mapfile -t tests < <(meson test -C "$build" --list --suite unit --suite sanitize 2> /dev/null |
        grep ' / ' | grep -Ev "$left_out" | sed 's/.* //')
    # For a minute under TSan, and briefly elsewhere.
    [ "$kind" != thread ] || export STANDIN_CHURN_SECONDS=60
    # The suites again: a client test may have the name of a unit test.
    meson test -C "$build" --no-rebuild -t 2 --print-errorlogs --suite unit --suite sanitize \
        "${tests[@]}" || status=1
done
exit $status
