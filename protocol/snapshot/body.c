#include "protocol/snapshot/body.h"

#include <assert.h>
#include <string.h>

#include "protocol/base/endian.h"
#include "protocol/snapshot/layout.h"

static const struct cfc_value *
value_at(const uint8_t *p)
{
    return (const struct cfc_value *)p;
}

static const uint8_t *
tag_of(const struct cfc_value *value)
{
    return (const uint8_t *)value;
}

const struct cfc_value *
cfc_body_root(const void *body)
{
    const uint8_t *p = body;
    uint64_t node_count;

    return value_at(cfc_varint_get(p + CFC_BODY_MAGIC_SIZE, &node_count));
}

uint32_t
cfc_body_node_count(const void *body)
{
    const uint8_t *p = body;
    uint64_t node_count;

    cfc_varint_get(p + CFC_BODY_MAGIC_SIZE, &node_count);
    return (uint32_t)node_count;
}

/* A key, or what follows the tag of a string. */
static const char *
text_at(const uint8_t *p, size_t *size)
{
    uint64_t v;
    const uint8_t *text = cfc_varint_get(p, &v);

    *size = (size_t)v;
    return (const char *)text;
}

struct cfc_iter
cfc_iter_of(const struct cfc_value *container)
{
    const uint8_t *p = tag_of(container);
    struct cfc_iter iter = {.is_object = *p == CFC_TAG_OBJECT};
    uint64_t count;
    uint64_t size;

    assert(*p == CFC_TAG_OBJECT || *p == CFC_TAG_ARRAY);
    p = cfc_varint_get(p + 1, &count);
    iter.p = cfc_varint_get(p, &size);
    iter.left_count = (uint32_t)count;
    return iter;
}

uint32_t
cfc_value_count(const struct cfc_value *value)
{
    return cfc_iter_of(value).left_count;
}

static const uint8_t *
value_end(const uint8_t *p)
{
    uint64_t v;

    switch (*p++) {
    case CFC_TAG_I64:
        return cfc_varint_get(p, &v);
    case CFC_TAG_F64:
        return p + sizeof(double);
    case CFC_TAG_STRING:
        p = cfc_varint_get(p, &v);
        return p + v + 1;
    case CFC_TAG_ARRAY:
    case CFC_TAG_OBJECT:
        p = cfc_varint_get(p, &v);
        p = cfc_varint_get(p, &v);
        return p + v;
    default:
        return p;
    }
}

size_t
cfc_value_size(const struct cfc_value *value)
{
    return (size_t)(value_end(tag_of(value)) - tag_of(value));
}

bool
cfc_iter_next(struct cfc_iter *iter, struct cfc_child *child)
{
    const uint8_t *p = iter->p;

    if (iter->left_count == 0) {
        return false;
    }
    child->key = NULL;
    child->key_size = 0;
    if (iter->is_object) {
        child->key = text_at(p, &child->key_size);
        p = (const uint8_t *)child->key + child->key_size + 1;
    }
    child->value = value_at(p);
    iter->p = value_end(p);
    iter->left_count--;
    return true;
}

const struct cfc_value *
cfc_value_member(const struct cfc_value *object, const char *key, size_t key_size)
{
    struct cfc_iter iter = cfc_iter_of(object);
    struct cfc_child child;

    assert(iter.is_object);
    while (cfc_iter_next(&iter, &child)) {
        if (child.key_size == key_size && memcmp(child.key, key, key_size) == 0) {
            return child.value;
        }
    }
    return NULL;
}
