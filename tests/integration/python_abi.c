/* The sizes and offsets of the public structs, as JSON: what consumer/python/confcast.py says of
 * them is held to it. */
#include <stddef.h>
#include <stdio.h>

#include "confcast/confcast.h"

#define SIZE(type)                                                                                 \
    {                                                                                              \
#type, "", sizeof(struct type)                                                             \
    }
#define MEMBER(type, name)                                                                         \
    {                                                                                              \
#type, #name, offsetof(struct type, name)                                                  \
    }

/* Each struct's size, then its members' offsets. */
static const struct {
    const char *type;
    const char *name; /* empty: the struct's size */
    size_t value;
} numbers[] = {
    SIZE(confcast_label),
    MEMBER(confcast_label, key),
    MEMBER(confcast_label, value),
    SIZE(confcast_options),
    MEMBER(confcast_options, size),
    MEMBER(confcast_options, fleet_path),
    MEMBER(confcast_options, credential_path),
    MEMBER(confcast_options, id),
    MEMBER(confcast_options, interface),
    MEMBER(confcast_options, state_dir),
    MEMBER(confcast_options, labels),
    MEMBER(confcast_options, label_count),
    MEMBER(confcast_options, content_size_max),
    MEMBER(confcast_options, memory_max),
    MEMBER(confcast_options, receive_buffer_size),
    MEMBER(confcast_options, log),
    MEMBER(confcast_options, log_arg),
    MEMBER(confcast_options, agent_path),
    MEMBER(confcast_options, pull),
    MEMBER(confcast_options, pull_ca_file),
    MEMBER(confcast_options, pull_cert_file),
    MEMBER(confcast_options, pull_key_file),
    MEMBER(confcast_options, pull_wait_ms),
    MEMBER(confcast_options, pull_after_ms),
    MEMBER(confcast_options, crash_starts_max),
    MEMBER(confcast_options, unused),
    MEMBER(confcast_options, xdp),
    SIZE(confcast_scope_options),
    MEMBER(confcast_scope_options, size),
    MEMBER(confcast_scope_options, change),
    MEMBER(confcast_scope_options, change_arg),
    MEMBER(confcast_scope_options, validate),
    MEMBER(confcast_scope_options, validate_arg),
    SIZE(confcast_set_options),
    MEMBER(confcast_set_options, size),
    MEMBER(confcast_set_options, change),
    MEMBER(confcast_set_options, change_arg),
    MEMBER(confcast_set_options, held_ms),
    SIZE(confcast_set_status),
    MEMBER(confcast_set_status, size),
    MEMBER(confcast_set_status, serving),
    MEMBER(confcast_set_status, newest),
    MEMBER(confcast_set_status, is_held),
    MEMBER(confcast_set_status, held_by),
    MEMBER(confcast_set_status, held_ns),
    MEMBER(confcast_set_status, reason),
    MEMBER(confcast_set_status, state),
    MEMBER(confcast_set_status, member_accepted),
    SIZE(confcast_key),
    MEMBER(confcast_key, hash),
    MEMBER(confcast_key, seed),
    MEMBER(confcast_key, pointer),
    MEMBER(confcast_key, size),
    MEMBER(confcast_key, segment_offset),
    SIZE(confcast_value),
    MEMBER(confcast_value, view),
    MEMBER(confcast_value, offset),
    MEMBER(confcast_value, type),
    SIZE(confcast_iterator),
    MEMBER(confcast_iterator, value),
    MEMBER(confcast_iterator, key),
    MEMBER(confcast_iterator, container),
    MEMBER(confcast_iterator, key_size),
    MEMBER(confcast_iterator, left),
    MEMBER(confcast_iterator, next_offset),
    MEMBER(confcast_iterator, is_object),
    SIZE(confcast_change),
    MEMBER(confcast_change, kind),
    MEMBER(confcast_change, pointer),
    MEMBER(confcast_change, pointer_size),
    MEMBER(confcast_change, before),
    MEMBER(confcast_change, after),
    SIZE(confcast_status),
    MEMBER(confcast_status, size),
    MEMBER(confcast_status, epoch),
    MEMBER(confcast_status, accepted),
    MEMBER(confcast_status, serving),
    MEMBER(confcast_status, published),
    MEMBER(confcast_status, durable),
    MEMBER(confcast_status, state),
    MEMBER(confcast_status, source),
    MEMBER(confcast_status, reason),
    MEMBER(confcast_status, is_stale),
    MEMBER(confcast_status, is_control_silent),
    MEMBER(confcast_status, content),
    MEMBER(confcast_status, content_size),
    MEMBER(confcast_status, fresh_unix_ns),
};

int
main(void)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i].name[0] == '\0') {
            printf("%s\"%s\":{", i == 0 ? "{" : "},", numbers[i].type);
        }
        printf("%s\"%s\":%zu", numbers[i].name[0] == '\0' ? "" : ",", numbers[i].name,
               numbers[i].value);
    }
    printf("}}\n");
    return 0;
}
