/* SPDX-License-Identifier: BSD-3-Clause */
/* src/tree: what is written for a configuration, and that it can be removed again. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/config.h"
#include "core/device.h"
#include "core/file.h"
#include "core/instance.h"
#include "tree/tree.h"

static int probe_realize(struct standin_device *dev, struct standin_pci *pci)
{
	uint64_t fail;
	int result = standin_config_number(dev, "fail", 0, 0, 1, &fail);

	if (result < 0)
		return result;
	if (fail)
		return standin_device_error(dev, -EIO, "told to fail");
	*pci = (struct standin_pci){
		.vendor = 0xabcd,
		.device = 0x0123,
		.subsystem_vendor = 0x1af4,
		.subsystem_device = 0x1100,
		.revision = 2,
		.class_code = 0x010802,
		.interrupt_pin = 1,
		.msix_vectors = 8,
		.msix_bar = 0,
		.msix_table = 0x2000,
		.msix_pba = 0x3000,
		.pcie = true,
		.power_management = true,
		.bar[0] = {.size = 0x4000, .flags = STANDIN_BAR_MEM64},
		.bar[2] = {.size = 0x100000},
		.bar[3] = {.size = 0x40, .flags = STANDIN_BAR_IO},
		.bar[4] = {.size = 1ull << 36,
			   .flags = STANDIN_BAR_MEM64 | STANDIN_BAR_PREFETCHABLE},
	};
	return 0;
}

static const struct standin_key probe_keys[] = {{"fail", "1: realize fails"}, {0}};
static const struct standin_model probe = {
	.struct_size = sizeof(struct standin_model),
	.api_version = STANDIN_MODEL_API,
	.name = "tree-probe",
	.longname = "a function for the tree's test",
	.keys = probe_keys,
	.realize = probe_realize,
};
STANDIN_MODEL(probe)

static char root[] = "/dev/shm/test_tree.XXXXXX"; /* or in /tmp */

static int build(const char *text, char *error, size_t error_size)
{
	struct config *c = malloc(sizeof(*c));
	int result;

	assert_non_null(c);
	config_init(c);
	assert_int_equal(config_text(c, text, error), 0);
	assert_int_equal(config_complete(c, error), 0);
	assert_int_equal(instance_start(c, error, error_size), 0);
	strcpy(root, access("/dev/shm", W_OK) == 0 ? "/dev/shm/test_tree.XXXXXX"
	                                           : "/tmp/test_tree.XXXXXX");
	assert_non_null(mkdtemp(root));
	result = tree_create(root, instance, error, error_size);
	instance_stop();
	return result;
}

static void build_well(const char *text)
{
	char error[CONFIG_ERROR_MAX] = "";

	if (build(text, error, sizeof(error)) != 0)
		fail_msg("%s", error);
}

static int remove_tree(void **state)
{
	return tree_remove(root) == 0 && access(root, F_OK) < 0 && errno == ENOENT ? 0 : -1;
}

static const char *path_of(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static size_t read_file(const char *name, char *bytes, size_t size)
{
	int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		fail_msg("%s: %s", name, strerror(errno));
	n = read(fd, bytes, size);
	close(fd);
	assert_true(n >= 0);
	return (size_t)n;
}

static void assert_text(const char *name, const char *text)
{
	char bytes[4096];

	bytes[read_file(name, bytes, sizeof(bytes) - 1)] = '\0';
	assert_string_equal(bytes, text);
}

static void assert_link(const char *name, const char *target)
{
	char bytes[PATH_MAX];
	ssize_t n = readlink(path_of(name), bytes, sizeof(bytes) - 1);

	if (n < 0)
		fail_msg("%s: %s", name, strerror(errno));
	bytes[n] = '\0';
	assert_string_equal(bytes, target);
}

static void assert_mode(const char *name, mode_t mode)
{
	struct stat st;

	assert_int_equal(lstat(path_of(name), &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
}

static void assert_same_file(const char *one, const char *other)
{
	struct stat a, b;

	assert_int_equal(stat(path_of(one), &a), 0);
	assert_int_equal(stat(path_of(other), &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
}

#define BDF "0000:5a:03.1"
#define DEV "sys/bus/pci/devices/" BDF "/"

/* The text that a 7.3 kernel prints for a function with these numbers. */
static void test_attributes(void **state)
{
	mode_t mask = umask(077);

	build_well("device tree-probe,addr=5a:03.1\n");
	umask(mask);
	assert_text(DEV "vendor", "0xabcd\n");
	assert_text(DEV "device", "0x0123\n");
	assert_text(DEV "subsystem_vendor", "0x1af4\n");
	assert_text(DEV "subsystem_device", "0x1100\n");
	assert_text(DEV "class", "0x010802\n");
	assert_text(DEV "revision", "0x02\n");
	assert_text(DEV "modalias", "pci:v0000ABCDd00000123sv00001AF4sd00001100bc01sc08i02\n");
	assert_text(DEV "uevent",
		    "DRIVER=vfio-pci\nPCI_CLASS=10802\nPCI_ID=ABCD:0123\nPCI_SUBSYS_ID=1AF4:1100\n"
		    "PCI_SLOT_NAME=" BDF "\n"
		    "MODALIAS=pci:v0000ABCDd00000123sv00001AF4sd00001100bc01sc08i02\n");
	assert_text(DEV "enable", "0\n");
	assert_text(DEV "driver_override", "vfio-pci\n");
	assert_text(DEV "reset_method", "flr bus\n");
	assert_text(DEV "current_link_speed", "2.5 GT/s PCIe\n");
	assert_text(DEV "numa_node", "-1\n");
	assert_mode(DEV "vendor", 0444);
	assert_mode(DEV "config", 0644);
	assert_mode(DEV "reset", 0200);
	assert_mode(DEV "remove", 0220);
	assert_mode(DEV "enable", 0644);
	assert_mode(DEV "power", 0755);
}

static void test_resource(void **state)
{
	char bytes[4096], *line, *rest;
	unsigned long long start, end, flags,
		expected[][2] = {
			{0x4000, 0x140204},     {0, 0}, {0x100000, 0x40200}, {0x40, 0x40101},
			{1ull << 36, 0x14220c},
		};
	unsigned n = 0;

	build_well("device tree-probe,addr=5a:03.1\n");
	bytes[read_file(DEV "resource", bytes, sizeof(bytes) - 1)] = '\0';
	for (line = strtok_r(bytes, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), n++) {
		unsigned long long *want = n < 5 ? expected[n] : expected[1];

		assert_int_equal(strlen(line), 56);
		assert_int_equal(sscanf(line, "0x%16llx 0x%16llx 0x%16llx", &start, &end, &flags),
				 3);
		assert_int_equal(flags, want[1]);
		if (!want[0]) {
			assert_true(start == 0 && end == 0);
			continue;
		}
		assert_int_equal(end - start + 1, want[0]);
		assert_int_equal(start % want[0], 0);
		assert_true(start != 0);
	}
	assert_int_equal(n, 13);
}

/* What sysfs's `config` shows agrees with `resource`. */
static void test_config(void **state)
{
	uint8_t bytes[PCI_CONFIG_SIZE + 1];
	char text[4096];
	unsigned long long start;

	build_well("device tree-probe,addr=5a:03.1\n");
	assert_int_equal(read_file(DEV "config", (char *)bytes, sizeof(bytes)), PCI_CONFIG_SIZE);
	assert_int_equal(bytes[0] | bytes[1] << 8, 0xabcd);
	text[read_file(DEV "resource", text, sizeof(text) - 1)] = '\0';
	assert_int_equal(sscanf(text, "%llx", &start), 1);
	assert_int_equal(bytes[0x10] | bytes[0x11] << 8 | bytes[0x12] << 16 |
				 (uint32_t)bytes[0x13] << 24,
			 (uint32_t)start | 4);
	assert_int_equal(sscanf(text + 4 * 57, "%llx", &start), 1);
	assert_true(start >> 32 != 0);
	assert_int_equal(bytes[0x24], (start >> 32) & 0xff);
	assert_int_equal(bytes[0x3d], 1);
}

static void test_links(void **state)
{
	char target[PATH_MAX];
	ssize_t n;

	build_well("device tree-probe,addr=5a:03.1\n");
	n = readlink(path_of("sys/bus/pci/devices/" BDF), target, sizeof(target) - 1);
	assert_true(n > 0);
	target[n] = '\0';
	assert_memory_equal(target, "../../../devices/pci0000:00/0000:00:", 36);
	assert_string_equal(strrchr(target, '/'), "/" BDF);
	assert_link(DEV "driver", "../../../../bus/pci/drivers/vfio-pci");
	assert_link(DEV "subsystem", "../../../../bus/pci");
	assert_link(DEV "iommu_group", "../../../../kernel/iommu_groups/0");
	assert_same_file("sys/kernel/iommu_groups/0/devices/" BDF, "sys/bus/pci/devices/" BDF);
	assert_same_file("sys/bus/pci/drivers/vfio-pci/" BDF, "sys/bus/pci/devices/" BDF);
	assert_same_file("sys/module/vfio_pci/drivers/pci:vfio-pci", DEV "driver");
	assert_same_file("sys/bus/pci/drivers/vfio-pci/module", "sys/module/vfio_pci");
	assert_same_file(DEV "subsystem", "sys/bus/pci");
	/* DPDK's way to the address width. */
	assert_int_equal(access(path_of(DEV "iommu/intel-iommu/cap"), R_OK), 0);
}

static void test_groups_and_nodes(void **state)
{
	build_well("device tree-probe,addr=5a:00.0\ndevice tree-probe,addr=5a:00.1\n"
		   "set vfio.dma_entry_limit=123\n");
	assert_link("sys/bus/pci/devices/0000:5a:00.1/iommu_group",
		    "../../../../kernel/iommu_groups/1");
	assert_text("sys/kernel/iommu_groups/1/type", "DMA\n");
	assert_text("sys/kernel/iommu_groups/1/reserved_regions",
		    "0x00000000fee00000 0x00000000feefffff msi\n");
	assert_text("dev/vfio/vfio", "10:196\n");
	assert_mode("dev/vfio/vfio", 0666);
	assert_mode("dev/vfio/1", 0600);
	assert_link("sys/class/vfio/1", "../../devices/virtual/vfio/1");
	assert_text("sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "123\n");
	assert_text("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
}

/* Every node's number is the one its class directory shows. */
static void test_class_agrees_with_nodes(void **state)
{
	char node[64], class[64];

	build_well("device tree-probe\n");
	node[read_file("dev/vfio/0", node, sizeof(node) - 1)] = '\0';
	class[read_file("sys/class/vfio/0/dev", class, sizeof(class) - 1)] = '\0';
	assert_string_equal(node, class);
}

/* Two functions of one bus share its root port; another domain hangs below. */
static void test_buses(void **state)
{
	char one[PATH_MAX], other[PATH_MAX];

	build_well("device tree-probe,addr=5a:00.0\ndevice tree-probe,addr=5a:01.0\n"
		   "device tree-probe,addr=5b:00.0\ndevice tree-probe,addr=00:1e.0\n"
		   "device tree-probe,addr=0002:00:03.0\n");
	assert_non_null(realpath(path_of("sys/bus/pci/devices/0000:5a:00.0/.."), one));
	assert_non_null(realpath(path_of("sys/bus/pci/devices/0000:5a:01.0/.."), other));
	assert_string_equal(one, other);
	assert_non_null(realpath(path_of("sys/bus/pci/devices/0000:5b:00.0/.."), other));
	assert_string_not_equal(one, other);
	assert_text("sys/bus/pci/devices/0000:5b:00.0/../secondary_bus_number", "91\n");
	assert_text("sys/bus/pci/devices/0000:5b:00.0/../class", "0x060400\n");
	assert_link("sys/bus/pci/devices/0000:00:1e.0", "../../../devices/pci0000:00/0000:00:1e.0");
	assert_link("sys/bus/pci/devices/0002:00:03.0",
		    "../../../devices/pci0000:00/pci0002:00/0002:00:03.0");
}

/* As many buses as there are: ports fill the slots, then their further functions. */
static void test_many_buses(void **state)
{
	char text[200 * 40] = "", path[64];
	size_t length = 0;
#ifdef __SANITIZE_THREAD__
	const unsigned last = 20; /* it leaves a program few addresses for BARs */
#else
	const unsigned last = 100;
#endif

	for (unsigned bus = 1; bus <= last; bus++)
		length += (size_t)sprintf(text + length, "device tree-probe,addr=%02x:00.0\n", bus);
	build_well(text);
	for (unsigned bus = 1; bus <= last; bus++) {
		snprintf(path, sizeof(path), "sys/bus/pci/devices/0000:%02x:00.0/vendor", bus);
		assert_text(path, "0xabcd\n");
	}
}

/* What the machine has stays visible. */
static void test_host_entries(void **state)
{
	struct dirent *entry;
	unsigned n = 0;
	DIR *dir;

	build_well("device tree-probe,addr=5a:00.0\n");
	dir = opendir("/sys/bus/pci/devices");
	while (dir && (entry = readdir(dir))) {
		char name[300];

		snprintf(name, sizeof(name), "sys/bus/pci/devices/%s/vendor", entry->d_name);
		if (entry->d_name[0] != '.') {
			assert_int_equal(access(path_of(name), R_OK), 0);
			n++;
		}
	}
	if (dir)
		closedir(dir);
	if (n == 0)
		skip();
}

static void test_failure_is_told(void **state)
{
	char error[CONFIG_ERROR_MAX] = "";

	assert_int_equal(build("device tree-probe,fail=1\n", error, sizeof(error)), -EIO);
	assert_string_equal(error, "device tree-probe at 0000:01:00.0: told to fail");
}

static void test_remove_follows_no_link(void **state)
{
	char outside[] = "/tmp/test_tree.outside.XXXXXX", file[64];

	build_well("device tree-probe\n");
	assert_non_null(mkdtemp(outside));
	snprintf(file, sizeof(file), "%s/file", outside);
	close(open(file, O_WRONLY | O_CREAT, 0600));
	assert_int_equal(symlink(outside, path_of("link")), 0);
	assert_int_equal(tree_remove(root), 0);
	assert_int_equal(access(root, F_OK), -1);
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(tree_remove(outside), 0);
	assert_int_equal(tree_remove(outside), 0); /* gone already is fine */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_attributes, remove_tree),
		cmocka_unit_test_teardown(test_resource, remove_tree),
		cmocka_unit_test_teardown(test_config, remove_tree),
		cmocka_unit_test_teardown(test_links, remove_tree),
		cmocka_unit_test_teardown(test_groups_and_nodes, remove_tree),
		cmocka_unit_test_teardown(test_class_agrees_with_nodes, remove_tree),
		cmocka_unit_test_teardown(test_buses, remove_tree),
		cmocka_unit_test_teardown(test_many_buses, remove_tree),
		cmocka_unit_test_teardown(test_host_entries, remove_tree),
		cmocka_unit_test_teardown(test_failure_is_told, remove_tree),
		cmocka_unit_test(test_remove_follows_no_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
