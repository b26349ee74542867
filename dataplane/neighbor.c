#include "dataplane/neighbor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAYS = 4,
    COUNT_MAX = 1 << 20,
};

struct entry {
    uint64_t heard_ns;
    uint8_t ip[CFC_IP_SIZE]; /* all zero: free */
    uint8_t mac[CFC_MAC_ADDRESS_SIZE];
};

struct cfc_neighbors {
    uint64_t seed;
    uint32_t set_mask;
    struct entry entries[];
};

struct cfc_neighbors *
cfc_neighbors_new(uint32_t count, uint64_t seed)
{
    uint32_t set_count = 1;
    struct cfc_neighbors *n;

    assert(count >= 1 && count <= COUNT_MAX);
    /* Four times the room: uneven sets then push out fewer than one entry in a hundred. */
    while (set_count < count) {
        set_count *= 2;
    }
    n = calloc(1, sizeof(*n) + sizeof(n->entries[0]) * set_count * WAYS);
    if (n == NULL) {
        return NULL;
    }
    n->seed = seed;
    n->set_mask = set_count - 1;
    return n;
}

void
cfc_neighbors_free(struct cfc_neighbors *n)
{
    free(n);
}

static size_t
first_of_set(const struct cfc_neighbors *n, const uint8_t ip[CFC_IP_SIZE])
{
    uint64_t words[2];
    uint64_t x = n->seed;

    memcpy(words, ip, sizeof(words));
    for (size_t i = 0; i < 2; i++) {
        x = (x ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        x = (x ^ x >> 32 ^ n->seed >> 32) * UINT64_C(0xd6e8feb86659fd93);
        x ^= x >> 32;
    }
    return (size_t)(x & n->set_mask) * WAYS;
}

void
cfc_neighbors_learn(struct cfc_neighbors *n, const uint8_t ip[CFC_IP_SIZE],
                    const uint8_t mac[CFC_MAC_ADDRESS_SIZE], uint64_t now_ns)
{
    struct entry *set = &n->entries[first_of_set(n, ip)];
    struct entry *chosen = &set[0];

    for (size_t i = 0; i < WAYS; i++) {
        if (memcmp(set[i].ip, ip, CFC_IP_SIZE) == 0) {
            chosen = &set[i];
            break;
        }
        if (set[i].heard_ns < chosen->heard_ns) {
            chosen = &set[i];
        }
    }
    memcpy(chosen->ip, ip, CFC_IP_SIZE);
    chosen->heard_ns = now_ns;
    memcpy(chosen->mac, mac, CFC_MAC_ADDRESS_SIZE);
}

const uint8_t *
cfc_neighbors_find(const struct cfc_neighbors *n, const uint8_t ip[CFC_IP_SIZE])
{
    const struct entry *set = &n->entries[first_of_set(n, ip)];

    for (size_t i = 0; i < WAYS; i++) {
        if (memcmp(set[i].ip, ip, CFC_IP_SIZE) == 0 && cfc_net_is_given(ip)) {
            return set[i].mac;
        }
    }
    return NULL;
}
