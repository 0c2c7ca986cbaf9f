#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# fuzz.sh [SECONDS [RESULTS]]: builds the fuzz targets with clang's libFuzzer and runs each
# for that long.  A line of JSON per target goes to the file RESULTS.
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
failed=0
for target in $targets; do
    target=$build/$target
    name=$(basename "$target")
    corpus=$build/corpus/$name
    mkdir -p "$corpus"
    echo "$name for $seconds s"
    result=OK
    "$target" -max_total_time="$seconds" -print_final_stats=1 \
        -artifact_prefix="$build/$name-" "$corpus" > "$build/$name.log" 2>&1 || result=FAIL
    if [ $result = FAIL ]; then
        tail -40 "$build/$name.log"
        failed=$((failed + 1))
    else
        grep -E 'number_of_executed_units|peak_rss' "$build/$name.log"
    fi
    echo "{\"name\": \"$name\", \"result\": \"$result\"}" >> "$results"
done
[ $failed = 0 ]
