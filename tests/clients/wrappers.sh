#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A client of our own that uses every libc function that standin stands in front of.
script=$(readlink -f "$0")
# shellcheck disable=SC2086 source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

cp "$BUILD/tests/clients/wrappers" "$work/"
check 'each wrapper answers as the kernel does' run -- "$work/wrappers"
check 'the first opens race' run -- "$work/wrappers" race
source=$(dirname "$script")/wrappers.c
for flags in 'clang -fsanitize=address,undefined' 'clang -fsanitize=thread' \
             'gcc -fsanitize=address' 'gcc -fsanitize=thread'; do
    if ! have "${flags%% *}"; then
        skip "built with $flags" "${flags%% *} is not installed"
    elif ! $flags -w -O1 -g -pthread -D_GNU_SOURCE -o sanitized "$source" > output 2>&1; then
        skip "built with $flags" "does not build: $(tail -1 output)"
    else
        export ASAN_OPTIONS=verify_asan_link_order=0
        check "built with $flags" run -- "$work/sanitized"
        check "built with $flags: the first opens race" run -- "$work/sanitized" race
    fi
done
finish
