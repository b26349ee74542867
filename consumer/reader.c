/* The read path of the public API: reader sections, typed getters, iteration.  Nothing here
 * allocates, locks or enters the kernel, but for a thread's first section, which registers it with
 * RCU. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-bp.h>

#include "confcast/confcast.h"
#include "consumer/fork_guard.h"
#include "consumer/scope.h"
#include "consumer/view.h"
#include "protocol/snapshot/body.h"
#include "protocol/snapshot/diff.h"
#include "protocol/snapshot/json_write.h"
#include "protocol/snapshot/lookup.h"

_Static_assert(sizeof(struct confcast_key) == sizeof(struct cfc_index_key) &&
                   offsetof(struct confcast_key, hash) == offsetof(struct cfc_index_key, hash) &&
                   offsetof(struct confcast_key, seed) == offsetof(struct cfc_index_key, seed) &&
                   offsetof(struct confcast_key, pointer) ==
                       offsetof(struct cfc_index_key, pointer) &&
                   offsetof(struct confcast_key, size) == offsetof(struct cfc_index_key, size) &&
                   offsetof(struct confcast_key, segment_offset) ==
                       offsetof(struct cfc_index_key, segment_offset),
               "a public key is an index key");
_Static_assert((int)CONFCAST_NULL == (int)CFC_TYPE_NULL &&
                   (int)CONFCAST_BOOL == (int)CFC_TYPE_BOOL &&
                   (int)CONFCAST_I64 == (int)CFC_TYPE_I64 &&
                   (int)CONFCAST_F64 == (int)CFC_TYPE_F64 &&
                   (int)CONFCAST_STRING == (int)CFC_TYPE_STRING &&
                   (int)CONFCAST_ARRAY == (int)CFC_TYPE_ARRAY &&
                   (int)CONFCAST_OBJECT == (int)CFC_TYPE_OBJECT,
               "public types are the body's types");

/* ---- Reader sections ------------------------------------------------------------------------- */

static inline void
lock(void)
{
    cfc_fork_guard_resume();
    urcu_bp_read_lock(); /* registers the thread on its first section */
}

static inline void
unlock(void)
{
    cfc_grace_release();
    urcu_bp_read_unlock();
}

/* A section of one value.  The outermost one of a registered thread, where membarrier(2) makes the
 * writer's side pay for the fences, ends with the store of a zero: the reader is what it ends by.
 * NULL: any other, begun as usual. */
static inline struct urcu_bp_reader *
begin_one(void)
{
    struct urcu_bp_reader *reader = URCU_TLS(urcu_bp_reader);

    if (__builtin_expect(
            reader == NULL || atomic_load_explicit(&cfc_fork_is_pending, memory_order_relaxed) ||
                urcu_bp_has_sys_membarrier == 0 || (reader->ctr & URCU_BP_GP_CTR_NEST_MASK) != 0,
            0)) {
        lock();
        return NULL;
    }
    _CMM_STORE_SHARED(reader->ctr, _CMM_LOAD_SHARED(urcu_bp_gp.ctr));
    cmm_barrier();
    return reader;
}

static inline void
end_one(struct urcu_bp_reader *reader)
{
    if (__builtin_expect(reader == NULL, 0)) {
        unlock();
        return;
    }
    cfc_grace_release();
    cmm_barrier();
    _CMM_STORE_SHARED(reader->ctr, 0);
}

void
confcast_read_lock(void)
{
    lock();
}

void
confcast_read_unlock(void)
{
    unlock();
}

const struct confcast_view *
confcast_view(const struct confcast_scope *scope)
{
    return cfc_view_load(&scope->view);
}

/* ---- Keys ------------------------------------------------------------------------------------ */

int
confcast_key_init(struct confcast_key *key, const char *pointer)
{
    struct cfc_index_key hashed;
    int error = cfc_index_key_init(&hashed, pointer, strlen(pointer), cfc_index_seed());

    memcpy(key, &hashed, sizeof(hashed));
    return error;
}

static pthread_mutex_t key_lock = PTHREAD_MUTEX_INITIALIZER;

void
cfc_reader_lock_keys(void)
{
    pthread_mutex_lock(&key_lock);
}

void
cfc_reader_unlock_keys(void)
{
    pthread_mutex_unlock(&key_lock);
}

static __attribute__((noinline, cold)) void
hash_key(struct confcast_key *key)
{
    struct cfc_index_key hashed;

    cfc_reader_lock_keys();
    if (key->seed == 0) {
        /* One that is no pointer has none from now on, and finds nothing. */
        (void)cfc_index_key_init(&hashed, key->pointer, key->size, cfc_index_seed());
        key->hash = hashed.hash;
        key->pointer = hashed.pointer;
        key->segment_offset = hashed.segment_offset;
        __atomic_store_n(&key->seed, cfc_index_seed(), __ATOMIC_RELEASE);
    }
    cfc_reader_unlock_keys();
}

const struct confcast_key *
confcast_key_ready(struct confcast_key *key)
{
    if (__builtin_expect(__atomic_load_n(&key->seed, __ATOMIC_ACQUIRE) == 0, 0)) {
        hash_key(key);
    }
    return key;
}

/* ---- Getters --------------------------------------------------------------------------------- */

static inline const struct cfc_value *
lookup(const struct confcast_view *view, const struct confcast_key *key)
{
    if (view == NULL) {
        return NULL;
    }
    return cfc_index_find(&view->index, (const struct cfc_index_key *)(const void *)key);
}

static void
explain(int *why, int code)
{
    if (why != NULL) {
        *why = code;
    }
}

/* Whether `value` is there and of the type; says why not. */
static inline bool
is_a(const struct cfc_value *value, enum cfc_type type, int *why)
{
    if (value == NULL) {
        explain(why, CONFCAST_ERR_NOT_FOUND);
        return false;
    }
    if (cfc_value_type(value) != type) {
        explain(why, CONFCAST_ERR_TYPE);
        return false;
    }
    explain(why, CONFCAST_OK);
    return true;
}

static bool
bool_of(const struct cfc_value *value, bool fallback, int *why)
{
    return is_a(value, CFC_TYPE_BOOL, why) ? cfc_value_bool(value) : fallback;
}

static inline int64_t
i64_of(const struct cfc_value *value, int64_t fallback, int *why)
{
    return is_a(value, CFC_TYPE_I64, why) ? cfc_value_i64(value) : fallback;
}

static double
f64_of(const struct cfc_value *value, double fallback, int *why)
{
    if (value != NULL && cfc_value_type(value) == CFC_TYPE_I64) {
        explain(why, CONFCAST_OK);
        return (double)cfc_value_i64(value);
    }
    return is_a(value, CFC_TYPE_F64, why) ? cfc_value_f64(value) : fallback;
}

static const char *
string_of(const struct cfc_value *value, const char *fallback, size_t *size, int *why)
{
    if (is_a(value, CFC_TYPE_STRING, why)) {
        return cfc_value_string(value, size);
    }
    if (size != NULL) {
        *size = fallback != NULL ? strlen(fallback) : 0;
    }
    return fallback;
}

bool
confcast_get_bool(const struct confcast_view *view, const struct confcast_key *key, bool fallback,
                  int *why)
{
    return bool_of(lookup(view, key), fallback, why);
}

int64_t
confcast_get_i64(const struct confcast_view *view, const struct confcast_key *key, int64_t fallback,
                 int *why)
{
    return i64_of(lookup(view, key), fallback, why);
}

double
confcast_get_f64(const struct confcast_view *view, const struct confcast_key *key, double fallback,
                 int *why)
{
    return f64_of(lookup(view, key), fallback, why);
}

const char *
confcast_get_string(const struct confcast_view *view, const struct confcast_key *key,
                    const char *fallback, size_t *size, int *why)
{
    return string_of(lookup(view, key), fallback, size, why);
}

/* ---- One value, one section -------------------------------------------------------------------
 */

bool
confcast_read_bool(const struct confcast_scope *scope, const struct confcast_key *key,
                   bool fallback, int *why)
{
    struct urcu_bp_reader *reader;
    bool value;

    reader = begin_one();
    value = bool_of(lookup(cfc_view_load(&scope->view), key), fallback, why);
    end_one(reader);
    return value;
}

int64_t
confcast_read_i64(const struct confcast_scope *scope, const struct confcast_key *key,
                  int64_t fallback, int *why)
{
    struct urcu_bp_reader *reader;
    int64_t value;

    reader = begin_one();
    value = i64_of(lookup(cfc_view_load(&scope->view), key), fallback, why);
    end_one(reader);
    return value;
}

double
confcast_read_f64(const struct confcast_scope *scope, const struct confcast_key *key,
                  double fallback, int *why)
{
    struct urcu_bp_reader *reader;
    double value;

    reader = begin_one();
    value = f64_of(lookup(cfc_view_load(&scope->view), key), fallback, why);
    end_one(reader);
    return value;
}

size_t
confcast_read_string(const struct confcast_scope *scope, const struct confcast_key *key,
                     const char *fallback, char *string, size_t capacity, int *why)
{
    struct urcu_bp_reader *reader;
    const char *value;
    size_t size;
    size_t kept;

    reader = begin_one();
    value = string_of(lookup(cfc_view_load(&scope->view), key), fallback, &size, why);
    kept = size < capacity ? size : capacity - 1;
    while (kept < size && kept > 0 && ((unsigned char)value[kept] & 0xc0) == 0x80) {
        kept--; /* not inside a character */
    }
    if (kept > 0) {
        memcpy(string, value, kept);
    }
    string[kept] = '\0';
    end_one(reader);
    return size;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static struct confcast_value
value_in(const struct confcast_view *view, const struct cfc_value *value)
{
    if (value == NULL) {
        return (struct confcast_value){.view = NULL};
    }
    return (struct confcast_value){
        .view = view,
        .offset = (uint32_t)((const uint8_t *)value - view->index.body),
        .type = (uint32_t)cfc_value_type(value),
    };
}

static const struct cfc_value *
inside(struct confcast_value value)
{
    if (value.view == NULL) {
        return NULL;
    }
    return (const struct cfc_value *)(const void *)(value.view->index.body + value.offset);
}

struct confcast_value
confcast_get(const struct confcast_view *view, const struct confcast_key *key)
{
    return value_in(view, lookup(view, key));
}

bool
confcast_value_bool(struct confcast_value value, bool fallback, int *why)
{
    return bool_of(inside(value), fallback, why);
}

int64_t
confcast_value_i64(struct confcast_value value, int64_t fallback, int *why)
{
    return i64_of(inside(value), fallback, why);
}

double
confcast_value_f64(struct confcast_value value, double fallback, int *why)
{
    return f64_of(inside(value), fallback, why);
}

const char *
confcast_value_string(struct confcast_value value, const char *fallback, size_t *size, int *why)
{
    return string_of(inside(value), fallback, size, why);
}

static bool
is_container(struct confcast_value value)
{
    return value.view != NULL && (value.type == CONFCAST_ARRAY || value.type == CONFCAST_OBJECT);
}

uint32_t
confcast_value_count(struct confcast_value value)
{
    return is_container(value) ? cfc_value_count(inside(value)) : 0;
}

struct confcast_iterator
confcast_iterate(struct confcast_value container)
{
    struct confcast_iterator it = {.value = {.view = NULL}};
    struct cfc_iter inner;

    if (!is_container(container)) {
        return it;
    }
    inner = cfc_iter_of(inside(container));
    it.container = container.view;
    it.left = inner.left_count;
    it.is_object = inner.is_object;
    it.next_offset = (uint32_t)(inner.p - container.view->index.body);
    return it;
}

bool
confcast_next(struct confcast_iterator *it)
{
    struct cfc_iter inner;
    struct cfc_child child;

    if (it->left == 0) {
        return false;
    }
    inner = (struct cfc_iter){.p = it->container->index.body + it->next_offset,
                              .left_count = it->left,
                              .is_object = it->is_object != 0};
    cfc_iter_next(&inner, &child);
    it->value = value_in(it->container, child.value);
    it->key = child.key;
    it->key_size = (uint32_t)child.key_size;
    it->left = inner.left_count;
    it->next_offset = (uint32_t)(inner.p - it->container->index.body);
    return true;
}

/* ---- Comparing --------------------------------------------------------------------------------
 */

_Static_assert((int)CONFCAST_ADDED == (int)CFC_DIFF_ADDED &&
                   (int)CONFCAST_REMOVED == (int)CFC_DIFF_REMOVED &&
                   (int)CONFCAST_CHANGED == (int)CFC_DIFF_CHANGED,
               "public kinds are the diff's");

static const struct cfc_value *
root_of(const struct confcast_view *view)
{
    return view != NULL ? cfc_body_root(view->index.body) : NULL;
}

int
confcast_diff(const struct confcast_view *before, const struct confcast_view *after,
              confcast_changed_key_fn *fn, void *arg)
{
    struct cfc_diff *diff = malloc(sizeof(*diff));
    struct cfc_diff_item item;
    int result = CONFCAST_OK;

    if (diff == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_diff_begin(diff, root_of(before), root_of(after));
    while (result == CONFCAST_OK && cfc_diff_next(diff, &item)) {
        struct confcast_change change = {.kind = (enum confcast_change_kind)item.kind,
                                         .pointer = item.pointer,
                                         .pointer_size = item.pointer_size,
                                         .before = value_in(before, item.before),
                                         .after = value_in(after, item.after)};

        result = fn(arg, &change);
    }
    free(diff);
    return result;
}

bool
confcast_differs(const struct confcast_view *before, const struct confcast_view *after,
                 const struct confcast_key *key)
{
    const struct cfc_value *was = lookup(before, key);
    const struct cfc_value *is = lookup(after, key);
    size_t size;

    if (was == NULL || is == NULL) {
        return was != is;
    }
    size = cfc_value_size(was);
    return size != cfc_value_size(is) || memcmp(was, is, size) != 0;
}

/* ---- Views ----------------------------------------------------------------------------------- */

uint64_t
confcast_view_version(const struct confcast_view *view)
{
    return view->served.version;
}

const uint8_t *
confcast_view_content(const struct confcast_view *view)
{
    return view->loaded->id.bytes;
}

int
confcast_view_json(const struct confcast_view *view, const struct confcast_key *key, char *json,
                   size_t capacity, size_t *size)
{
    const struct cfc_value *value = lookup(view, key);
    struct cfc_buffer buffer;
    int error;

    *size = 0;
    if (value == NULL) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    cfc_buffer_init(&buffer, &cfc_consumer_heap, SIZE_MAX / 2);
    error = cfc_json_write(&buffer, value);
    if (error == CONFCAST_OK) {
        *size = buffer.size;
        if (buffer.size > capacity) {
            error = CONFCAST_ERR_LIMIT;
        } else if (buffer.size > 0) {
            memcpy(json, buffer.bytes, buffer.size);
        }
    }
    cfc_buffer_free(&buffer);
    return error;
}
