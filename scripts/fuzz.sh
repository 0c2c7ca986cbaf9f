#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# fuzz.sh [SECONDS [RESULTS]]: builds the fuzz targets with clang's libFuzzer and runs each
# for that long, as many at once as there are processors.  A line of JSON per target goes to
# the file RESULTS.
set -u
seconds=${1:-60}
results=${2:-/dev/null}
build=build-fuzz
cd "$(dirname "$0")/.." || exit 1

if [ ! -e $build/build.ninja ]; then
    CC=clang meson setup -Dfuzz=true $build > $build.log 2>&1 || { cat $build.log; exit 1; }
    rm -f $build.log
fi
targets=$(ninja -C $build -t targets all | sed -n 's|^\(tests/fuzz/fuzz[^/]*\): .*LINKER.*|\1|p')
[ -n "$targets" ] || { echo "there is no fuzz target"; exit 1; }
ninja -C $build $targets > $build/ninja.log 2>&1 || { tail -40 $build/ninja.log; exit 1; }

# One target: its line of JSON is left beside its log.
fuzz() {
    local target=$build/$1 name result=OK
    name=$(basename "$1")
    mkdir -p "$build/corpus/$name"
    "$target" -max_total_time="$seconds" -print_final_stats=1 \
        -artifact_prefix="$build/$name-" "$build/corpus/$name" > "$build/$name.log" 2>&1 ||
        result=FAIL
    echo "{\"name\": \"$name\", \"result\": \"$result\"}" > "$build/$name.result"
}

running=0
for target in $targets; do
    [ "$running" -lt "$(nproc)" ] || { wait -n; running=$((running - 1)); }
    fuzz "$target" &
    running=$((running + 1))
done
wait

failed=0
for target in $targets; do
    name=$(basename "$target")
    echo "$name for $seconds s"
    if grep -q FAIL "$build/$name.result"; then
        tail -40 "$build/$name.log"
        failed=$((failed + 1))
    else
        grep -E 'number_of_executed_units|peak_rss' "$build/$name.log"
    fi
    cat "$build/$name.result" >> "$results"
    rm -f "$build/$name.result"
done
[ $failed = 0 ]
