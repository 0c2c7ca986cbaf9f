/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device: what its models have in common.
 *
 * The worker looks at the device again and again while there is something to do and for a
 * moment after that, since waking it up takes its time: the time it looks on for is about
 * what a wake-up costs.  Only then are kicks asked for.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/keys.h"
#include "vdpa/vdpa.h"

#define LOOK_NS  50000u /* without anything to do */
#define YIELD_NS 10000u /* before other threads are let in */
#define ROUNDS   1024u  /* with something to do, before the worker looks at its descriptors */

/* Empty rounds between looks at the clock, which take longer than a round. */
#define ROUNDS_A_LOOK 16u

static const struct vdpa_model *const models[] = {&vdpa_net_sim, &vdpa_blk_sim, &vdpa_net,
						  &vdpa_blk, NULL};

void vdpa_model_each(void (*each)(const struct vdpa_model *model, void *arg), void *arg)
{
	for (const struct vdpa_model *const *model = models; *model; model++)
		each(*model, arg);
}

/* ---- configuration ---- */

int vdpa_error(struct vdpa *v, int error, const char *format, ...)
{
	int length = snprintf(v->error, sizeof(v->error), "vdpa %s: ", v->model->name);
	va_list args;

	va_start(args, format);
	vsnprintf(v->error + length, sizeof(v->error) - (size_t)length, format, args);
	va_end(args);
	return error;
}

const char *vdpa_key(const struct vdpa *v, const char *key)
{
	return keys_find(&v->config_keys->keys, key);
}

int vdpa_key_number(struct vdpa *v, const char *key, uint64_t fallback, uint64_t min, uint64_t max,
		    uint64_t *ret_value)
{
	const char *text = vdpa_key(v, key);

	*ret_value = fallback;
	if (!text)
		return 0;
	if (keys_parse_size(text, ret_value) < 0)
		return vdpa_error(v, -EINVAL, "%s: '%s' is no number", key, text);
	if (*ret_value < min || *ret_value > max)
		return vdpa_error(v, -EINVAL, "%s: %s is not in %llu..%llu", key, text,
				  (unsigned long long)min, (unsigned long long)max);
	return 0;
}

int vdpa_key_bool(struct vdpa *v, const char *key, bool fallback, bool *ret_value)
{
	const char *text = vdpa_key(v, key);

	*ret_value = fallback;
	if (text && config_parse_bool(text, ret_value) < 0)
		return vdpa_error(v, -EINVAL, "%s is on or off, not '%s'", key, text);
	return 0;
}

static int check_keys(struct vdpa *v)
{
	const struct config_keys *keys = &v->config_keys->keys;

	for (size_t i = 0; i < keys->n; i++) {
		const struct standin_key *known = v->model->keys;

		while (known && known->name && strcmp(known->name, keys->key[i].name) != 0)
			known++;
		if (!known || !known->name)
			return vdpa_error(v, -EINVAL, "no key is named '%s'", keys->key[i].name);
	}
	return 0;
}

int vdpa_create(const struct vdpa_config *config, unsigned number, struct vdpa **ret_vdpa,
		char error[CONFIG_ERROR_MAX])
{
	const struct vdpa_model *const *model = models;
	struct vdpa *v;
	int ret;

	while (*model && strcmp((*model)->name, config->model) != 0)
		model++;
	if (!*model) {
		snprintf(error, CONFIG_ERROR_MAX, "vdpa: no device is named '%s'", config->model);
		return -EINVAL;
	}
	v = calloc(1, sizeof(*v) + (*model)->state_size);
	if (!v)
		return -ENOMEM;
	v->state = v + 1;
	v->model = *model;
	v->config_keys = config;
	v->number = number;
	v->claim = -1;
	snprintf(v->name, sizeof(v->name), "vdpa%u", number);
	pthread_mutex_init(&v->open_lock, NULL);
	line_init(&v->config_call, "vdpa-config", 0);
	for (unsigned i = 0; i < VDPA_QUEUES_MAX; i++) {
		v->queues[i].vdpa = v;
		v->queues[i].index = i;
	}
	ret = check_keys(v);
	if (!ret)
		ret = v->model->create(v);
	if (ret) {
		snprintf(error, CONFIG_ERROR_MAX, "%s", v->error);
		pthread_mutex_destroy(&v->open_lock);
		free(v);
		return ret;
	}
	*ret_vdpa = v;
	return 0;
}

void vdpa_destroy(struct vdpa *v)
{
	if (!v)
		return;
	if (v->model->destroy)
		v->model->destroy(v);
	line_finish(&v->config_call);
	pthread_mutex_destroy(&v->open_lock);
	free(v);
}

/* ---- rings ---- */

/* Group 0 is of the data queues, 1 of the control queue, and the last one of the rings. */
unsigned vdpa_queue_group(const struct vdpa *v, unsigned queue)
{
	return v->control_queue && queue == v->control_queue;
}

void vdpa_queue_get_state(const struct vdpa_queue *q, struct virtqueue_state *ret_state)
{
	*ret_state = q->state;
	if (q->live)
		virtqueue_get_state(&q->ring, ret_state);
}

/* The ring begins where the driver has said. */
static bool make_ring(struct vdpa_queue *q)
{
	struct virtqueue_config config = {
		.ops = &vdpa_ring_ops,
		.owner = q,
		.name = q->vdpa->name,
		.features = q->vdpa->features,
		.num = q->num,
	};

	memcpy(config.address, q->address, sizeof(config.address));
	return virtqueue_init(&q->ring, &config) == 0 &&
	       virtqueue_set_state(&q->ring, &q->state) == 0;
}

void vdpa_queue_set_ready(struct vdpa_queue *q, bool ready)
{
	if (ready && !q->ready)
		q->live = make_ring(q);
	if (!ready && q->live) {
		if (q->vdpa->model->drain)
			q->vdpa->model->drain(q->vdpa);
		virtqueue_get_state(&q->ring, &q->state);
		virtqueue_release(&q->ring);
		q->live = false;
	}
	q->ready = ready;
	vdpa_wake(q->vdpa);
}

bool vdpa_queue_usable(struct vdpa *v, unsigned queue)
{
	struct vdpa_queue *q = &v->queues[queue];

	return q->live && virtqueue_error(&q->ring, NULL) == 0;
}

void vdpa_queue_call(struct vdpa_queue *q)
{
	if (q->calls)
		line_raise(&q->vdpa->vqs[q->index].call);
}

void vdpa_queue_signal(struct vdpa_queue *q)
{
	if (virtqueue_should_signal(&q->ring) == 1)
		vdpa_queue_call(q);
}

bool vdpa_queue_rest(struct vdpa *v, unsigned queue)
{
	return vdpa_queue_usable(v, queue) && virtqueue_enable_kicks(&v->queues[queue].ring) == 1;
}

/* ---- status ---- */

void vdpa_reset(struct vdpa *v)
{
	v->running = false;
	if (v->model->reset)
		v->model->reset(v);
	for (unsigned i = 0; i < v->n_queues; i++) {
		struct vdpa_queue *q = &v->queues[i];

		if (q->live)
			virtqueue_release(&q->ring);
		q->ready = q->live = q->calls = false;
		memset(q->address, 0, sizeof(q->address));
		q->state = (struct virtqueue_state){.avail_wrap = true, .used_wrap = true};
	}
	memset(v->group_space, 0, sizeof(v->group_space));
	v->features = 0;
	if (v->model->negotiated)
		v->model->negotiated(v);
	v->status = 0;
	v->suspended = false;
	v->num_max = v->queue_max;
}

void vdpa_set_status(struct vdpa *v, uint8_t status)
{
	bool starts = status & ~v->status & VDPA_STATUS_DRIVER_OK;

	v->status = status;
	v->running = status & VDPA_STATUS_DRIVER_OK;
	if (starts && v->model->start)
		v->model->start(v);
	vdpa_wake(v);
}

void vdpa_wake(struct vdpa *v)
{
	vhost_queue(&v->vqs[0]);
}

/* ---- the worker ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A ring that was broken is tried again with the next kick. */
static void mend(struct vdpa *v)
{
	for (unsigned i = 0; i < v->n_queues; i++)
		if (atomic_exchange(&v->vqs[i].kicked, false) && v->queues[i].live)
			virtqueue_clear_error(&v->queues[i].ring);
}

static bool look(struct vdpa *v)
{
	uint64_t idle_from = 0, yielded = 0, now;
	unsigned rounds = 0, empty = 0;

	while (rounds < ROUNDS) {
		if (atomic_load_explicit(&v->vhost.waiting, memory_order_relaxed))
			return true;
		if (v->model->work(v)) {
			idle_from = 0;
			empty = 0;
			rounds++;
			continue;
		}
		if (++empty % ROUNDS_A_LOOK) {
			__builtin_ia32_pause();
			continue;
		}
		now = now_ns();
		if (!idle_from)
			idle_from = yielded = now;
		if (now - idle_from >= LOOK_NS)
			return v->model->rest(v);
		if (now - yielded >= YIELD_NS) {
			sched_yield();
			yielded = now_ns();
		}
	}
	return true;
}

static bool work(struct vhost_dev *dev)
{
	struct vdpa *v = (struct vdpa *)dev;

	mend(v);
	return v->running && !v->in_batch && look(v);
}

const struct vhost_ops vdpa_vhost_ops = {
	.work = work,
	.message = vdpa_message,
};
