#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The kernel's own VFIO selftests (tools/testing/selftests/vfio), built elsewhere from an
# unchanged source and found in $STANDIN_SELFTESTS, in their two type1 modes.
#
# Those that have a variant per mode are run as they are.  vfio_pci_device_test
# takes its mode from a variable without an option; $BUILD/tests/clients/libselftest-mode.so
# sets it from outside.
. "$(dirname "$0")/lib.sh"

if [ ! -x "${STANDIN_SELFTESTS:-}/vfio_dma_mapping_test" ]; then
    echo "SKIP: STANDIN_SELFTESTS names no directory with the kernel's VFIO selftests"
    exit 77
fi
bdf=0000:01:00.0
programs=$work/selftests
mkdir "$programs"
cp "$STANDIN_SELFTESTS"/vfio_{dma_mapping,dma_mapping_mmio,pci_device,pci_device_init_perf}_test \
    "$programs/"
cp "$BUILD/tests/clients/libselftest-mode.so" "$programs/"
chmod -R a+rX "$work"

# Counts the lines of a TAP report.  "# SKIP" ones name their reason.
count() {
    local label=$1 report=$2 line lines=0
    while IFS= read -r line; do
        case $line in
        "ok "*"# SKIP"*) skip "$label: $(echo "$line" | cut -d' ' -f3)" "${line#*# SKIP }" ;;
        "ok "*) ok "$label: ${line#ok * }" ;;
        "not ok "*) fail "$label: ${line#not ok * }" ;;
        *) continue ;;
        esac
        lines=$((lines + 1))
    done < "$report"
    if [ $lines = 0 ]; then
        fail "$label" "no report"
        head -20 "$report" | sed 's/^/    /'
    elif grep -q '^not ok' "$report"; then
        grep '^# ' "$report" | grep -v 'RUN\|  OK ' | head -40 | sed 's/^/    /'
    fi
}

selftest() {
    local label=$1
    shift
    run -- "$@" "$bdf" > "$work/report" 2>&1
    count "$label" "$work/report"
}

for mode in vfio_type1_iommu vfio_type1v2_iommu; do
    selftest "dma_mapping" "$programs/vfio_dma_mapping_test" -v $mode -v ${mode}_anonymous \
        -v ${mode}_anonymous_hugetlb_2mb -v ${mode}_anonymous_hugetlb_1gb
    selftest "dma_mapping_mmio" "$programs/vfio_dma_mapping_mmio_test" -v $mode
    selftest "pci_device_init_perf" "$programs/vfio_pci_device_init_perf_test" -v $mode
    # Beside standin's own library, so after `standin run` has set LD_PRELOAD.
    # shellcheck disable=SC2016
    selftest "pci_device, $mode" env SELFTEST_MODE=$mode \
        sh -c 'LD_PRELOAD=$0:$LD_PRELOAD exec "$@"' "$programs/libselftest-mode.so" \
        "$programs/vfio_pci_device_test"
done
if ! run -- test -e /dev/iommu; then
    skip "iommufd modes" "standin has no /dev/iommu yet"
fi
finish
