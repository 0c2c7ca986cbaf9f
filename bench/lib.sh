# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What the parts of `make bench` share; sourced by each.  $1 is the build directory,
# BENCH_REPEAT how often each figure is measured.  Gives $build, $standin, $repeat, $work (a
# directory that goes at the end), and:
#   median              of the numbers on standard input, one a line
#   ratio A B           A / B, three places
#   row TEXT OURS THEIRS RATIO GOAL
#   seconds COMMAND...  how long it took; fails as it does
build=$(realpath "${1:-build}")
standin=$build/standin
repeat=${BENCH_REPEAT:-5}
bench=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

median() { sort -g | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
row() { printf '%-44s %14s %14s %9s  %s\n' "$@"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.3f", b ? a / b : 0}'; }
seconds() {
    local t0 t1
    t0=$(date +%s%N)
    "$@" > /dev/null 2>&1 || return 1
    t1=$(date +%s%N)
    awk -v n=$((t1 - t0)) 'BEGIN {printf "%.6f\n", n / 1e9}'
}
