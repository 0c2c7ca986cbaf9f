# SPDX-License-Identifier: BSD-3-Clause
#
# A thin face over meson: `make` builds to build/, and build/standin runs in place.
# On Debian, as root, missing packages are installed; otherwise they are named.

BUILD ?= build
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@scripts/packages.sh build
	meson setup --prefix $(PREFIX) $(BUILD)

demo: all
	@scripts/packages.sh demo
	@BUILD=$(BUILD) scripts/demo.sh

# Guests of QEMU boot Debian's kernel image, which is not installed where a boot loader would
# offer it at the next start.
test: all
	@scripts/packages.sh test
	@[ -e /boot/grub ] || [ -e /boot/efi ] || scripts/packages.sh guest || true
	@scripts/test.sh $(BUILD)

# The unit tests alone: seconds.
check: all
	@meson test -C $(BUILD) --no-rebuild --suite unit

bench: all
	@scripts/packages.sh test
	@bench/run.sh $(BUILD)

fuzz:
	@scripts/packages.sh test
	@scripts/fuzz.sh $(FUZZ_SECONDS)

# Compares all recorded answers of a real kernel with what one answers now; boots it in an
# emulator that $STANDIN_ORACLE names.
oracle-check: all
	@ninja -C $(BUILD) -k 0 oracle-check

install: $(BUILD)/build.ninja
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD)
	meson install -C $(BUILD) --no-rebuild $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf $(BUILD) build-fuzz

.PHONY: all demo test check bench fuzz oracle-check install format clean
