/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_DEVICE_SET_IRQS: the whole matrix of index, action, data type, start and count, with
 * nothing set up and with each kind set up; then sequences whose effect is seen on the
 * eventfds.
 */
#include "vfio.h"

#define INTX VFIO_PCI_INTX_IRQ_INDEX
#define MSI  VFIO_PCI_MSI_IRQ_INDEX
#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define ERR  VFIO_PCI_ERR_IRQ_INDEX
#define REQ  VFIO_PCI_REQ_IRQ_INDEX

#define MASK    VFIO_IRQ_SET_ACTION_MASK
#define UNMASK  VFIO_IRQ_SET_ACTION_UNMASK
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER
#define NONE    VFIO_IRQ_SET_DATA_NONE
#define BOOL    VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD

struct irq_set {
	struct vfio_irq_set head;
	union {
		uint8_t bools[512];
		int32_t fds[128];
	};
};

static int device;
static int events[128];

static long set(uint32_t argsz, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		const void *data, size_t size)
{
	static struct irq_set s;

	s.head = (struct vfio_irq_set){
		.argsz = argsz, .flags = flags, .index = index, .start = start, .count = count};
	memset(s.bools, 0, sizeof(s.bools));
	if (size)
		memcpy(s.bools, data, size);
	return result(sys_ioctl(device, VFIO_DEVICE_SET_IRQS, &s));
}

static void all_off(void)
{
	for (uint32_t index = 0; index < 5; index++)
		irq_none(device, index, 0, 0, TRIGGER);
}

/* Which eventfds were signalled since last asked: "0 2*3" is number 0 once, 2 three times. */
static const char *signals(void)
{
	static struct text t;

	t.length = 0;
	t.data[0] = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
		unsigned long n = eventfd_count(events[i]);

		if (n == 1)
			text_add(&t, " %u", i);
		else if (n)
			text_add(&t, " %u*%lu", i, n);
	}
	return t.length ? t.data : " none";
}

static void expect(long r, const char *name)
{
	say_text(name, "%s, signals%s", result_name(r), signals());
}

/* ---- The matrix ---- */

static void prepare(uint32_t kind)
{
	all_off();
	if (kind == INTX || kind == ERR || kind == REQ)
		irq_eventfds(device, kind, 0, 1, events);
	else if (kind == MSIX)
		irq_eventfds(device, kind, 0, 4, events);
}

void area_irq_matrix(void)
{
	static const struct {
		uint32_t flags;
		const char *name;
	} actions[] = {{0, "no action"},
		       {MASK, "MASK"},
		       {UNMASK, "UNMASK"},
		       {TRIGGER, "TRIGGER"},
		       {MASK | TRIGGER, "MASK|TRIGGER"}},
	  types[] = {{0, "no data"},
		     {NONE, "NONE"},
		     {BOOL, "BOOL"},
		     {EVENTFD, "EVENTFD"},
		     {NONE | EVENTFD, "NONE|EVENTFD"}};
	static const struct {
		uint32_t kind;
		const char *name;
	} states[] = {{99, "off"}, {INTX, "intx"}, {MSIX, "msix"}, {ERR, "err"}, {REQ, "req"}};
	static const uint32_t starts[] = {0, 1, 3, 64, 65}, counts[] = {0, 1, 2, 65};
	uint8_t bools[128];
	struct vfio v;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	device = v.device;
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		events[i] = eventfd(0, EFD_NONBLOCK);
	memset(bools, 1, sizeof(bools));
	for (size_t s = 0; s < ARRAY_SIZE(states); s++) {
		for (uint32_t index = 0; index < 6; index++) {
			/* Those that go on to do something only with their own kind set up. */
			if (s && states[s].kind != index && !(states[s].kind < 3 && index < 3))
				continue;
			for (size_t a = 0; a < ARRAY_SIZE(actions) * ARRAY_SIZE(types); a++) {
				size_t action = a / ARRAY_SIZE(types), type = a % ARRAY_SIZE(types);
				struct text t = {.length = 0};

				for (size_t c = 0; c < ARRAY_SIZE(starts) * ARRAY_SIZE(counts);
				     c++) {
					uint32_t start = starts[c / ARRAY_SIZE(counts)];
					uint32_t count = counts[c % ARRAY_SIZE(counts)];
					char word[64];
					unsigned long n = 0;
					long r;

					prepare(states[s].kind);
					r = set(sizeof(struct vfio_irq_set) + 4 * count,
						actions[action].flags | types[type].flags, index,
						start, count,
						types[type].flags & EVENTFD ? (void *)events
									    : bools,
						types[type].flags & EVENTFD ? 4 * count : count);
					for (size_t e = 0; e < ARRAY_SIZE(events); e++)
						n += eventfd_count(events[e]);
					snprintf(word, sizeof(word), "%s%s%lu", result_name(r),
						 n ? "!" : "", n);
					if (!n)
						word[strlen(word) - 1] = 0;
					text_add_run(&t, word);
				}
				text_end_run(&t);
				printf("irqmatrix.%s.%u.%s.%s:%s\n", states[s].name, index,
				       actions[action].name, types[type].name, t.data);
			}
		}
	}
	all_off();
	vfio_close(&v);
}

/* ---- Arguments ---- */

static void arguments(void)
{
	struct irq_set s = {
		.head = {.argsz = 20, .flags = NONE | TRIGGER, .index = MSIX, .count = 1}};
	int32_t fd = events[0];
	uint8_t one = 1;

	say(result(sys_ioctl(device, VFIO_DEVICE_SET_IRQS, NULL)), "NULL");
	say(result(sys_ioctl(device, VFIO_DEVICE_SET_IRQS, edge(19, &s))), "edge(19)");
	say(result(sys_ioctl(device, VFIO_DEVICE_SET_IRQS, edge(20, &s))), "edge(20)");
	s.head.flags = EVENTFD | TRIGGER;
	s.head.argsz = 24;
	say(result(sys_ioctl(device, VFIO_DEVICE_SET_IRQS, edge(20, &s))), "edge(20).EVENTFD");
	say(result(sys_ioctl(device, VFIO_DEVICE_SET_IRQS, edge(23, &s))), "edge(23).EVENTFD");
	s.head.start = 65;
	say(result(sys_ioctl(device, VFIO_DEVICE_SET_IRQS, edge(20, &s))),
	    "edge(20).EVENTFD.start=65");
	s.head.start = 0;
	s.head.flags = EVENTFD | MASK;
	say(result(sys_ioctl(device, VFIO_DEVICE_SET_IRQS, edge(20, &s))), "edge(20).EVENTFD|MASK");

	say(set(0, NONE | TRIGGER, MSIX, 0, 1, NULL, 0), "argsz=0");
	say(set(19, NONE | TRIGGER, MSIX, 0, 1, NULL, 0), "argsz=19");
	say(set(20, EVENTFD | TRIGGER, MSIX, 0, 1, &fd, 4), "argsz=20.EVENTFD");
	say(set(23, EVENTFD | TRIGGER, MSIX, 0, 1, &fd, 4), "argsz=23.EVENTFD");
	say(set(27, EVENTFD | TRIGGER, MSIX, 0, 2, &fd, 4), "argsz=27.EVENTFD.count=2");
	say(set(20, BOOL | TRIGGER, MSIX, 0, 1, &one, 1), "argsz=20.BOOL");
	say(set(20, EVENTFD | TRIGGER, MSIX, 0, 0, NULL, 0), "argsz=20.EVENTFD.count=0");
	say(set(20, BOOL | TRIGGER, MSIX, 0, 0, NULL, 0), "argsz=20.BOOL.count=0");
	say(set(24, EVENTFD | TRIGGER | 1u << 6, MSIX, 0, 1, &fd, 4), "flags 2^6");
	say(set(24, EVENTFD | TRIGGER | 1u << 31, MSIX, 0, 1, &fd, 4), "flags 2^31");
	say(set(19, 1u << 6, 9, 0, 1, NULL, 0), "all wrong");
	say(set(24, EVENTFD | TRIGGER, 5, 0, 1, &fd, 4), "index=5");
	say(set(24, EVENTFD | TRIGGER, UINT32_MAX, 0, 1, &fd, 4), "index=2^32-1");
	say(set(24, NONE | TRIGGER, MSIX, UINT32_MAX, 0, NULL, 0), "start=2^32-1");
	say(set(24, NONE | TRIGGER, MSIX, 0, UINT32_MAX, NULL, 0), "count=2^32-1");
	say(set(24, NONE | TRIGGER, MSIX, 0, UINT32_MAX - 1, NULL, 0), "count=2^32-2");
	say(set(24, NONE | TRIGGER, MSIX, 1, UINT32_MAX - 1, NULL, 0), "start=1.count=2^32-2");
	say(set(24, EVENTFD | TRIGGER, MSIX, 0, 0x40000000, &fd, 4), "count=2^30");
	say(set(24, NONE | TRIGGER, MSI, 0, 0, NULL, 0), "MSI.disable");
	say(set(24, NONE | MASK, MSI, 0, 1, NULL, 0), "MSI.MASK");
	say(set(24, NONE, INTX, 0, 1, NULL, 0), "no action");
	say(set(24, NONE | MASK | UNMASK, INTX, 0, 1, NULL, 0), "MASK|UNMASK");
	say(set(24, NONE | MASK | UNMASK | TRIGGER, INTX, 0, 1, NULL, 0), "all actions");
	say(set(24, TRIGGER, INTX, 0, 1, NULL, 0), "no data type");
	say(set(24, BOOL | EVENTFD | TRIGGER, INTX, 0, 1, &fd, 4), "two data types");
	all_off();
	signals();
}

static void bad_descriptors(void)
{
	int closed = NO_DESCRIPTOR, file = dup(1);
	int32_t fds[3] = {events[0], events[1], -1};

	for (uint32_t index = 0; index < 5; index++) {
		if (index == MSI)
			continue;
		fds[0] = closed;
		printf("irq.%u.closed: %s\n", index,
		       result_name(irq_eventfds(device, index, 0, 1, fds)));
		fds[0] = file;
		printf("irq.%u.not an eventfd: %s\n", index,
		       result_name(irq_eventfds(device, index, 0, 1, fds)));
		fds[0] = device;
		printf("irq.%u.the device: %s\n", index,
		       result_name(irq_eventfds(device, index, 0, 1, fds)));
		fds[0] = -1;
		printf("irq.%u.-1: %s\n", index,
		       result_name(irq_eventfds(device, index, 0, 1, fds)));
		printf("irq.%u.trigger: %s\n", index,
		       result_name(irq_none(device, index, 0, 1, TRIGGER)));
		fds[0] = -2;
		printf("irq.%u.-2: %s\n", index,
		       result_name(irq_eventfds(device, index, 0, 1, fds)));
		printf("irq.%u.disable: %s\n", index,
		       result_name(irq_none(device, index, 0, 0, TRIGGER)));
		printf("irq.%u.disable again: %s\n", index,
		       result_name(irq_none(device, index, 0, 0, TRIGGER)));
	}

	/* One bad among good ones. */
	fds[0] = events[0];
	fds[1] = events[1];
	fds[2] = closed;
	expect(irq_eventfds(device, MSIX, 0, 3, fds), "third bad");
	expect(irq_none(device, MSIX, 0, 1, TRIGGER), "third bad.trigger");
	expect(irq_none(device, MSIX, 0, 0, TRIGGER), "third bad.disable");
	expect(irq_eventfds(device, MSIX, 0, 5, events), "five");
	expect(irq_none(device, MSIX, 0, 5, TRIGGER), "five.trigger");
	expect(irq_eventfds(device, MSIX, 1, 3, fds), "five.third of 1..3 bad");
	expect(irq_none(device, MSIX, 0, 5, TRIGGER), "five.trigger");
	expect(irq_none(device, MSIX, 0, 0, TRIGGER), "five.disable");
	close(file);
}

static void msix_sequences(void)
{
	uint8_t some[65] = {0};
	int32_t fds[65];

	expect(irq_none(device, MSIX, 0, 1, TRIGGER), "msix.trigger when off");
	expect(irq_eventfds(device, MSIX, 0, 65, events), "msix.all");
	expect(irq_none(device, MSIX, 0, 65, TRIGGER), "msix.trigger all");
	some[0] = some[2] = some[64] = 1;
	expect(set(20 + 65, BOOL | TRIGGER, MSIX, 0, 65, some, 65), "msix.trigger some");
	expect(irq_none(device, MSIX, 64, 1, TRIGGER), "msix.trigger the last");
	expect(irq_none(device, MSIX, 64, 2, TRIGGER), "msix.trigger beyond");
	memset(fds, 0xff, sizeof(fds));
	expect(irq_eventfds(device, MSIX, 2, 3, fds), "msix.clear 2..4");
	expect(irq_none(device, MSIX, 0, 8, TRIGGER), "msix.trigger 0..7");
	expect(irq_eventfds(device, MSIX, 3, 1, events + 100), "msix.set 3");
	expect(irq_none(device, MSIX, 0, 8, TRIGGER), "msix.trigger 0..7");
	expect(irq_eventfds(device, MSIX, 3, 1, events + 101), "msix.change 3");
	expect(irq_none(device, MSIX, 3, 1, TRIGGER), "msix.trigger 3");
	expect(set(20, EVENTFD | TRIGGER, MSIX, 0, 0, NULL, 0), "msix.EVENTFD, count 0");
	expect(set(20, BOOL | TRIGGER, MSIX, 0, 0, NULL, 0), "msix.BOOL, count 0");
	expect(irq_none(device, MSIX, 3, 1, TRIGGER), "msix.trigger 3");
	expect(irq_none(device, MSIX, 7, 0, TRIGGER), "msix.disable, start 7");
	expect(irq_none(device, MSIX, 3, 1, TRIGGER), "msix.trigger when off");
	expect(irq_none(device, MSIX, 0, 0, TRIGGER), "msix.disable again");

	expect(irq_eventfds(device, MSIX, 10, 2, events), "msix.10..11 first");
	expect(irq_none(device, MSIX, 0, 65, TRIGGER), "msix.trigger all");
	expect(irq_eventfds(device, MSIX, 40, 1, events + 40), "msix.40 later");
	expect(irq_eventfds(device, MSIX, 0, 1, events + 50), "msix.0 later");
	expect(irq_none(device, MSIX, 0, 65, TRIGGER), "msix.trigger all");
	expect(irq_eventfds(device, MSIX, 60, 6, events), "msix.60..65");
	expect(irq_none(device, MSIX, 0, 0, TRIGGER), "msix.disable");
	expect(irq_eventfds(device, MSIX, 0, 4, fds), "msix.all -1");
	expect(irq_none(device, MSIX, 0, 4, TRIGGER), "msix.trigger");
	expect(irq_eventfds(device, INTX, 0, 1, events), "msix.all -1, then INTx");
	expect(irq_none(device, MSIX, 0, 0, TRIGGER), "msix.disable");
	for (int i = 0; i < 65; i++)
		fds[i] = events[7];
	expect(irq_eventfds(device, MSIX, 0, 3, fds), "msix.one eventfd for three");
	expect(irq_none(device, MSIX, 0, 3, TRIGGER), "msix.trigger");
	expect(irq_none(device, MSIX, 0, 0, TRIGGER), "msix.disable");
}

static void intx_sequences(void)
{
	int32_t fd = events[9];
	uint64_t one = 1;
	uint8_t no = 0, yes = 1;

	expect(irq_none(device, INTX, 0, 1, TRIGGER), "intx.trigger when off");
	expect(irq_none(device, INTX, 0, 1, MASK), "intx.mask when off");
	expect(irq_none(device, INTX, 0, 1, UNMASK), "intx.unmask when off");
	expect(irq_eventfds(device, INTX, 0, 1, events), "intx.set");
	expect(irq_none(device, INTX, 0, 1, TRIGGER), "intx.trigger");
	expect(set(24, BOOL | TRIGGER, INTX, 0, 1, &no, 1), "intx.trigger BOOL 0");
	expect(set(24, BOOL | TRIGGER, INTX, 0, 1, &yes, 1), "intx.trigger BOOL 1");
	expect(irq_none(device, INTX, 0, 1, MASK), "intx.mask");
	expect(irq_none(device, INTX, 0, 1, MASK), "intx.mask again");
	expect(irq_none(device, INTX, 0, 1, TRIGGER), "intx.trigger masked");
	expect(irq_none(device, INTX, 0, 1, UNMASK), "intx.unmask");
	expect(irq_none(device, INTX, 0, 1, UNMASK), "intx.unmask again");
	expect(set(24, BOOL | MASK, INTX, 0, 1, &yes, 1), "intx.mask BOOL");
	expect(set(24, BOOL | UNMASK, INTX, 0, 1, &no, 1), "intx.unmask BOOL 0");
	expect(set(24, BOOL | UNMASK, INTX, 0, 1, &yes, 1), "intx.unmask BOOL 1");
	expect(set(24, EVENTFD | MASK, INTX, 0, 1, &fd, 4), "intx.mask EVENTFD");
	expect(set(24, EVENTFD | UNMASK, INTX, 0, 1, &fd, 4), "intx.unmask EVENTFD");
	expect(set(24, EVENTFD | UNMASK, INTX, 0, 1, &fd, 4), "intx.unmask EVENTFD again");
	say(write(events[9], &one, 8), "intx.unmask signalled");
	usleep(200000); /* a thread has to see it, on a busy machine too */
	say_text("intx.unmask eventfd", "%lu", eventfd_count(events[9]));
	fd = -1;
	expect(set(24, EVENTFD | UNMASK, INTX, 0, 1, &fd, 4), "intx.unmask EVENTFD -1");
	fd = events[9];
	expect(set(24, EVENTFD | UNMASK, INTX, 0, 1, &fd, 4), "intx.unmask EVENTFD after -1");
	fd = device;
	expect(set(24, EVENTFD | UNMASK, INTX, 0, 1, &fd, 4), "intx.unmask EVENTFD not one");
	fd = 1 << 30;
	expect(set(24, EVENTFD | UNMASK, INTX, 0, 1, &fd, 4), "intx.unmask EVENTFD closed");
	expect(irq_eventfds(device, INTX, 0, 1, events + 1), "intx.change");
	expect(irq_none(device, INTX, 0, 1, TRIGGER), "intx.trigger");
	fd = -1;
	expect(irq_eventfds(device, INTX, 0, 1, &fd), "intx.set -1");
	expect(irq_none(device, INTX, 0, 1, TRIGGER), "intx.trigger");
	expect(irq_eventfds(device, MSIX, 0, 1, events), "intx.still on, so MSI-X");
	expect(irq_eventfds(device, INTX, 0, 1, events + 2), "intx.set again");
	expect(irq_none(device, INTX, 0, 1, TRIGGER), "intx.trigger");
	expect(irq_eventfds(device, INTX, 0, 0, events), "intx.EVENTFD, count 0");
	expect(irq_none(device, INTX, 0, 0, MASK), "intx.mask, count 0");
	expect(irq_none(device, INTX, 0, 0, TRIGGER), "intx.disable");
	expect(irq_none(device, INTX, 0, 0, TRIGGER), "intx.disable again");
	expect(irq_eventfds(device, MSIX, 0, 1, events), "msix.set");
	expect(irq_eventfds(device, INTX, 0, 1, events), "msix.on, so INTx");
	expect(irq_none(device, INTX, 0, 0, TRIGGER), "msix.on, INTx disable");
	expect(irq_none(device, INTX, 0, 1, MASK), "msix.on, INTx mask");
	expect(irq_none(device, MSIX, 0, 0, TRIGGER), "msix.disable");
}

static void single(uint32_t index, const char *name)
{
	int32_t fd = -1;
	uint8_t no = 0, yes = 1;
	long r[12];

	r[0] = irq_none(device, index, 0, 1, TRIGGER);
	r[1] = set(24, BOOL | TRIGGER, index, 0, 1, &yes, 1);
	r[2] = irq_none(device, index, 0, 0, TRIGGER);
	say_text(name, "off: trigger %s BOOL %s clear %s", result_name(r[0]), result_name(r[1]),
		 result_name(r[2]));
	expect(irq_eventfds(device, index, 0, 1, events + 20), name);
	expect(irq_none(device, index, 0, 1, TRIGGER), name);
	expect(set(24, BOOL | TRIGGER, index, 0, 1, &no, 1), name);
	expect(set(24, BOOL | TRIGGER, index, 0, 1, &yes, 1), name);
	expect(set(20, BOOL | TRIGGER, index, 0, 0, NULL, 0), name);
	expect(set(20, EVENTFD | TRIGGER, index, 0, 0, NULL, 0), name);
	expect(irq_eventfds(device, index, 0, 1, events + 21), name);
	expect(irq_none(device, index, 0, 1, TRIGGER), name);
	expect(irq_none(device, index, 1, 0, TRIGGER), name);
	expect(irq_none(device, index, 0, 2, TRIGGER), name);
	expect(irq_eventfds(device, index, 0, 1, &fd), name);
	expect(irq_none(device, index, 0, 1, TRIGGER), name);
	expect(irq_eventfds(device, index, 0, 1, events + 22), name);
	expect(irq_none(device, index, 0, 0, TRIGGER), name);
	expect(irq_none(device, index, 0, 1, TRIGGER), name);
}

void area_irq(void)
{
	struct vfio v;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	device = v.device;
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		events[i] = eventfd(0, EFD_NONBLOCK);
	config_write(device, 4, 2, 6);
	arguments();
	bad_descriptors();
	msix_sequences();
	intx_sequences();
	single(ERR, "err");
	single(REQ, "req");
	/* The single ones live beside the rest. */
	expect(irq_eventfds(device, REQ, 0, 1, events + 30), "beside.req");
	expect(irq_eventfds(device, ERR, 0, 1, events + 31), "beside.err");
	expect(irq_eventfds(device, MSIX, 0, 2, events), "beside.msix");
	expect(irq_none(device, MSIX, 0, 0, TRIGGER), "beside.msix off");
	expect(irq_none(device, REQ, 0, 1, TRIGGER), "beside.req trigger");
	expect(irq_none(device, ERR, 0, 1, TRIGGER), "beside.err trigger");
	vfio_close(&v);
}
