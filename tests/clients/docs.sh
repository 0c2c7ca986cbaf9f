#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The documents name things that exist: tests, files they link to, the command's options.
sources=$(cd "$(dirname "$0")/../.." && pwd)
. "$(dirname "$0")/lib.sh"
cd "$sources" || exit 99

tests_exist() {
    local name bad=0
    for name in $(grep -o '\b[uk]/[a-z_-]*' docs/status.md | sort -u); do
        case $name in
        u/*) ls tests/unit/test_"${name#u/}".c ;;
        k/*) grep -q "test('${name#k/}'" tests/clients/meson.build ;;
        esac > /dev/null 2>&1 || { echo "docs/status.md: there is no $name"; bad=1; }
    done
    return $bad
}
check "the tests that docs/status.md names" tests_exist

links_exist() {
    local page link bad=0
    for page in README.md CONTRIBUTING.md docs/*.md; do
        for link in $(grep -o '](\([^)#:]*\))' "$page" | sed 's/](\(.*\))/\1/'); do
            [ -e "$(dirname "$page")/$link" ] || { echo "$page: $link is not there"; bad=1; }
        done
    done
    return $bad
}
check "what the documents link to" links_exist

files_exist() {
    local page file bad=0
    for page in README.md CONTRIBUTING.md docs/*.md; do
        for file in $(grep -oE '\b(src|tests|docs|include|scripts)/[a-z0-9_/.-]*[a-z0-9_/]' "$page" | sort -u); do
            [ -e "$file" ] || { echo "$page: $file is not there"; bad=1; }
        done
    done
    return $bad
}
check "the files that the documents name" files_exist

options_exist() {
    local option bad=0
    "$standin" help run > "$work/help"
    for option in $(grep -h 'standin run' README.md docs/*.md | grep -oE ' --[a-z]+' | sort -u); do
        grep -q -- "$option" "$work/help" || { echo "$option is not an option of run"; bad=1; }
    done
    return $bad
}
check "the options of run that the documents use" options_exist

finish
