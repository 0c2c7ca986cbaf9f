#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Clients that make it hard to get in between: ones that fork, that bring their own system
# call instructions, that block all signals, and the same built with sanitizers.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
source=${SOURCE:?the directory of the sources, absolute}

cp "$BUILD/tests/clients/"{fork,passed,raw} "$work/"
check 'a forked child uses the files of its parent' run -- "$work/fork"
check 'files that come over a socket or through an exec' run -- "$work/passed"
check 'ioctls by raw system calls, threads with all signals blocked' run -- "$work/raw"

sanitized() { # COMPILER SANITIZER NAME
    local out=$work/$3-$2-$1
    if ! have "$1" || ! "$1" -g -O1 -pthread "-fsanitize=$2" "$source/$3.c" -o "$out" 2> /dev/null; then
        skip "$3 under $1 -fsanitize=$2" "it cannot be built here"
        return
    fi
    check "$3 under $1 -fsanitize=$2" run -- "$out"
}
export ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0:handle_segv=1
for sanitizer in address undefined thread; do
    sanitized clang "$sanitizer" raw
done
sanitized gcc address raw
sanitized clang address fork
sanitized clang address passed
finish
