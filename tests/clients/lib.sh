# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What the client tests share.  A test script sources this, makes its cases with
# `check NAME COMMAND...` (or ok/fail/skip), and ends with `finish`.  Everything happens
# in $work, which is removed.  BUILD is the build directory (meson passes it), $tests the one
# of the scripts.  With AS_USER=1 the commands run as an ordinary user, uid 65534, without
# root's groups: `as_user COMMAND...`, or `"${user[@]}" COMMAND... &`, where $! is to be the
# command itself and not a shell around it.
set -u
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=$(cd "${BUILD:-build}" && pwd)
standin=$BUILD/standin
work=$(mktemp -d)
chmod 755 "$work"
passed=0 failed=0 skipped=0
trap 'chmod -R u+rwX "$work" 2> /dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 99

if [ "${AS_USER:-0}" = 1 ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "SKIP: only root can become another user"
        exit 77
    fi
    chown 65534:65534 "$work"
    export HOME=$work PATH=/usr/local/bin:/usr/bin:/bin
    unset XDG_RUNTIME_DIR
    # The build may be below a directory that only root can enter: use a copy then.
    if ! setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$standin"; then
        mkdir "$work/build"
        cp -P "$BUILD/standin" "$BUILD"/*.so* "$work/build/" 2> /dev/null
        find "$BUILD/src" -name '*.so*' -type f -exec cp {} "$work/build/" \; 2> /dev/null
        chmod -R a+rX "$work/build"
        standin=$work/build/standin
    fi
    user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
else
    user=()
fi
as_user() { "${user[@]}" "$@"; }

ok() { echo "PASS: $1"; passed=$((passed + 1)); }
fail() { echo "FAIL: $1${2:+: $2}"; failed=$((failed + 1)); }
skip() { echo "SKIP: $1: $2"; skipped=$((skipped + 1)); }

# check NAME COMMAND...: passes if the command succeeds; shows its output if not.
check() {
    local name=$1
    shift
    if "$@" > "$work/output" 2>&1; then
        ok "$name"
    else
        fail "$name" "exit status $?"
        head -20 "$work/output" | sed 's/^/    /'
    fi
}

# run OPTIONS... -- PROGRAM...: under standin, as the user that the test is about.
run() { as_user "$standin" run "$@"; }

have() { command -v "$1" > /dev/null; }

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed = 0 ] || exit 1
    [ $passed != 0 ] || exit 77
    exit 0
}
