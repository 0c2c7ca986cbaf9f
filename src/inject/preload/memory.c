/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory calls, once the runtime is loaded: mappings of stood-in files, and what happens
 * to ranges that hold such mappings.  Everything else costs the test whether any exist.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "inject/x86_64/raw.h"
#include "next.h"

#define PAGE_MASK 4095ul

static bool aligned(const void *address)
{
	return ((uintptr_t)address & PAGE_MASK) == 0;
}

void reach_slow(const struct runtime *rt, const void *address, size_t size, bool stores)
{
	rt->memory_reach(address, size, stores);
}

void reach_vector_slow(const struct runtime *rt, const struct iovec *iov, size_t count, bool stores)
{
	struct iovec part;

	rt->memory_reach(iov, count * sizeof(*iov), false);
	for (size_t i = 0; i < count && i < IOV_MAX && rt->fetch(&part, &iov[i], sizeof(part)) == 0;
	     i++)
		rt->memory_reach(part.iov_base, part.iov_len, stores);
}

bool reach_header_slow(const struct runtime *rt, const struct msghdr *message, bool stores,
		       struct msghdr *ret)
{
	rt->memory_reach(message, sizeof(*message), stores);
	if (rt->fetch(ret, message, sizeof(*ret)) < 0)
		return false;
	rt->memory_reach(ret->msg_name, ret->msg_namelen, stores);
	rt->memory_reach(ret->msg_control, ret->msg_controllen, stores);
	return true;
}

void reach_message_slow(const struct runtime *rt, const struct msghdr *message, bool stores)
{
	struct msghdr header;

	if (reach_header_slow(rt, message, stores, &header))
		reach_vector_slow(rt, header.msg_iov, header.msg_iovlen, stores);
}

void reach_messages_slow(const struct runtime *rt, const struct mmsghdr *messages, unsigned count,
			 bool stores)
{
	/* How long each was is stored to either. */
	rt->memory_reach(messages, count * sizeof(*messages), true);
	for (unsigned i = 0; i < count && i < IOV_MAX; i++)
		reach_message_slow(rt, &messages[i].msg_hdr, stores);
}

/* Of the commands that say so: most others take a number. */
void reach_argument_slow(const struct runtime *rt, unsigned long command, const void *argument)
{
	if (_IOC_DIR(command) != _IOC_NONE)
		rt->memory_reach(argument, _IOC_SIZE(command), _IOC_DIR(command) & _IOC_READ);
}

/*
 * A large block grows by an mremap() inside libc, which leaves behind what is on a device.  How
 * large it is only an allocator knows that has both functions; others are left alone.
 */
static COLD void resident_block(const struct runtime *rt, void *block)
{
	size_t (*usable_size)(void *block) = next_usable_size;
	Dl_info one, other;

	if (usable_size && dladdr((void *)next_realloc, &one) &&
	    dladdr((void *)usable_size, &other) && one.dli_fbase == other.dli_fbase)
		rt->memory_reach(block, usable_size(block), false);
}

void *live_realloc(void *block, size_t size)
{
	const struct runtime *rt = live();

	if (unlikely(block && atomic_load_explicit(rt->memory_attention, memory_order_relaxed)))
		resident_block(rt, block);
	return next_realloc(block, size);
}

/* Of syscall(2) alone: what libc does for itself is not seen. */
long syscall_futex(uint32_t *word, int operation, uint32_t value, const void *timeout,
		   uint32_t *other, uint32_t more)
{
	return WITH_MEMORY(result(raw_syscall(SYS_futex, (long)word, operation, value,
					      (long)timeout, (long)other, more)),
			   reach_slow, word, sizeof(*word), false);
}

/* Whether it is this process's pagemap: /proc/PID/pagemap, /proc/PID/task/TID/pagemap. */
static bool is_pagemap(int fd)
{
	char link[32], text[64], own[32];
	long n;
	int length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = raw4(SYS_readlinkat, AT_FDCWD, link, text, sizeof(text) - 1);
	if (n < (long)sizeof("/pagemap") || n == (long)sizeof(text) - 1)
		return false;
	text[n] = '\0';
	if (strcmp(text + n - strlen("/pagemap"), "/pagemap") != 0)
		return false;
	length = snprintf(own, sizeof(own), "/proc/%d/", (int)raw1(SYS_getpid, 0));
	return strncmp(text, own, (size_t)length) == 0;
}

void pagemap_read_slow(const struct runtime *rt, int fd, void *buffer, ssize_t n, off_t offset)
{
	if (!is_pagemap(fd))
		return;
	if (offset < 0)
		offset = raw4(SYS_lseek, fd, 0, SEEK_CUR, 0) - n;
	rt->memory_show_pagemap(buffer, (size_t)n, (uint64_t)offset);
}

bool pagemap_scan_slow(const struct runtime *rt, int fd, void *argument, long *ret_result)
{
	if (!is_pagemap(fd))
		return false;
	*ret_result = rt->memory_scan_pagemap(argument);
	return true;
}

/*
 * The call in between, told to the memory engine.  `call` has libc's convention, and so has
 * the value of all this.
 */
#define TOLD(rt, c, call)                                                 \
	({                                                                \
		bool told_ = (rt)->memory_begin(c);                       \
		long ret_;                                                \
                                                                          \
		if (told_ && (c)->handled)                                \
			ret_ = result((c)->result);                       \
		else                                                      \
			ret_ = (long)(call);                              \
		if (told_) {                                              \
			int saved_ = errno;                               \
                                                                          \
			(rt)->memory_end(c, ret_ == -1 ? -saved_ : ret_); \
			errno = saved_;                                   \
		}                                                         \
		ret_;                                                     \
	})

/*
 * MAP_POPULATE: not along with the mapping, while which others wait for the engine; it may take as
 * long as it likes.  Nobody hears of a failure.
 */
static void populate(void *address, size_t size, int protection, int flags)
{
	bool writes = (protection & PROT_WRITE) && (flags & MAP_TYPE) == MAP_PRIVATE;

	raw3(SYS_madvise, address, (size + PAGE_MASK) & ~PAGE_MASK,
	     writes ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

static void *map_over(const struct runtime *rt, void *address, size_t size, int protection,
		      int flags, int fd, off_t offset)
{
	struct memory_call c = {
		.operation = MEMORY_CALL_MAP,
		.address = (uintptr_t)address,
		.size = size,
	};
	void *ret;

	/* Before, as with munmap: afterwards another thread may map something new there. */
	if (size && aligned(address) && rt->mmio_overlaps(address, size))
		rt->mmio_unmapped(address, size);
	ret = (void *)TOLD(rt, &c,
			   next_mmap(address, size, protection, flags & ~MAP_POPULATE, fd, offset));
	if (ret != MAP_FAILED && (flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE)
		populate(ret, size, protection, flags);
	return ret;
}

void *live_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	const struct runtime *rt = live();

	if (!(flags & MAP_ANONYMOUS) && fd_ours(fd)) {
		void *ret = rt->mmap(address, size, protection, flags, fd, offset);

		if ((uintptr_t)ret < (uintptr_t)-4095L)
			return ret;
		errno = (int)-(intptr_t)ret;
		return MAP_FAILED;
	}
	if ((flags & MAP_FIXED) && (flags & MAP_FIXED_NOREPLACE) != MAP_FIXED_NOREPLACE)
		return map_over(rt, address, size, protection, flags, fd, offset);
	return next_mmap(address, size, protection, flags, fd, offset);
}

int live_munmap(void *address, size_t size)
{
	const struct runtime *rt = live();
	struct memory_call c = {
		.operation = MEMORY_CALL_UNMAP,
		.address = (uintptr_t)address,
		.size = size,
	};

	if (size && aligned(address) && rt->mmio_overlaps(address, size))
		rt->mmio_unmapped(address, size);
	return (int)TOLD(rt, &c, next_munmap(address, size));
}

void *live_mremap(void *address, size_t old_size, size_t new_size, int flags, void *new_address)
{
	const struct runtime *rt = live();
	bool from = rt->mmio_overlaps(address, old_size ? old_size : 1);
	struct memory_call c = {
		.operation = MEMORY_CALL_REMAP,
		.address = (uintptr_t)address,
		.size = old_size,
		.new_address = (uintptr_t)new_address,
		.new_size = new_size,
		.flags = flags,
	};
	void *ret;

	if ((flags & MREMAP_FIXED) && new_size && aligned(new_address) &&
	    rt->mmio_overlaps(new_address, new_size))
		rt->mmio_unmapped(new_address, new_size);
	ret = (void *)TOLD(rt, &c, next_mremap(address, old_size, new_size, flags, new_address));
	if (from && ret != MAP_FAILED)
		rt->mmio_moved(address, old_size, ret, new_size);
	return ret;
}

int live_mprotect(void *address, size_t size, int protection)
{
	const struct runtime *rt = live();
	struct memory_call c = {
		.operation = MEMORY_CALL_PROTECT,
		.address = (uintptr_t)address,
		.size = size,
		.flags = protection,
	};

	if (size && aligned(address) && rt->mmio_overlaps(address, size))
		return (int)result(rt->mmio_protect(address, size, protection));
	return (int)TOLD(rt, &c, next_mprotect(address, size, protection));
}

#define POPULATE_TIMES 64 /* pages that others take away each time are not the call's fault */

/* The same for a call that makes pages present, in whose way others may have come. */
#define POPULATED(rt, c, call)                                                                 \
	({                                                                                     \
		uint64_t moves_;                                                               \
		int made_, times_ = 0;                                                         \
                                                                                               \
		do {                                                                           \
			moves_ = atomic_load((rt)->memory_moves);                              \
			made_ = (int)TOLD(rt, c, call);                                        \
		} while (made_ == -1 && ++times_ < POPULATE_TIMES && may_succeed(rt, moves_)); \
		made_;                                                                         \
	})

static bool may_succeed(const struct runtime *rt, uint64_t moves)
{
	int saved = errno;
	bool may = (saved == EFAULT || saved == ENOMEM || saved == EAGAIN) &&
		   rt->memory_moved_since(moves);

	errno = saved;
	return may;
}

int live_madvise(void *address, size_t size, int advice)
{
	struct memory_call c = {
		.operation = MEMORY_CALL_ADVISE,
		.address = (uintptr_t)address,
		.size = size,
		.flags = advice,
	};

	if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE)
		return POPULATED(live(), &c, next_madvise(address, size, advice));
	return (int)TOLD(live(), &c, next_madvise(address, size, advice));
}

static struct memory_call whole_pages(enum memory_operation operation, const void *address,
				      size_t size)
{
	uintptr_t start = (uintptr_t)address & ~PAGE_MASK;

	return (struct memory_call){
		.operation = operation,
		.address = start,
		.size = size + ((uintptr_t)address - start),
	};
}

/* With a key, nothing is to trap by protection, which the call would undo. */
int live_pkey_mprotect(void *address, size_t size, int protection, int key)
{
	struct memory_call c = whole_pages(MEMORY_CALL_KEY, address, size);

	if (key == -1)
		return live_mprotect(address, size, protection);
	return (int)TOLD(live(), &c, next_pkey_mprotect(address, size, protection, key));
}

int live_mlock(const void *address, size_t size)
{
	struct memory_call c = whole_pages(MEMORY_CALL_POPULATE, address, size);

	return POPULATED(live(), &c, next_mlock(address, size));
}

int live_mlock2(const void *address, size_t size, unsigned flags)
{
	struct memory_call c = whole_pages(MEMORY_CALL_POPULATE, address, size);

	return POPULATED(live(), &c, next_mlock2(address, size, flags));
}

int live_brk(void *end)
{
	struct memory_call c = {
		.operation = MEMORY_CALL_BREAK,
		.address = ((uintptr_t)end + PAGE_MASK) & ~PAGE_MASK,
		.size = ((uintptr_t)next_sbrk(0) - (uintptr_t)end + PAGE_MASK) & ~PAGE_MASK,
	};

	if (!end || end >= next_sbrk(0))
		return next_brk(end);
	return (int)TOLD(live(), &c, next_brk(end));
}

void *live_sbrk(intptr_t change)
{
	char *end = next_sbrk(0);

	if (change >= 0 || end == (char *)-1)
		return next_sbrk(change);
	return live_brk(end + change) < 0 ? (void *)-1 : end;
}
