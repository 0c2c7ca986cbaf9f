/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The path logic of the preload library: what is normal, what a prefix covers, which
 * relative paths can matter, and that the private directory's name is taken away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "inject/preload/path.h"
#include "tree/prefixes.h"

static void expect_normal(const char *base, const char *path, const char *normal)
{
	char out[PATH_MAX];

	assert_true(path_normalise(base, path, out));
	assert_string_equal(out, normal);
}

static void test_normalise(void **state)
{
	char out[PATH_MAX], longest[PATH_MAX + 1];

	expect_normal("/", "/", "/");
	expect_normal("/", "///", "/");
	expect_normal("/", "/..", "/");
	expect_normal("/", "/../..//.", "/");
	expect_normal("/a", "/b", "/b");
	expect_normal("/a", "b", "/a/b");
	expect_normal("/", "b", "/b");
	expect_normal("/a/b", "..", "/a");
	expect_normal("/a/b", "../..", "/");
	expect_normal("/a/b", "../../../c", "/c");
	expect_normal("/a/b", ".", "/a/b");
	expect_normal("/a/b", "", "/a/b");
	expect_normal("/", "/sys//bus/./pci/", "/sys/bus/pci");
	expect_normal("/", "/sys/bus/pci/../pci", "/sys/bus/pci");
	expect_normal("/", "/..a/.b/...", "/..a/.b/...");

	memset(longest, 'x', PATH_MAX);
	longest[0] = '/';
	longest[PATH_MAX - 1] = '\0';
	assert_true(path_normalise("/", longest, out));
	assert_string_equal(out, longest);
	assert_false(path_normalise("/ab", longest + 1, out));
	longest[PATH_MAX - 1] = 'x';
	longest[PATH_MAX] = '\0';
	assert_false(path_normalise("/", longest, out));
}

static void test_covered(void **state)
{
	for (size_t i = 0; i < sizeof(tree_prefixes) / sizeof(tree_prefixes[0]); i++)
		if (!strchr(tree_prefixes[i], '#'))
			assert_true(path_covered(tree_prefixes[i]));
	assert_true(path_covered("/sys/bus/pci"));
	assert_true(path_covered("/sys/bus/pci/devices"));
	assert_true(path_covered("/dev/vfio/vfio"));
	assert_true(path_covered("/dev/iommu"));
	assert_true(path_covered("/sys/devices/pci0000:00/0000:01:00.0"));
	assert_true(path_covered("/sys/class/vfio-dev/vfio0"));
	assert_false(path_covered("/"));
	assert_false(path_covered("/sys"));
	assert_false(path_covered("/sys/bus"));
	assert_false(path_covered("/sys/bus/pci_express"));
	assert_false(path_covered("/sys/bus/pc"));
	assert_false(path_covered("/dev/vfiox"));
	assert_false(path_covered("/dev/iommu0"));
	assert_false(path_covered("/home/sys/bus/pci"));
}

static void test_completes(void **state)
{
	/* From /, /sys, /sys/bus; /dev; /sys/kernel. */
	assert_true(path_completes("sys/bus/pci"));
	assert_true(path_completes("bus/pci/devices"));
	assert_true(path_completes("pci"));
	assert_true(path_completes("pci/"));
	assert_true(path_completes("vfio/0"));
	assert_true(path_completes("iommu_groups/1"));
	assert_true(path_completes("./bus/pci"));
	assert_true(path_completes("bus//pci"));
	assert_true(path_completes("../../sys/bus/pci/devices"));
	assert_true(path_completes("x/../bus/pci"));
	/* Too little, too much before, or something else. */
	assert_false(path_completes("sys"));
	assert_false(path_completes("sys/bus"));
	assert_false(path_completes("bus"));
	assert_false(path_completes("pcix"));
	assert_false(path_completes("us/pci"));
	assert_false(path_completes("include/pci"));
	assert_false(path_completes("."));
	assert_false(path_completes(".."));
	assert_false(path_completes("../lib/libc.a"));
	assert_false(path_completes("main.c"));
}

static void test_suspect(void **state)
{
	/* All that is covered is suspected, however it is written. */
	assert_true(path_suspect("/sys/bus/pci"));
	assert_true(path_suspect("/dev/vfio"));
	assert_true(path_suspect("//sys/bus/pci"));
	assert_true(path_suspect("/./dev/vfio"));
	assert_true(path_suspect("/../dev/vfio"));
	assert_true(path_suspect("/tmp/../dev/vfio"));
	/* And what shares nothing is not. */
	assert_false(path_suspect("/usr/lib/x86_64-linux-gnu/libc.so.6"));
	assert_false(path_suspect("/proc/self/maps"));
	assert_false(path_suspect("/d"));
	assert_false(path_suspect("/dev/null"));
	assert_false(path_suspect("/sys/class/net/lo"));
	assert_false(path_suspect("/home/a..b/c"));
}

static void test_first_shared(void **state)
{
	assert_true(path_first_shared("/sys"));
	assert_true(path_first_shared("/sys/anything"));
	assert_true(path_first_shared("/dev/"));
	assert_true(path_first_shared("//usr"));
	assert_false(path_first_shared("/"));
	assert_false(path_first_shared("/sy/bus"));
	assert_false(path_first_shared("/system"));
	assert_false(path_first_shared("/usr/dev"));
}

static void test_climbs(void **state)
{
	assert_true(path_climbs(".."));
	assert_true(path_climbs("../a"));
	assert_true(path_climbs("a/.."));
	assert_true(path_climbs("/a/../b"));
	assert_true(path_climbs("...//../b"));
	assert_false(path_climbs("..."));
	assert_false(path_climbs("a.."));
	assert_false(path_climbs("..a/b"));
	assert_false(path_climbs("/a/.../b"));
	assert_false(path_climbs("."));
}

#define ROOT "/run/user/0/standin-abc/root"

static void expect_strip(const char *text, const char *left)
{
	char buffer[PATH_MAX];
	size_t n, length = strlen(text);

	/* As a string. */
	strcpy(buffer, text);
	n = path_strip(buffer, length + 1, ROOT, strlen(ROOT));
	assert_string_equal(buffer, left);
	assert_int_equal(n, strlen(left) + 1);
	/* As readlink leaves it: nothing behind the end may be touched. */
	memset(buffer, '#', sizeof(buffer));
	memcpy(buffer, text, length);
	n = path_strip(buffer, length, ROOT, strlen(ROOT));
	assert_int_equal(n, strlen(left));
	assert_memory_equal(buffer, left, n);
	assert_int_equal(buffer[length], '#');
}

static void test_strip(void **state)
{
	expect_strip(ROOT "/sys/bus/pci", "/sys/bus/pci");
	expect_strip(ROOT "/a", "/a");
	expect_strip(ROOT, "/");
	expect_strip(ROOT "2/sys", ROOT "2/sys");
	expect_strip("/run/user/0/standin-abc", "/run/user/0/standin-abc");
	expect_strip("/sys/bus/pci", "/sys/bus/pci");
	expect_strip("../../bus/pci", "../../bus/pci");
	expect_strip("", "");
	assert_true(path_inside(ROOT "/x", ROOT, strlen(ROOT)));
	assert_true(path_inside(ROOT, ROOT, strlen(ROOT)));
	assert_false(path_inside(ROOT "x", ROOT, strlen(ROOT)));
	assert_false(path_inside("/run", ROOT, strlen(ROOT)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_normalise),    cmocka_unit_test(test_covered),
		cmocka_unit_test(test_completes),    cmocka_unit_test(test_suspect),
		cmocka_unit_test(test_first_shared), cmocka_unit_test(test_climbs),
		cmocka_unit_test(test_strip),
	};

	path_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
