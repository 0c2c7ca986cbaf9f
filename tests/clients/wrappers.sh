#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A client of our own that uses every libc function that standin stands in front of.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

cp "$BUILD/tests/clients/wrappers" "$work/"
check 'each wrapper answers as the kernel does' run -- "$work/wrappers"
finish
