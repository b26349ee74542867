#include "controlplane/auth/rate.h"

#include <sodium.h>
#include <string.h>

#include "protocol/base/time.h"

_Static_assert(sizeof(((struct cfc_rate *)0)->key) == crypto_shorthash_KEYBYTES, "one key");
_Static_assert(crypto_shorthash_BYTES == sizeof(uint64_t), "one hash");

void
cfc_rate_init(struct cfc_rate *rate, uint32_t per_s)
{
    memset(rate, 0, sizeof(*rate));
    pthread_mutex_init(&rate->lock, NULL);
    rate->interval_ns = per_s > 0 ? CFC_S / per_s : 0;
    rate->burst_ns = per_s > 0 ? rate->interval_ns * (per_s - 1) : 0;
    randombytes_buf(rate->key, sizeof(rate->key));
}

void
cfc_rate_destroy(struct cfc_rate *rate)
{
    pthread_mutex_destroy(&rate->lock);
}

/* The slot of a name, or else the one that is missed least. */
static struct cfc_rate_slot *
slot_of(struct cfc_rate *rate, uint64_t hash)
{
    struct cfc_rate_slot *set = rate->slots[hash % CFC_RATE_SET_COUNT];
    struct cfc_rate_slot *oldest = &set[0];

    for (int i = 0; i < CFC_RATE_WAYS; i++) {
        if (set[i].hash == hash && set[i].full_ns != 0) {
            return &set[i];
        }
        if (set[i].full_ns < oldest->full_ns) {
            oldest = &set[i];
        }
    }
    *oldest = (struct cfc_rate_slot){.hash = hash};
    return oldest;
}

bool
cfc_rate_take(struct cfc_rate *rate, const char *name, uint64_t now_ns, uint64_t *wait_ns)
{
    struct cfc_rate_slot *slot;
    uint64_t from_ns;
    uint64_t hash;
    bool may;

    *wait_ns = 0;
    if (rate->interval_ns == 0) {
        return true;
    }
    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)name, strlen(name), rate->key);
    pthread_mutex_lock(&rate->lock);
    slot = slot_of(rate, hash);
    from_ns = slot->full_ns > now_ns ? slot->full_ns : now_ns;
    may = from_ns - now_ns <= rate->burst_ns;
    if (may) {
        slot->full_ns = from_ns + rate->interval_ns;
    } else {
        *wait_ns = from_ns - now_ns - rate->burst_ns;
    }
    pthread_mutex_unlock(&rate->lock);
    return may;
}
