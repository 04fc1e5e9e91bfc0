/*
 * What a chat client is owed: of each room that it follows every record that counts, from where it joined, once, in order, for as
 * long as its user is a member; or it was told of a gap that lies over it.
 */
#include "chat.h"

#include "messaging/args.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

int chat_room_named(const struct chat_world *w, struct slice key)
{
        for (unsigned i = 0; i < w->shape.rooms; i++)
                if (slice_is(key, w->rooms[i].key))
                        return (int)i;
        return -1;
}

int64_t chat_number(struct slice json, const char *field)
{
        struct slice raw;
        int64_t n = -1;
        return arg_field(json, field, &raw) && arg_int(raw, &n) ? n : -1;
}

/* ---- one record ---- */

enum change { NO_CHANGE, ADDED, REMOVED };

/* What it changes of this client's own rights. */
static enum change change_of(const struct chat_client *c, const struct entry *e)
{
        bool added = slice_is(e->type, "tern.member.added");
        if (!added && !slice_is(e->type, "tern.member.removed"))
                return NO_CHANGE;
        char *user = arg_field_text(e->value, "userId");
        bool own = user && strcmp(user, c->user) == 0;
        free(user);
        return !own ? NO_CHANGE : added ? ADDED : REMOVED;
}

static bool excused(const struct chat_client *c, int room, const struct entry *e)
{
        if (e->kind == ENTRY_LATE || e->lost)
                return true;
        int32_t slot = (int32_t)partition_of(slice_str(c->w->rooms[room].key), c->w->shape.partitions);
        for (size_t i = 0; i < c->gap_count; i++)
                if (c->gaps[i].slot == slot && entry_seq(e) >= c->gaps[i].from &&
                        entry_seq(e) < c->gaps[i].to)
                        return true;
        return false;
}

/* Passes over what need not come. seat is a copy, or the one that is moved. */
static void skip_hidden(const struct chat_client *c, int room, struct chat_seat *seat)
{
        const struct chat_room *r = &c->w->rooms[room];
        while (seat->at < r->count && seat->muted && change_of(c, r->items[seat->at]) != ADDED)
                seat->at++;
}

static void take(const struct chat_client *c, struct chat_seat *seat, const struct entry *e)
{
        enum change change = change_of(c, e);
        if (change != NO_CHANGE)
                seat->muted = change == REMOVED;
        seat->at++;
}

static void skip_excused(const struct chat_client *c, int room, struct chat_seat *seat, int64_t until)
{
        const struct chat_room *r = &c->w->rooms[room];
        skip_hidden(c, room, seat);
        while (seat->at < r->count && entry_seq(r->items[seat->at]) < until &&
                excused(c, room, r->items[seat->at])) {
                take(c, seat, r->items[seat->at]);
                skip_hidden(c, room, seat);
        }
}

void chat_owed_event(struct chat_client *c, int room, int64_t seq)
{
        struct chat_seat *seat = &c->seats[room];
        const struct chat_room *r = &c->w->rooms[room];
        if (!seat->follows)
                seat->shown = seq;
        if (!seat->follows || (seq < seat->from && seat->before))
                return;
        if (seq < seat->from)
                fail(c->name, "is shown %llx of %s, which it follows from %llx",
                        (unsigned long long)seq, r->key, (unsigned long long)seat->from);
        skip_excused(c, room, seat, seq);
        const struct entry *e = seat->at < r->count ? r->items[seat->at] : NULL;
        if (!e || entry_seq(e) > seq)
                fail(c->name, "is shown %llx of %s, which it has had, or has no right to",
                        (unsigned long long)seq, r->key);
        if (entry_seq(e) < seq)
                fail(c->name, "is shown %llx of %s, but lacks %llx (%s)", (unsigned long long)seq,
                        r->key, (unsigned long long)entry_seq(e), e->id.p);
        take(c, seat, e);
}

void chat_owed_joined(struct chat_client *c, int room, int64_t from)
{
        struct chat_seat *seat = &c->seats[room];
        const struct chat_room *r = &c->w->rooms[room];
        bool before = seat->before;
        int64_t shown = before ? seat->shown + 1 : 0;
        *seat = (struct chat_seat){.follows = true, .from = from, .before = before};
        /* A room that the session followed all the time is live before the answer. */
        from = shown > from ? shown : from;
        while (seat->at < r->count && entry_seq(r->items[seat->at]) < from)
                seat->at++;
        trace(c->name, "follows %s from %llx", r->key, (unsigned long long)from);
}

bool chat_owed_all(const struct chat_client *c)
{
        for (unsigned i = 0; i < c->w->shape.rooms; i++) {
                struct chat_seat seat = c->seats[i];
                if (!seat.follows)
                        continue;
                skip_excused(c, (int)i, &seat, INT64_MAX);
                if (seat.at < c->w->rooms[i].count)
                        return false;
        }
        return true;
}

void chat_owed_explain(const struct chat_client *c)
{
        for (unsigned i = 0; i < c->w->shape.rooms; i++) {
                struct chat_seat seat = c->seats[i];
                const struct chat_room *r = &c->w->rooms[i];
                if (!seat.follows)
                        continue;
                skip_excused(c, (int)i, &seat, INT64_MAX);
                if (seat.at < r->count)
                        fail(c->name, "never gets %llx (%s) of %s",
                                (unsigned long long)entry_seq(r->items[seat.at]),
                                r->items[seat.at]->id.p, r->key);
        }
}

void chat_owed_page(const struct chat_client *c, int room, int64_t before, const int64_t *seqs,
        size_t count, size_t limit)
{
        const struct chat_room *r = &c->w->rooms[room];
        size_t n = 0;
        for (size_t i = r->count; i > 0 && n < limit; i--) {
                const struct entry *e = r->items[i - 1];
                if (entry_seq(e) >= before || !slice_is(e->type, "tern.message.created"))
                        continue;
                if (e->kind == ENTRY_LATE)
                        return; /* the archive keeps the first, the tail shows both */
                if (n >= count || seqs[count - 1 - n] != entry_seq(e))
                        fail(c->name, "is given a page of %s before %llx without %llx", r->key,
                                (unsigned long long)before, (unsigned long long)entry_seq(e));
                n++;
        }
        if (n != count)
                fail(c->name, "is given %zu messages of %s before %llx, not %zu", count, r->key,
                        (unsigned long long)before, n);
}
