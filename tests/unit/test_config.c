/* SPDX-License-Identifier: BSD-3-Clause */
/* core/config.h: directives, addresses, errors, and that formatting reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <standin/device.h>

#include "core/config.h"

static int model_realize(struct standin_device *dev, struct standin_pci *pci)
{
	return 0;
}

static const struct standin_key model_keys[] = {
	{"file", "a file"}, {"size", "bytes"}, {NULL, NULL}};
static const struct standin_model config_test_model = {
	.struct_size = sizeof(struct standin_model),
	.api_version = STANDIN_MODEL_API,
	.name = "config-test",
	.longname = "a model for this test",
	.keys = model_keys,
	.realize = model_realize,
};
STANDIN_MODEL(config_test_model)

static int complete(const char *text, struct config *c, char *error)
{
	int result;

	config_init(c);
	result = config_text(c, text, error);
	return result < 0 ? result : config_complete(c, error);
}

static void check_bad(const char *text, const char *expected_message)
{
	char error[CONFIG_ERROR_MAX] = "";
	struct config c;

	assert_int_equal(complete(text, &c, error), -22);
	assert_string_equal(error, expected_message);
	config_finish(&c);
}

static void test_reads_back(void **state)
{
	static const char text[] = "device config-test,addr=0000:02:03.1,mmap=off,file=a,,b\n"
				   "vdpa net,net=hub=/tmp/h,,i,mtu=9000\n"
				   "vhost-scsi wwpn=naa.5001405000000001,tpgt=7,lun0=a,,b,lun0."
				   "readonly=on\n"
				   "fault VFIO_IOMMU_MAP_DMA:errno=ENOMEM,nth=3\n"
				   "trace /tmp/t\n"
				   "log debug\n"
				   "directory /tmp/d\n"
				   "set vfio.dma_entry_limit=5\n"
				   "set vfio.memlock=on\n"
				   "set memory.traps=protect\n"
				   "hmm devices=3,memory=1048576,coherent=off\n"
				   "uffd emulate\n"
				   "uffd-backing fuse\n";
	char error[CONFIG_ERROR_MAX];
	struct config c;
	char *back;

	assert_int_equal(complete(text, &c, error), 0);
	assert_int_equal(c.n_devices, 1);
	assert_int_equal(c.devices[0].address.bus, 2);
	assert_int_equal(c.devices[0].address.slot, 3);
	assert_int_equal(c.devices[0].address.function, 1);
	assert_false(c.devices[0].mmap);
	assert_string_equal(c.devices[0].keys.key[0].value, "a,b");
	back = config_format(&c);
	assert_string_equal(back, text);
	free(back);
	config_finish(&c);
}

static void test_addresses_are_assigned(void **state)
{
	char error[CONFIG_ERROR_MAX], text[PCI_ADDRESS_MAX];
	struct config c;

	assert_int_equal(complete("# two\ndevice config-test\n\n  device config-test,addr=1:0.0\n",
				  &c, error),
			 0);
	pci_address_format(&c.devices[0].address, text);
	assert_string_equal(text, "0000:02:00.0");
	pci_address_format(&c.devices[1].address, text);
	assert_string_equal(text, "0000:01:00.0");
	config_finish(&c);
}

static void test_errors_are_one_clear_line(void **state)
{
	check_bad("device config-test,addr=1:0\n",
		  "line 1: device config-test: '1:0' is no PCI address (01:00.0)");
	check_bad("\ndevice config-test,file\n",
		  "line 2: device config-test: 'file' is not key=value");
	check_bad("device config-test,colour=red\n",
		  "device config-test: no key is named 'colour'");
	check_bad("device config-test,size=1,size=2\n",
		  "line 1: device config-test: key 'size' is given twice");
	check_bad("device nonesuch\n",
		  "no device model is named 'nonesuch' (standin list --devices)");
	check_bad("device config-test,addr=3:0.0\ndevice config-test,addr=0:3:0.0\n",
		  "device config-test: address 0000:03:00.0 is taken twice");
	check_bad("vdpa net=loopback\n", "line 1: vdpa: what it is comes first (net,net=loopback)");
	check_bad("vdpa net,loopback\n", "line 1: vdpa net: 'loopback' is not key=value");
	check_bad("vdpa net,mtu=9000,mtu=9000\n", "line 1: vdpa net: key 'mtu' is given twice");
	check_bad("hmm devices=5\n", "line 1: hmm: devices is 1 to 4, not '5'");
	check_bad("hmm memory=1000\n", "line 1: hmm: memory is a size in whole pages, not '1000'");
	check_bad("hmm coherent=perhaps\n", "line 1: hmm: coherent is on or off, not 'perhaps'");
	check_bad("hmm devices\n", "line 1: hmm: 'devices' is not key=value");
	check_bad("hmm colour=red\n", "line 1: hmm: no key is named 'colour'");
	check_bad("uffd on\n", "line 1: uffd: it is auto, native or emulate, not 'on'");
	check_bad("uffd-backing file\n",
		  "line 1: uffd-backing: it is memory or fuse, not 'file'");
	check_bad("set memory.traps=all\n",
		  "line 1: set: memory.traps is auto, guard or protect, not 'all'");
	check_bad("vhost-scsi lun0=disk.img\n",
		  "line 1: vhost-scsi: wwpn= is needed (wwpn=naa.5001405000000001)");
	check_bad("vhost-scsi wwpn=naa.50014050000000g1\n",
		  "line 1: vhost-scsi: 'naa.50014050000000g1' is no WWPN (naa.5001405000000001)");
	check_bad("vhost-scsi wwpn=naa.5001405000000001,tpgt=256\n",
		  "line 1: vhost-scsi: tpgt is 0 to 255, not '256'");
	check_bad("vhost-scsi wwpn=naa.5001405000000001,lun0=a,lun0=b\n",
		  "line 1: vhost-scsi: key 'lun0' is given twice");
	check_bad("vhost-scsi wwpn=naa.5001405000000001\nvhost-scsi wwpn=naa.5001405000000001\n",
		  "line 2: vhost-scsi: naa.5001405000000001,tpgt=0 is given twice");
	check_bad("device\n", "line 1: 'device' needs a value");
	check_bad("gadget x\n", "line 1: no directive is named 'gadget'");
	check_bad("log loud\n", "line 1: log: 'loud' is not one of error, warning, info, debug");
	check_bad("set vfio.memlock=maybe\n",
		  "line 1: set: vfio.memlock is on or off, not 'maybe'");
	check_bad("set vfio.dma_entry_limit=-1\n",
		  "line 1: set: vfio.dma_entry_limit is a number, not '-1'");
	check_bad("set colour=red\n", "line 1: set: no setting is named 'colour'");
	check_bad("device config-test\nfault X:errno=ENONSENSE\n",
		  "fault X: bad value 'ENONSENSE' for errno");
	check_bad("device config-test\nfault X:nth=1\n", "fault X: errno= is missing");
}

static void test_pci_addresses(void **state)
{
	static const char *const bad[] = {"",          "1",       "1:0",         "1:0.8",
					  "1:20.0",    "100:0.0", "1:0.0x",      "g:0.0",
					  "1:2:3:4.0", "-1:0.0",  "10000:1:0.0", "1:.0"};
	struct pci_address a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(pci_address_parse(bad[i], &a), -22);
	assert_int_equal(pci_address_parse("ffff:ff:1f.7", &a), 0);
	assert_int_equal(a.domain, 0xffff);
	assert_int_equal(a.slot, 0x1f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_back),
		cmocka_unit_test(test_addresses_are_assigned),
		cmocka_unit_test(test_errors_are_one_clear_line),
		cmocka_unit_test(test_pci_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
