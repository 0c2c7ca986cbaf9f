/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages that arrive one after the other.
 *
 * Who fills memory from one end to the other, page by page, pays for each a call of the file
 * system's, which takes longer to find it a page than to fill it.  So when as much as a huge page
 * has come in order, the next huge page is made in one step and mapped where only the engine sees
 * it, and what arrives for it is stored there.
 *
 * The file then has pages that nobody has been given.  Those go when it matters what the file has.
 * They are missing, and trap: so nobody can have stored anything there.
 */
#include "core/user.h"
#include "memory/backed_private.h"
#include "memory/watch_private.h"

#define PATIENCE 64u /* writes elsewhere until the window is given up */

static struct {
	uintptr_t since, next; /* what has come in order */
	uintptr_t window;      /* the address of the huge page that is mapped; 0: none */
	char *mapped;          /* there */
	unsigned elsewhere;
} stream;

static bool in_window(uintptr_t to, size_t size)
{
	return stream.window && to >= stream.window && to + size <= stream.window + MEMORY_UNIT;
}

static void punch_missing(uintptr_t at, uintptr_t end)
{
	const struct watch_range *r;
	uintptr_t to, limit;
	uint64_t mark;

	for (; at < end && (r = watch_find(at)) && r->start < end; at = to) {
		at = r->start > at ? r->start : at;
		limit = r->end < end ? r->end : end;
		to = watch_marks_run(at, limit, MEMORY_PAGE, &mark);
		if (r->backed && watch_traps(r) && watch_is_missing(r, mark))
			backed_punch(at, to);
	}
}

void backed_stream_end(void)
{
	uintptr_t window = stream.window;

	if (!window)
		return;
	stream.window = 0;
	backed_window_close();
	punch_missing(window, window + MEMORY_UNIT);
}

void backed_stream_forked(void)
{
	if (stream.window)
		backed_window_close();
	stream.window = stream.next = 0;
}

/* The huge page that begins at `to`, if that is where the stream has got to. */
static bool begin(uintptr_t to, size_t size)
{
	const struct backed_area *a;

	if (to != stream.next || to % MEMORY_UNIT || to - stream.since < MEMORY_UNIT ||
	    size >= MEMORY_UNIT)
		return false;
	a = backed_find(to);
	if (!a || a->start > to || a->end < to + MEMORY_UNIT || !backed_is_empty(to, MEMORY_UNIT))
		return false;
	backed_stream_end();
	stream.mapped = backed_window_open(to);
	stream.window = stream.mapped ? to : 0;
	stream.elsewhere = 0;
	return stream.window;
}

bool backed_stream_write(uintptr_t to, const char *from, size_t size)
{
	if (!in_window(to, size) && !begin(to, size))
		return false;
	if (copy_guarded(stream.mapped + (to - stream.window), from, size) < 0) {
		/* The half of a page, too. */
		backed_stream_end();
		return false;
	}
	backed_stream_note(to, size);
	return true;
}

void backed_stream_note(uintptr_t to, size_t size)
{
	if (stream.window && !in_window(to, size)) {
		if (++stream.elsewhere < PATIENCE)
			return;
		backed_stream_end();
	}
	if (to != stream.next)
		stream.since = to;
	stream.next = to + size;
}
