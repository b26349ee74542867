#include "consumer/xdp/wishes.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/fork_guard.h"

_Static_assert((int)CFC_XDP_PARTIES_MAX *CFC_XDP_HOST_SCOPES_MAX <= (int)CFC_XDP_WANTED_MAX,
               "every process's scopes fit the filter");

int
cfc_xdp_wishes_init(struct cfc_xdp_wishes *w, uint64_t seed)
{
    *w = (struct cfc_xdp_wishes){
        .scopes = {.count_max = CFC_XDP_PARTIES_MAX * CFC_XDP_HOST_SCOPES_MAX, .seed = seed},
        .pins = {.count_max = CFC_XDP_PARTIES_MAX * CFC_XDP_HOST_CONTENTS_MAX, .seed = seed},
    };
    w->parties[0] = cfc_xdp_party_new(w, -1);
    if (w->parties[0] == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    w->party_count = 1;
    return CONFCAST_OK;
}

void
cfc_xdp_wishes_clear(struct cfc_xdp_wishes *w)
{
    cfc_xdp_party_free(w->parties[0]);
    cfc_wish_map_clear(&w->scopes);
    cfc_wish_map_clear(&w->pins);
}

struct cfc_xdp_party *
cfc_xdp_party_new(const struct cfc_xdp_wishes *w, int fd)
{
    struct cfc_xdp_party *party = calloc(1, sizeof(*party));
    struct ucred who = {.uid = (uid_t)-1};
    socklen_t size = sizeof(who);

    if (party == NULL) {
        return NULL;
    }
    party->fd = fd;
    party->is_trusted = fd < 0 || (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
                                   (who.uid == 0 || who.uid == geteuid()));
    party->pins =
        (struct cfc_wish_map){.count_max = CFC_XDP_HOST_CONTENTS_MAX, .seed = w->pins.seed};
    return party;
}

void
cfc_xdp_party_free(struct cfc_xdp_party *party)
{
    if (party != NULL) {
        cfc_wish_map_clear(&party->pins);
        free(party);
    }
}

void
cfc_xdp_wishes_add(struct cfc_xdp_wishes *w, struct cfc_xdp_party *party)
{
    w->parties[w->party_count++] = party;
}

uint32_t
cfc_xdp_party_find_scope(const struct cfc_xdp_party *party, uint64_t scope_id)
{
    uint32_t i = 0;

    while (i < party->scope_count && party->scopes[i] != scope_id) {
        i++;
    }
    return i;
}

/* Whoever needs it outdoes all that hold it. */
static uint32_t
pin_of(const struct cfc_wish *wish)
{
    return wish == NULL ? 0 : wish->needed > 0 ? CFC_XDP_NEEDED : CFC_XDP_HELD;
}

static uint32_t
pin_in(const struct cfc_wish_map *pins, uint64_t key)
{
    return pin_of(cfc_wish_map_find(pins, key));
}

uint32_t
cfc_xdp_party_pin(const struct cfc_xdp_party *party, uint64_t key)
{
    return pin_in(&party->pins, key);
}

void
cfc_xdp_wishes_want(struct cfc_xdp_wishes *w, struct cfc_xdp_party *party, uint64_t scope_id)
{
    if (cfc_xdp_party_find_scope(party, scope_id) < party->scope_count) {
        return;
    }
    if (party->scope_count == CFC_XDP_HOST_SCOPES_MAX ||
        cfc_wish_map_add(&w->scopes, scope_id, 1, 0) != CONFCAST_OK) {
        party->is_unclear = true;
        return;
    }
    if (w->filter != NULL && cfc_wish_map_find(&w->scopes, scope_id)->needed == 1) {
        cfc_xdp_filter_want(w->filter, scope_id);
    }
    party->scopes[party->scope_count++] = scope_id;
}

void
cfc_xdp_wishes_unwant(struct cfc_xdp_wishes *w, struct cfc_xdp_party *party, uint64_t scope_id)
{
    uint32_t i = cfc_xdp_party_find_scope(party, scope_id);

    if (i == party->scope_count) {
        return;
    }
    party->scopes[i] = party->scopes[--party->scope_count];
    (void)cfc_wish_map_add(&w->scopes, scope_id, -1, 0);
    if (w->filter != NULL && cfc_wish_map_find(&w->scopes, scope_id) == NULL) {
        cfc_xdp_filter_unwant(w->filter, scope_id);
    }
}

/* That a content is held is only worth something, that it is needed must not be lost. */
void
cfc_xdp_wishes_pin(struct cfc_xdp_wishes *w, struct cfc_xdp_party *party, uint64_t key,
                   uint32_t pin)
{
    uint32_t before = pin_in(&party->pins, key);
    uint32_t before_all = pin_in(&w->pins, key);
    uint32_t after_all;
    int needed = (pin == CFC_XDP_NEEDED) - (before == CFC_XDP_NEEDED);
    int held = (pin == CFC_XDP_HELD) - (before == CFC_XDP_HELD);

    if (pin == before) {
        return;
    }
    if (cfc_wish_map_add(&party->pins, key, needed, held) != CONFCAST_OK) {
        party->is_unclear = party->is_unclear || pin == CFC_XDP_NEEDED;
        return;
    }
    if (cfc_wish_map_add(&w->pins, key, needed, held) != CONFCAST_OK) {
        (void)cfc_wish_map_add(&party->pins, key, -needed, -held);
        party->is_unclear = party->is_unclear || pin == CFC_XDP_NEEDED;
        return;
    }
    after_all = pin_in(&w->pins, key);
    w->needed_count += (after_all == CFC_XDP_NEEDED);
    w->needed_count -= (before_all == CFC_XDP_NEEDED);
    if (w->filter != NULL && after_all != before_all) {
        cfc_xdp_filter_pin(w->filter, key, after_all);
    }
}

void
cfc_xdp_wishes_remove(struct cfc_xdp_wishes *w, uint32_t i)
{
    struct cfc_xdp_party *party = w->parties[i];
    uint32_t at = 0;

    while (party->scope_count > 0) {
        cfc_xdp_wishes_unwant(w, party, party->scopes[party->scope_count - 1]);
    }
    for (const struct cfc_wish *wish; (wish = cfc_wish_map_next(&party->pins, &at)) != NULL;) {
        cfc_xdp_wishes_pin(w, party, wish->key, 0);
    }
    cfc_fork_guard_lock();
    close(party->fd); /* which takes it out of the epoll set */
    cfc_xdp_party_free(party);
    w->parties[i] = w->parties[--w->party_count];
    cfc_fork_guard_unlock();
}

bool
cfc_xdp_wishes_are_unclear(const struct cfc_xdp_wishes *w)
{
    bool are_unclear = false;

    for (uint32_t i = 0; i < w->party_count; i++) {
        are_unclear = are_unclear || w->parties[i]->is_unclear;
    }
    return are_unclear;
}

void
cfc_xdp_wishes_tell(const struct cfc_xdp_wishes *w, struct cfc_xdp_filter *filter)
{
    const struct cfc_wish *wish;

    for (uint32_t at = 0; (wish = cfc_wish_map_next(&w->scopes, &at)) != NULL; at++) {
        cfc_xdp_filter_want(filter, wish->key);
    }
    for (uint32_t at = 0; (wish = cfc_wish_map_next(&w->pins, &at)) != NULL; at++) {
        cfc_xdp_filter_pin(filter, wish->key, pin_of(wish));
    }
}

void
cfc_xdp_wishes_retry_needs(const struct cfc_xdp_wishes *w)
{
    const struct cfc_wish *wish;

    if (!cfc_xdp_filter_has_lost_need(w->filter) || w->needed_count > CFC_XDP_PINNED_MAX) {
        return;
    }
    cfc_xdp_filter_retry_needs(w->filter);
    for (uint32_t at = 0; (wish = cfc_wish_map_next(&w->pins, &at)) != NULL; at++) {
        if (wish->needed > 0) {
            cfc_xdp_filter_pin(w->filter, wish->key, CFC_XDP_NEEDED);
        }
    }
}
