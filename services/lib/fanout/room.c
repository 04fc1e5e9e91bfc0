#include "fanout/core.h"

#include "base/hash.h"

#include <stdlib.h>

/* ---- rooms ---- */

struct slice room_key(const struct room *room)
{
        return slice_of(room->key, room->key_n);
}

struct room *room_find(const struct fanout *f, uint8_t class_, struct slice key, uint64_t hash)
{
        return map_get_hashed(&f->classes[class_].rooms, key, hash);
}

static struct room *room_open(struct fanout *f, uint8_t class_, struct slice key)
{
        uint64_t hash = hash_key(key);
        struct room *room = room_find(f, class_, key, hash);
        if (room)
                return room;
        struct room_class *c = &f->classes[class_];
        room = xmalloc(sizeof(*room) + key.n);
        *room = (struct room){
                .f = f, .class_ = class_, .slot = -1, .hash = hash, .key_n = (uint32_t)key.n};
        list_init(&room->subs);
        if (key.n > 0)
                memcpy(room->key, key.p, key.n);
        if (c->cursor_topic >= 0) {
                uint16_t topic = (uint16_t)c->cursor_topic;
                uint32_t partition = partition_of(key, f->topics[topic].partitions);
                room->slot = fanout_slot(f, topic, (uint16_t)partition);
        }
        map_put_hashed(&c->rooms, room_key(room), hash, room);
        return room;
}

static void room_close_if_empty(struct room *room)
{
        if (room->count > 0 || room->pins > 0)
                return;
        map_remove(&room->f->classes[room->class_].rooms, room_key(room));
        free(room);
}

void room_iter_begin(struct room_iter *it, struct room *room)
{
        struct fanout *f = room->f;
        *it = (struct room_iter){f->iters, room, room->subs.next, NULL};
        f->iters = it;
        room->pins++;
}

struct subscription *room_iter_next(struct room_iter *it)
{
        if (it->next == &it->room->subs)
                return NULL;
        it->cur = list_entry(it->next, struct subscription, in_room);
        it->next = it->next->next;
        return it->cur;
}

void room_iter_end(struct room_iter *it)
{
        struct fanout *f = it->room->f;
        CHECK(f->iters == it);
        f->iters = it->outer;
        it->room->pins--;
        room_close_if_empty(it->room);
}

static struct room *room_by_topic(const struct fanout *f, uint16_t topic, struct slice key)
{
        CHECK(topic < f->topic_count);
        return room_find(f, f->topics[topic].room_class, key, hash_key(key));
}

size_t fanout_room_size(const struct fanout *f, uint16_t topic, struct slice key)
{
        const struct room *room = room_by_topic(f, topic, key);
        return room ? room->count : 0;
}

void fanout_room_each(struct fanout *f, uint16_t topic, struct slice key,
        void (*fn)(void *arg, struct subscription *sn), void *arg)
{
        struct room *room = room_by_topic(f, topic, key);
        if (!room)
                return;
        fanout_enter(f);
        struct room_iter it;
        struct subscription *sn;
        room_iter_begin(&it, room);
        while ((sn = room_iter_next(&it)))
                fn(arg, sn);
        room_iter_end(&it);
        fanout_leave(f);
}

enum fanout_walked fanout_walk(const struct fanout *f, uint16_t topic, struct fanout_walk *w,
        unsigned rooms_max, void (*fn)(void *arg, struct slice key, size_t members), void *arg)
{
        CHECK(topic < f->topic_count);
        const struct map *rooms = &f->classes[f->topics[topic].room_class].rooms;
        const struct room *room;
        if (w->at > 0 && w->table != rooms->slots) {
                *w = (struct fanout_walk){0, NULL};
                return FANOUT_WALK_AGAIN;
        }
        w->table = rooms->slots;
        for (unsigned n = 0; n < rooms_max; n++) {
                room = map_next(rooms, &w->at);
                if (!room)
                        return FANOUT_WALK_DONE;
                if (room->count > 0)
                        fn(arg, room_key(room), room->count);
        }
        return FANOUT_WALK_ON;
}

/* ---- subscriptions ---- */

/* Walks the shorter of the two lists: a client has few rooms, or a room few clients. */
struct subscription *subscription_in(const struct subscriber *s, const struct room *room)
{
        const struct list *mine = s->rooms.next, *theirs = room->subs.next;
        while (mine != &s->rooms && theirs != &room->subs) {
                struct subscription *a =
                        list_entry((struct list *)(uintptr_t)mine, struct subscription, in_sub);
                struct subscription *b =
                        list_entry((struct list *)(uintptr_t)theirs, struct subscription, in_room);
                if (a->room == room)
                        return a;
                if (b->sub == s)
                        return b;
                mine = mine->next;
                theirs = theirs->next;
        }
        return NULL;
}

struct subscription *subscriber_find(const struct subscriber *s, uint16_t topic, struct slice key)
{
        if (list_empty(&s->rooms))
                return NULL;
        const struct fanout *f = list_entry(s->rooms.next, struct subscription, in_sub)->room->f;
        const struct room *room = room_by_topic(f, topic, key);
        return room ? subscription_in(s, room) : NULL;
}

struct slice subscription_key(const struct subscription *sn)
{
        return room_key(sn->room);
}

uint16_t subscription_topic(const struct subscription *sn)
{
        return (uint16_t)sn->room->f->classes[sn->room->class_].first_topic;
}

/* Where a room that is joined now begins: nothing that the position has passed, or the client's own place. */
static int64_t join_floor(const struct fanout *f, const struct subscriber *s, int32_t slot)
{
        int64_t here = fanout_here(f, slot);
        return s->own && s->own->next[slot] > here ? s->own->next[slot] : here;
}

struct subscription *subscriber_join(struct fanout *f, struct subscriber *s, uint16_t topic,
        struct slice key, int64_t from_seq, bool hold)
{
        CHECK(topic < f->topic_count && f->topics[topic].rooms && f->flat_count > 0);
        struct room *room = room_open(f, f->topics[topic].room_class, key);
        struct subscription *sn = subscription_in(s, room);
        if (sn)
                return sn;
        sn = xmalloc(sizeof(*sn));
        *sn = (struct subscription){.room = room, .sub = s, .from_seq = from_seq, .hold = hold};
        if (s->state != SUB_DETACHED && room->slot >= 0) {
                int64_t floor = join_floor(f, s, room->slot);
                if (sn->from_seq < floor)
                        sn->from_seq = floor;
        }
        list_push_back(&room->subs, &sn->in_room);
        room->count++;
        list_push_back(&s->rooms, &sn->in_sub);
        if (!hold)
                return sn;
        s->holds++;
        if (s->state != SUB_DETACHED) {
                place_own(f, s);
                place_update_caps(f, s);
        }
        if (s->state == SUB_LIVE && !list_linked(&s->active))
                list_push_back(&f->ahead, &s->active);
        return sn;
}

/* A hold ended. What it kept back is handed over. */
static void unhold(struct fanout *f, struct subscriber *s)
{
        s->holds--;
        if (s->state == SUB_DETACHED)
                return;
        place_own(f, s);
        place_update_caps(f, s);
        if (s->state == SUB_LIVE) {
                subscriber_set_state(f, s, SUB_CATCHUP);
                subscriber_make_runnable(f, s);
        } else if (s->state == SUB_CATCHUP) {
                subscriber_make_runnable(f, s);
        }
}

void subscriber_release(struct fanout *f, struct subscription *sn)
{
        if (!sn->hold)
                return;
        fanout_enter(f);
        sn->hold = false;
        unhold(f, sn->sub);
        fanout_leave(f);
}

void subscription_free(struct fanout *f, struct subscription *sn)
{
        struct room *room = sn->room;
        for (struct room_iter *it = f->iters; it; it = it->outer) {
                if (it->next == &sn->in_room)
                        it->next = sn->in_room.next;
                if (it->cur == sn)
                        it->cur = NULL;
        }
        list_remove(&sn->in_room);
        list_remove(&sn->in_sub);
        room->count--;
        f->leaves++;
        free(sn->turns);
        free(sn);
        room_close_if_empty(room);
}

void subscriber_leave(struct fanout *f, struct subscription *sn)
{
        struct subscriber *s = sn->sub;
        bool held = sn->hold;
        fanout_enter(f);
        subscription_free(f, sn);
        if (held)
                unhold(f, s);
        fanout_leave(f);
}

/* ---- rights along the log ---- */

void subscription_turn(struct subscription *sn, enum fanout_verdict v, int64_t seq)
{
        bool muted = v == FANOUT_DELIVER_AND_MUTE;
        if ((v != FANOUT_DELIVER_AND_MUTE && v != FANOUT_DELIVER_AND_UNMUTE) || sn->muted == muted)
                return;
        sn->muted = muted;
        if (sn->turn_count == TURNS_MAX) {
                /* Pairs, so that what is left still alternates from the same state. */
                sn->turn_count -= 2;
                memmove(sn->turns, sn->turns + 2, sn->turn_count * sizeof(*sn->turns));
        }
        if (sn->turn_count % 4 == 0)
                sn->turns = xrealloc(sn->turns, (sn->turn_count + 4u) * sizeof(*sn->turns));
        sn->turns[sn->turn_count++] = seq;
}

void subscription_rewind(struct subscription *sn, int64_t next_seq)
{
        while (sn->turn_count > 0 && sn->turns[sn->turn_count - 1] >= next_seq) {
                sn->muted = !sn->muted;
                sn->turn_count--;
        }
}
