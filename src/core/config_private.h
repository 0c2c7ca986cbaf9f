/* SPDX-License-Identifier: BSD-3-Clause */
/* core/config_private.h - the directives: config.c knows their words, the others what follows. */
#ifndef STANDIN_CORE_CONFIG_PRIVATE_H
#define STANDIN_CORE_CONFIG_PRIVATE_H

#include "core/config.h"

/* The reason to `error`, CONFIG_ERROR_MAX bytes: -EINVAL; -ENOMEM. */
__attribute__((format(printf, 2, 3))) int config_fail(char *error, const char *format, ...);
int config_no_memory(char *error);
/* *place is a copy of `value`, NULL if that is empty; what was there is freed. */
int config_replace_string(char **place, const char *value, char *error);

/* What follows a directive's word, which may be changed.  0 or -errno, with the reason. */
int config_add_vdpa(struct config *c, const char *spec, char *error);
int config_add_vhost_scsi(struct config *c, char *spec, char *error);
int config_add_net(struct config *c, char *text, char *error);
int config_set_hmm(struct config *c, char *text, char *error);
int config_set_hyperv(struct config *c, char *text, char *error);
int config_set_uffd(struct config *c, char *value, char *error);
int config_set_uffd_backing(struct config *c, char *value, char *error);
/* `set memory.traps=VALUE` */
int config_set_traps(struct config *c, const char *value, char *error);

/* By enum memory_traps, enum uffd_mode and enum uffd_backing. */
extern const char *const config_traps_names[];
extern const char *const config_uffd_names[];
extern const char *const config_uffd_backing_names[];

void device_config_finish(struct device_config *d);
void vdpa_config_finish(struct vdpa_config *v);

#endif
