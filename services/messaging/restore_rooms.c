/*
 * A cursor grants nothing: where the replay of a room begins, the user must have had a right to it. What
 * changes after that place is met on the way, and mutes or unmutes the subscription there.
 *
 * The last change before the place is looked for in the session's record (it says where a muted room's
 * right ended), then in Postgres if the record came from there or the tail has only claims of the session, then in
 * the tail, which has every change since the rooms were stated. If the writer is so far behind that the two do not
 * meet, a room is asked for alone, with what Kafka has between them.
 */
#include "messaging/restore.h"

#include "messaging/args.h"

#include "messaging_sql.h"

#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Brokers' clocks may differ by this much. */
#define CLOCK_SLACK_MS 60000
#define RIGHTS_SQL_COLUMNS 4

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
        struct restored_room room = {.until_seq = -1};
        if (!arg_field(json, "from", &raw) || !arg_int(raw, &room.from_seq))
                return false;
        if (arg_field(json, "until", &raw) && !arg_int(raw, &room.until_seq))
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

/* True if the record changes this user's membership, and came before the place. */
static bool take_change(
        const struct restore *r, struct restored_room *room, const struct record *rec)
{
        bool removed = slice_is(record_type(rec), "tern.member.removed");
        if (record_seq(rec) >= room->start_seq ||
                (!removed && !slice_is(record_type(rec), "tern.member.added")))
                return false;
        char *user = arg_field_text(record_value(rec), "userId");
        bool same = user && strcmp(user, r->user) == 0;
        free(user);
        if (same)
                room->muted = removed;
        return same;
}

static void judge_from_tail(const struct restore *r, struct restored_room *room)
{
        const struct fanout *f = r->gw->fanout;
        int64_t oldest_ms = r->from_store ? 0 : r->found.stated_ms - CLOCK_SLACK_MS;
        const struct record *rec = fanout_newest(f, TOPIC_EVENTS, slice_str(room->id));
        for (; rec && rec->offset >= room->known_from && rec->timestamp_ms >= oldest_ms;
                rec = fanout_prev(f, rec)) {
                if (take_change(r, room, rec))
                        return;
        }
}

static void judge_all_from_tail(struct restore *r)
{
        for (size_t i = 0; i < r->room_count; i++)
                if (!is_own_room(r, r->rooms[i].id))
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

/* The newest addition and the newest removal are known. If both came later than the place, the session's
 * own record says more. */
static void judge_from_row(struct restored_room *room, int64_t added_seq, int64_t removed_seq)
{
        if (added_seq >= room->start_seq && removed_seq >= room->start_seq)
                return;
        room->muted =
                removed_seq < room->start_seq &&
                (removed_seq > added_seq || (added_seq >= room->start_seq && removed_seq > 0));
}

/* False if neither the archive nor the tail knows the changes right before the place. */
static bool take_row(struct restore *r, const char *const *v)
{
        struct restored_room *room = room_named(r, v[0]);
        if (!room)
                return true;
        const struct fanout *f = r->gw->fanout;
        int64_t epoch = fanout_epoch(f, TOPIC_EVENTS);
        room->known_from = v[3] ? strtoll(v[3], NULL, 10) : 0;
        if (v[1])
                judge_from_row(room, strtoll(v[1], NULL, 10), v[2] ? strtoll(v[2], NULL, 10) : 0);
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
                restore_fail(r, RESUME_UNAVAILABLE);
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
                restore_fail(r, RESUME_UNAVAILABLE);
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

/* ids, which need no escapes, and their partitions: two arrays as text. */
static void ask_rights(struct restore *r, uint16_t topic, struct slice key, const char *ids,
        const char *partitions, void (*done)(void *arg, int err, const struct feed_rows *rows))
{
        char epoch[16];
        snprintf(epoch, sizeof(epoch), "%" PRIu32, fanout_epoch(r->gw->fanout, TOPIC_EVENTS));
        const char *params[] = {r->user, ids, partitions, epoch};
        r->query = feed_query(r->gw->feed, topic, key, &messaging_sql[MESSAGING_SQL_RIGHTS], params,
                ARRAY_LEN(params), done, r);
        feed_query_bridge(r->query, key);
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
        char ids[160], partitions[16];
        snprintf(ids, sizeof(ids), "{\"%s\"}", room->id);
        snprintf(partitions, sizeof(partitions), "{%u}", room->partition);
        ask_rights(r, TOPIC_EVENTS, slice_str(room->id), ids, partitions, judge_one_from_store);
}

static void ask_store(struct restore *r)
{
        struct buf ids = BUF_EMPTY, partitions = BUF_EMPTY;
        buf_add_char(&ids, '{');
        buf_add_char(&partitions, '{');
        for (size_t i = 0; i < r->room_count; i++) {
                const struct restored_room *room = &r->rooms[i];
                if (is_own_room(r, room->id))
                        continue;
                const char *comma = ids.n > 1 ? "," : "";
                buf_printf(&ids, "%s\"%s\"", comma, room->id);
                buf_printf(&partitions, "%s%u", comma, room->partition);
        }
        buf_add_char(&ids, '}');
        buf_add_char(&partitions, '}');
        ask_rights(r, TOPIC_SESSIONS, slice_str(r->hex), buf_cstr(&ids), buf_cstr(&partitions),
                judge_from_store);
        buf_done(&ids);
        buf_done(&partitions);
}

void restore_judge(struct restore *r)
{
        read_rooms(r);
        r->from_store = r->from_store || !r->found.stated;
        if (r->from_store)
                ask_store(r);
        else
                judge_all_from_tail(r);
}
