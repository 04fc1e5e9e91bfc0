/*
 * A cursor grants nothing: where the replay of a room begins, the user must have had a right to it. What
 * changes after that place is met on the way, and mutes or unmutes the subscription there.
 *
 * The last change before the place is looked for in the session's record (it says where a muted room's
 * right ended, and at which place in the log that was true), then in the tail from that place on; a claim says again
 * what an older record said, so its own age tells nothing. Where the tail does not reach back so far,
 * Postgres is asked, and then the tail from where Postgres ends. If the writer is so far behind that the two do not
 * meet, a room is asked for alone, with what Kafka has between them.
 */
#include "messaging/restore.h"

#include "messaging/args.h"

#include "messaging_sql.h"

#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define RIGHTS_SQL_COLUMNS 3

static bool is_own_room(const struct restore *r, const char *id)
{
        return strncmp(id, "user:", 5) == 0 && strcmp(id + 5, r->user) == 0;
}

static int64_t start_of(const struct restore *r, uint16_t partition, int64_t from_seq)
{
        if (!r->has_cursor)
                return from_seq;
        int32_t slot = fanout_slot(r->gw->fanout, TOPIC_EVENTS, partition);
        int64_t at = ((int64_t)r->cursor_epoch << SEQ_EPOCH_SHIFT) + r->vector[slot];
        return at > from_seq ? at : from_seq;
}

static bool read_room(const struct restore *r, struct slice json, struct restored_room *ret)
{
        struct slice raw;
        struct restored_room room = {.until_seq = -1, .at_seq = -1};
        if (!arg_field(json, "from", &raw) || !arg_int(raw, &room.from_seq))
                return false;
        if (arg_field(json, "until", &raw) && !arg_int(raw, &room.until_seq))
                return false;
        if (arg_field(json, "at", &raw) && !arg_int(raw, &room.at_seq))
                return false;
        room.id = arg_field_text(json, "id");
        /* Somebody else's own room is nothing to restore. */
        if (!room.id ||
                (!is_own_room(r, room.id) && !event_conversation_id_valid(slice_str(room.id)))) {
                free(room.id);
                return false;
        }
        room.partition = (uint16_t)partition_of(
                slice_str(room.id), feed_partitions(r->gw->app->feed, TOPIC_EVENTS));
        room.start_seq = start_of(r, room.partition, room.from_seq);
        room.muted = room.until_seq >= 0 && room.until_seq < room.start_seq;
        *ret = room;
        return true;
}

static void read_rooms(struct restore *r)
{
        restore_rooms_done(r);
        struct slice rest = slice_str(r->found.rooms_json), json;
        size_t cap = 0;
        while (arg_next(&rest, &json)) {
                if (r->room_count == cap) {
                        cap = cap ? cap * 2 : 8;
                        r->rooms = xrealloc(r->rooms, cap * sizeof(*r->rooms));
                }
                if (read_room(r, json, &r->rooms[r->room_count]))
                        r->room_count++;
        }
}

void restore_rooms_done(struct restore *r)
{
        for (size_t i = 0; i < r->room_count; i++)
                free(r->rooms[i].id);
        free(r->rooms);
        r->rooms = NULL;
        r->room_count = 0;
}

/* ---- the tail ---- */

static bool is_removal(const struct record *rec)
{
        return slice_is(record_type(rec), "tern.member.removed");
}

/* True if the record changes this user's membership. */
static bool changes_right(const struct restore *r, const struct record *rec)
{
        if (!is_removal(rec) && !slice_is(record_type(rec), "tern.member.added"))
                return false;
        char *user = arg_field_text(record_value(rec), "userId");
        bool same = user && strcmp(user, r->user) == 0;
        free(user);
        return same;
}

/* True if it does, and came before the place. */
static bool take_change(
        const struct restore *r, struct restored_room *room, const struct record *rec)
{
        if (record_seq(rec) >= room->start_seq || !changes_right(r, rec))
                return false;
        room->muted = is_removal(rec);
        return true;
}

/* Up to where what is known of the room is true: who joined it had a right to it there. */
static int64_t known_until(const struct restored_room *room)
{
        return room->at_seq >= 0 ? room->at_seq : room->from_seq;
}

static void judge_from_tail(const struct restore *r, struct restored_room *room)
{
        const struct fanout *f = r->gw->fanout;
        const struct record *rec = fanout_newest(f, TOPIC_EVENTS, slice_str(room->id));
        /* A gateway that is behind has older changes only, and what is known is newer. */
        for (; rec && rec->offset >= room->known_from && record_seq(rec) >= known_until(room);
                rec = fanout_prev(f, rec)) {
                if (take_change(r, room, rec))
                        return;
        }
}

static bool tail_covers(const struct restore *r, const struct restored_room *room, int64_t seq)
{
        const struct fanout *f = r->gw->fanout;
        int64_t epoch = fanout_epoch(f, TOPIC_EVENTS);
        int64_t tail = fanout_tail_start(f, TOPIC_EVENTS, room->partition);
        return (epoch << SEQ_EPOCH_SHIFT) + tail <= seq;
}

/* Whether the user's membership changes after the place and before what the record knows. */
static bool changes_before_the_record(const struct restore *r, const struct restored_room *room)
{
        const struct fanout *f = r->gw->fanout;
        const struct record *rec = fanout_newest(f, TOPIC_EVENTS, slice_str(room->id));
        for (; rec && record_seq(rec) >= room->start_seq; rec = fanout_prev(f, rec))
                if (record_seq(rec) < room->at_seq && changes_right(r, rec))
                        return true;
        return false;
}

/* Whether the record and the tail together know every change before the place. */
static bool tail_suffices(const struct restore *r, struct restored_room *room)
{
        if (is_own_room(r, room->id))
                return true;
        if (room->at_seq > room->start_seq) {
                /* The record tells of a later place than the client's. */
                room->certain = tail_covers(r, room, room->start_seq) &&
                                !changes_before_the_record(r, room);
                if (room->certain)
                        return true;
                room->muted = false;
                room->at_seq = -1;
        }
        return room->start_seq <= known_until(room) || tail_covers(r, room, known_until(room));
}

static void judge_all_from_tail(struct restore *r)
{
        for (size_t i = 0; i < r->room_count; i++)
                if (!is_own_room(r, r->rooms[i].id) && !r->rooms[i].certain)
                        judge_from_tail(r, &r->rooms[i]);
        restore_judged(r);
}

/* ---- Postgres ---- */

static struct restored_room *room_named(struct restore *r, const char *id)
{
        for (size_t i = 0; i < r->room_count; i++)
                if (strcmp(r->rooms[i].id, id) == 0)
                        return &r->rooms[i];
        return NULL;
}

/* False if neither the archive nor the tail knows the changes right before the place. */
static bool take_row(struct restore *r, const char *const *v)
{
        struct restored_room *room = room_named(r, v[0]);
        if (!room)
                return true;
        const struct fanout *f = r->gw->fanout;
        int64_t epoch = fanout_epoch(f, TOPIC_EVENTS);
        room->known_from = v[2] ? strtoll(v[2], NULL, 10) : 0;
        if (v[1])
                room->muted = strcmp(v[1], "tern.member.removed") == 0;
        return room->start_seq <= (epoch << SEQ_EPOCH_SHIFT) + room->known_from ||
               room->known_from >= fanout_tail_start(f, TOPIC_EVENTS, room->partition);
}

static bool rows_fit(int err, const struct feed_rows *rows)
{
        return err == 0 && (rows->rows == 0 || rows->columns == RIGHTS_SQL_COLUMNS);
}

static void ask_next_room(struct restore *r);

static void judge_one_from_store(void *arg, int err, const struct feed_rows *rows)
{
        struct restore *r = arg;
        struct restored_room *room = &r->rooms[r->asking++];
        r->query = NULL;
        if (!rows_fit(err, rows)) {
                restore_unread(r, err);
                return;
        }
        for (size_t i = 0; i < rows->rows; i++)
                (void)!take_row(r, rows->values + i * rows->columns);
        room->known_from = rows->ingested;
        for (size_t i = 0; i < rows->bridge_count; i++)
                (void)!take_change(r, room, rows->bridge[i]);
        ask_next_room(r);
}

static void judge_from_store(void *arg, int err, const struct feed_rows *rows)
{
        struct restore *r = arg;
        r->query = NULL;
        if (!rows_fit(err, rows)) {
                restore_unread(r, err);
                return;
        }
        for (size_t i = 0; i < rows->rows; i++) {
                const char *const *row = rows->values + i * rows->columns;
                struct restored_room *room = room_named(r, row[0]);
                if (room)
                        room->lacking = !take_row(r, row);
        }
        r->asking = 0;
        ask_next_room(r);
}

/* Some rooms as the statement wants them: arrays as text. The ids need no escapes. */
struct asked {
        struct buf ids, partitions, since, until;
};

static void asked_add(struct asked *a, const struct restored_room *room)
{
        const char *mark = a->ids.n > 0 ? "," : "{";
        buf_printf(&a->ids, "%s\"%s\"", mark, room->id);
        buf_printf(&a->partitions, "%s%u", mark, room->partition);
        buf_printf(&a->since, "%s%" PRId64, mark, known_until(room));
        buf_printf(&a->until, "%s%" PRId64, mark, room->start_seq);
}

/* Sends it, and empties it. */
static void ask_rights(struct restore *r, uint16_t topic, struct slice key, struct asked *a,
        void (*done)(void *arg, int err, const struct feed_rows *rows))
{
        char epoch[16];
        struct buf *const arrays[] = {&a->ids, &a->partitions, &a->since, &a->until};
        for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
                buf_add_str(arrays[i], arrays[i]->n > 0 ? "}" : "{}");
        snprintf(epoch, sizeof(epoch), "%" PRIu32, fanout_epoch(r->gw->fanout, TOPIC_EVENTS));
        const char *params[] = {r->user, buf_cstr(&a->ids), buf_cstr(&a->partitions), epoch,
                buf_cstr(&a->since), buf_cstr(&a->until)};
        r->query = feed_query(r->gw->feed, topic, key, &messaging_sql[MESSAGING_SQL_RIGHTS], params,
                ARRAY_LEN(params), done, r);
        feed_query_bridge(r->query, key);
        for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
                buf_done(arrays[i]);
}

/* The rooms that the archive and the tail leave open, one after the other. */
static void ask_next_room(struct restore *r)
{
        while (r->asking < r->room_count && !r->rooms[r->asking].lacking)
                r->asking++;
        if (r->asking == r->room_count) {
                judge_all_from_tail(r);
                return;
        }
        const struct restored_room *room = &r->rooms[r->asking];
        struct asked a = {.ids = BUF_EMPTY};
        asked_add(&a, room);
        ask_rights(r, TOPIC_EVENTS, slice_str(room->id), &a, judge_one_from_store);
}

static void ask_store(struct restore *r)
{
        struct asked a = {.ids = BUF_EMPTY};
        for (size_t i = 0; i < r->room_count; i++)
                if (!is_own_room(r, r->rooms[i].id) && !r->rooms[i].certain)
                        asked_add(&a, &r->rooms[i]);
        ask_rights(r, TOPIC_SESSIONS, slice_str(r->hex), &a, judge_from_store);
}

void restore_judge(struct restore *r)
{
        bool suffices = !r->from_store;
        read_rooms(r);
        for (size_t i = 0; i < r->room_count; i++)
                if (!tail_suffices(r, &r->rooms[i]))
                        suffices = false;
        if (suffices)
                judge_all_from_tail(r);
        else
                ask_store(r);
}
