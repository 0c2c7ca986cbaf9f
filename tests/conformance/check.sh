#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# check.sh [-x AREAS] [-t AREAS] [-m FILE] [-u] EXPECTED DIFFERENCES COMMAND...
#
# Runs COMMAND and compares what it prints with the recorded answers of a kernel.
# DIFFERENCES lists what is meant to differ, as the lines of a diff: "-" what the kernel
# says, "+" what standin says, both exactly; lines that begin otherwise are the reasons.
# Any other difference fails, and so does a listed one that is not there any more.
#
#   -x AREAS  leaves out areas: "files|mmap"
#   -t AREAS  leaves out these areas, and says so, where the machine gives no huge pages
#   -m FILE   like DIFFERENCES, of what differs on some kernels alone
#   -u        runs COMMAND as an ordinary user
set -u
exclude= user= sometimes=/dev/null
huge_pages=/sys/kernel/mm/transparent_hugepage/enabled
while getopts x:t:m:u o; do
	case $o in
	x) exclude=$OPTARG ;;
	t)
		if [ ! -e $huge_pages ] || grep -qF '[never]' $huge_pages; then
			echo "left out, for this machine gives no huge pages: $OPTARG"
			exclude=${exclude:+$exclude|}$OPTARG
		fi
		;;
	m) sometimes=$OPTARG ;;
	u) user=yes ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
expected=$1 differences=$2
shift 2
if [ "$user" ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "SKIP: only root can become another user"
		exit 77
	fi
	set -- setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs env -u XDG_RUNTIME_DIR HOME=/tmp "$@"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Where only root can go, below /root for instance, another user needs a copy of the build.
if [ "$user" ] && ! setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$PWD/standin"; then
	mkdir "$work/build"
	cp --parents standin $(find src tests/conformance -name "*.so" -o -name "conformance-*" -type f -executable) "$work/build"
	chmod -R a+rX "$work"
	cd "$work/build" || exit 1
fi
leave_out() { if [ "$exclude" ]; then grep -Ev "^[-+]?($exclude)[.:]"; else cat; fi; }

"$@" >"$work/all" 2>"$work/errors" </dev/null
status=$?
# An area that this machine can't have is one line, "AREA.left out: REASON", and no other.
for area in $(sed -n 's/^\([^.]*\)\.left out: .*/\1/p' "$work/all"); do
	[ "$(grep -c "^$area[.:]" "$work/all")" = 1 ] || continue
	grep "^$area\.left out:" "$work/all"
	exclude=${exclude:+$exclude|}$area
done
grep -v '^#' "$expected" | leave_out >"$work/kernel"
grep -v '^#' "$work/all" | leave_out >"$work/standin"
grep '^[-+]' "$differences" | leave_out | sort >"$work/listed"
diff -U0 "$work/kernel" "$work/standin" | grep -v '^\(---\|+++\|@@\)' >"$work/found"
sort "$work/found" >"$work/sorted"
grep '^[-+]' "$sometimes" | leave_out | sort - "$work/listed" >"$work/allowed"
comm -13 "$work/allowed" "$work/sorted" >"$work/unlisted"
comm -23 "$work/listed" "$work/sorted" >"$work/stale"

failed=0
if [ ! -s "$work/kernel" ]; then
	echo "there is nothing to compare"
	failed=1
fi
if [ -s "$work/errors" ]; then
	echo "on standard error:"
	head -n 40 "$work/errors"
fi
if [ "$status" != 0 ]; then
	echo "exit status $status"
	failed=1
fi
if [ -s "$work/unlisted" ]; then
	echo "other than the kernel (- kernel, + standin), $(wc -l <"$work/unlisted") lines:"
	# In the order of the output, not sorted.
	grep -Fxf "$work/unlisted" "$work/found" | head -n "${CONFORMANCE_LINES:-400}"
	failed=1
fi
if [ -s "$work/stale" ]; then
	echo "listed in $differences but not so:"
	cat "$work/stale"
	failed=1
fi
echo "$(wc -l <"$work/kernel") answers compared, $(wc -l <"$work/listed") lines listed as different"
exit $failed
