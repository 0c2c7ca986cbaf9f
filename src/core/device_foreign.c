/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA to memory of another process.
 *
 * A child of a fork maps memory of its own for DMA through calls that are forwarded to the
 * owner of the device (iova_range.pid).  No iovec can name that memory, so a model gets a
 * buffer of ours in its place: filled when it is mapped, and written back when it is
 * unmapped if the device writes.  The buffer begins with its own bookkeeping, and is a
 * mapping of its own because this may run in a signal handler.
 */
#include <errno.h>
#include <sys/mman.h>

#include "core/device.h"
#include "core/hostfd.h"
#include "core/iova.h"
#include "core/syscall.h"
#include "core/user.h"

struct foreign_buffer {
	struct foreign_buffer *next;
	uint64_t iova;
	size_t size;
	enum standin_dma direction;
	char data[];
};

static int copy_process(pid_t pid, uintptr_t there, char *here, size_t size, bool write)
{
	struct iovec local = {.iov_base = here, .iov_len = size};
	struct iovec remote = {.iov_base = (void *)there, .iov_len = size};
	long number = write ? SYS_process_vm_writev : SYS_process_vm_readv;

	if (pid)
		return host_syscall(number, pid, &local, 1, &remote, 1, 0) == (long)size ? 0
											 : -EFAULT;
	return write ? copy_guarded((void *)there, here, size)
		     : copy_guarded(here, (void *)there, size);
}

/* Between `buffer` and what [iova, iova+size) is mapped to, whosever memory that is. */
static int copy_mapped(struct standin_device *dev, uint64_t iova, char *buffer, size_t size,
		       unsigned access, bool write)
{
	struct iova_range range;
	size_t part;
	int result;

	for (; size; size -= part, iova += part, buffer += part) {
		if (!iova_map_lookup(dev->iova, iova, &range) || (range.flags & access) != access)
			return -EFAULT;
		part = range.last - iova < size ? (size_t)(range.last - iova + 1) : size;
		result = copy_process(range.pid, range.address + (iova - range.first), buffer, part,
				      write);
		if (result)
			return result;
	}
	return 0;
}

int device_foreign_map(struct standin_device *dev, uint64_t iova, size_t size,
		       enum standin_dma direction, struct iovec *iov, unsigned max_iov,
		       unsigned *n_iov)
{
	unsigned access = direction == STANDIN_DMA_READ ? IOVA_READ : IOVA_WRITE;
	struct foreign_buffer *b;
	int result;

	if (*n_iov >= max_iov)
		return -E2BIG;
	b = host_mmap(NULL, sizeof(*b) + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (host_is_error(b))
		return -EFAULT;
	/* Also if the device writes: what it leaves alone is written back as it was. */
	result = copy_mapped(dev, iova, b->data, size, access, false);
	if (result) {
		host_munmap(b, sizeof(*b) + size);
		return result;
	}
	b->iova = iova;
	b->size = size;
	b->direction = direction;
	iov[*n_iov].iov_base = b->data;
	iov[*n_iov].iov_len = size;
	++*n_iov;
	pthread_mutex_lock(&dev->foreign_lock);
	b->next = dev->foreign;
	dev->foreign = b;
	atomic_fetch_add(&dev->n_foreign, 1);
	pthread_mutex_unlock(&dev->foreign_lock);
	return 0;
}

bool device_foreign_unmap(struct standin_device *dev, uint64_t iova, size_t size)
{
	struct foreign_buffer **link, *b;

	if (!atomic_load_explicit(&dev->n_foreign, memory_order_acquire))
		return false;
	pthread_mutex_lock(&dev->foreign_lock);
	for (link = &dev->foreign; (b = *link); link = &b->next)
		if (b->iova == iova && b->size == size)
			break;
	if (b) {
		*link = b->next;
		atomic_fetch_sub(&dev->n_foreign, 1);
	}
	pthread_mutex_unlock(&dev->foreign_lock);
	if (!b)
		return false;
	/* A range that has been unmapped meanwhile takes nothing. */
	if (b->direction == STANDIN_DMA_WRITE)
		copy_mapped(dev, iova, b->data, size, IOVA_WRITE, true);
	host_munmap(b, sizeof(*b) + size);
	return true;
}
