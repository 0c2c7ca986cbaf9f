# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What the tests of userfaultfd share; sourced after lib.sh, from "$tests/uffd_lib.sh".
#
#	emulated COMMAND...   under `standin run --uffd=emulate`, which itself runs where the kernel's
#	                      userfaultfd is denied (without_uffd.c): what works is standin's doing.
#	                      As the user that the test is about; `"${emulate[@]}" COMMAND... &`,
#	                      where $! is to be standin.
#	native COMMAND...     without standin, on the kernel's userfaultfd
#	kernel_has_it         whether that can be had: the tests that bring their own programs show
#	                      with it that they ask for what the kernel does
#
# With BACKING=fuse it is `standin run --uffd=emulate --uffd-backing=fuse`; a machine where that can't be
# had skips the tests.
# With UFFD=native everything is native: a way to see whether a test is at fault.
cp "$BUILD/tests/clients/without-uffd" "$work/"
if [ "${UFFD:-emulate}" = native ]; then
    emulate=("${user[@]}")
else
    emulate=("${user[@]}" "$work/without-uffd" "$standin" run --uffd=emulate
        ${BACKING:+--uffd-backing=$BACKING} --)
fi
if [ "${BACKING:-}" ] && ! "${emulate[@]}" true 2> refusal; then
    echo "SKIP: $(cat refusal)"
    exit 77
fi
emulated() { "${emulate[@]}" "$@"; }
native() { as_user "$@"; }

kernel_has_it() {
    native python3 -c '
import ctypes
exit(ctypes.CDLL(None).syscall(323, 0) < 0)' 2> /dev/null
}
