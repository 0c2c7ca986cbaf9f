/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults that threads have in the kernel, and that it makes them wait for: see memory/server.h.
 * Nobody sleeps here, so nobody is woken; whoever is done with without its page asks again.
 */
#include <string.h>

#include "memory/own.h"
#include "uffd/uffd.h"

struct asked {
	struct uffd_message fault; /* first */
	struct uffd *context;      /* good while the fault is in a queue */
	bool used;
};

#define CHUNK_SIZE 16384u /* bytes */
struct chunk {
	struct chunk *next;
	struct asked asked[];
};
#define CHUNK_ASKED ((CHUNK_SIZE - sizeof(struct chunk)) / sizeof(struct asked))

static struct chunk *chunks;

static struct asked *find_free(void)
{
	struct chunk *c;

	for (c = chunks; c; c = c->next)
		for (size_t i = 0; i < CHUNK_ASKED; i++)
			if (!c->asked[i].used)
				return &c->asked[i];
	c = own_alloc(CHUNK_SIZE);
	if (!c)
		return NULL;
	c->next = chunks;
	chunks = c;
	return &c->asked[0];
}

void *uffd_ask(void *owner, uintptr_t address, pid_t thread)
{
	struct asked *a = find_free();
	struct uffd *u = owner;
	uint32_t features = uffd_features(u);

	if (!a)
		return NULL;
	a->used = true;
	a->context = u;
	uffd_fault_message(&a->fault.message, features, address, WATCH_MISSING, false);
	if (features & UFFD_FEATURE_THREAD_ID)
		a->fault.message.arg.pagefault.feat.ptid = (uint32_t)thread;
	atomic_store(&a->fault.waiting, UFFD_KERNEL);
	uffd_queue_add(u, &u->pending, &a->fault);
	return a;
}

bool uffd_asks(void *ticket)
{
	return atomic_load(&((struct asked *)ticket)->fault.waiting) == UFFD_KERNEL;
}

void uffd_answered(void *ticket)
{
	struct asked *a = ticket;

	uffd_queue_withdraw(a->context, &a->fault);
	a->used = false;
}

void uffd_served_forked(void)
{
	for (struct chunk *c = chunks; c; c = c->next)
		memset(c->asked, 0, CHUNK_ASKED * sizeof(c->asked[0]));
}
