#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# packages.sh LIST: sees to it that the Debian packages in scripts/packages.LIST are there.
# As root it installs what is missing; as anybody else it says what to install.  On other
# systems it does nothing: meson names what it lacks.
set -eu
list=$(dirname "$0")/packages.$1
command -v dpkg-query > /dev/null && command -v apt-get > /dev/null || exit 0

missing=
for package in $(cat "$list"); do
    case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2> /dev/null) in
    ii*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "standin: these packages are missing; as root: apt-get install$missing" >&2
    # What needs them says so itself.
    [ "$1" = build ] || exit 0
    exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt-get -q update > "$log" 2>&1 &&
    apt-get -q install -y --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >> "$log" 2>&1 || {
    tail -20 "$log" >&2
    exit 1
}
