#include "auth/revocations.h"

#include "base/check.h"
#include "base/map.h"

#include <pthread.h>
#include <stdlib.h>

struct revocation {
        int64_t before_ms;
        uint32_t user_n;
        char user[]; /* key in revocations.by_user */
};

struct revocations {
        pthread_mutex_t lock;
        struct map by_user; /* under lock */
};

struct revocations *revocations_new(void)
{
        struct revocations *rv = xcalloc(1, sizeof(*rv));
        pthread_mutex_init(&rv->lock, NULL);
        rv->by_user = MAP_EMPTY;
        return rv;
}

struct revocations *revocations_free(struct revocations *rv)
{
        if (!rv)
                return NULL;
        size_t it = 0;
        struct revocation *r;
        while ((r = map_next(&rv->by_user, &it)))
                free(r);
        map_done(&rv->by_user);
        pthread_mutex_destroy(&rv->lock);
        free(rv);
        return NULL;
}

void revocations_set(struct revocations *rv, struct slice user, int64_t before_ms)
{
        pthread_mutex_lock(&rv->lock);
        struct revocation *r = map_get(&rv->by_user, user);
        if (!r) {
                r = xcalloc(1, sizeof(*r) + user.n);
                r->user_n = (uint32_t)user.n;
                if (user.n)
                        memcpy(r->user, user.p, user.n);
                map_put(&rv->by_user, slice_of(r->user, r->user_n), r);
        }
        r->before_ms = before_ms;
        pthread_mutex_unlock(&rv->lock);
}

bool revocations_void(struct revocations *rv, struct slice user, int64_t issued_ms)
{
        pthread_mutex_lock(&rv->lock);
        const struct revocation *r = map_get(&rv->by_user, user);
        bool is_void = r && issued_ms < r->before_ms;
        pthread_mutex_unlock(&rv->lock);
        return is_void;
}
