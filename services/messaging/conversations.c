/*
 * Conversations and their members, for REST: created and changed by records, like everything else.
 */
#include "messaging/call.h"

#include "messaging/args.h"
#include "messaging_sql.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define MEMBERS_MAX 1000
#define LIST_LIMIT 200
#define LIST_AGAIN_MS 50

/* ---- a record, and the wait until this gateway has seen it ---- */

static void done_passed(struct fanout_wait *w, int64_t original)
{
        UNUSED(original);
        struct call *c = container_of(w, struct call, wait);
        c->next(c);
}

static void done_produced(struct call *c, enum bus_outcome outcome)
{
        if (outcome != BUS_OK) {
                call_fail_outcome(c, outcome);
                return;
        }
        c->waiting = true;
        c->wait.passed = done_passed;
        fanout_wait_passed(
                c->gw->fanout, TOPIC_EVENTS, (uint16_t)c->send.partition, c->send.offset, &c->wait);
}

static void produce_member(
        struct call *c, enum event_type type, const char *user, void (*next)(struct call *c))
{
        struct event e = {
                .type = type,
                .conversation_id = c->conversation_id,
                .user_id = (char *)(uintptr_t)user,
                .sender_id = c->user,
                .role = type == EVENT_MEMBER_ADDED ? c->ask.role : NULL,
        };
        char id[UUID_TEXT];
        uuid_v7(clock_wall_ms(), id);
        buf_reset(&c->ask.data);
        event_encode(&e, &c->ask.data);
        c->next = next;
        call_produce(c, "chat.events", type, slice_str(id), slice_str(c->conversation_id),
                done_produced);
}

/* ---- create ---- */

static void created(struct call *c)
{
        char iso[CLOCK_ISO_TEXT];
        clock_iso(c->created_ms, iso);
        struct buf fields = BUF_EMPTY;
        buf_printf(&fields, "\"id\":\"%s\",\"title\":", c->conversation_id);
        if (c->ask.title)
                buf_add_json_str(&fields, slice_str(c->ask.title));
        else
                buf_add_str(&fields, "null");
        buf_printf(&fields,
                ",\"open\":%s,\"createdBy\":\"%s\",\"createdAt\":\"%s\",\"role\":\"owner\"",
                c->ask.flag ? "true" : "false", c->user, iso);
        c->ok_status = 201;
        call_ok(c, buf_slice(&fields));
        buf_done(&fields);
}

static bool produce_others(struct call *c)
{
        struct slice rest = slice_str(c->ask.members_json ? c->ask.members_json : "[]"), item;
        while (arg_next(&rest, &item)) {
                char *user = arg_text(item);
                char role[] = "member";
                struct event e = {.type = EVENT_MEMBER_ADDED,
                        .conversation_id = c->conversation_id,
                        .user_id = user,
                        .sender_id = c->user,
                        .role = role};
                char id[UUID_TEXT];
                uuid_v7(clock_wall_ms(), id);
                struct buf value = BUF_EMPTY;
                event_encode(&e, &value);
                int r = 0;
                if (strcmp(user, c->user) != 0)
                        r = call_produce_beside(c, "chat.events", EVENT_MEMBER_ADDED, slice_str(id),
                                slice_str(c->conversation_id), buf_slice(&value), NULL);
                buf_done(&value);
                free(user);
                if (r < 0)
                        return false;
        }
        return true;
}

/* The creator's own membership comes last: when it has passed, all the others have. A creation that
 * was cut off before it may be asked for again: see create_asked(). */
static void create_members(struct call *c)
{
        if (!produce_others(c)) {
                call_fail_outcome(c, BUS_BUSY);
                return;
        }
        free(c->ask.role);
        c->ask.role = xstrdup("owner");
        produce_member(c, EVENT_MEMBER_ADDED, c->user, created);
}

static void refuse_existing(struct call *c)
{
        call_fail(c, ERR_INVALID, "conversation %s exists already", c->conversation_id);
}

/* All who create the same conversation write the same id: the first record counts. */
static void creation_passed(struct fanout_wait *w, int64_t original)
{
        struct call *c = container_of(w, struct call, wait);
        if (original < 0)
                call_fail_outcome(c, BUS_UNKNOWN);
        else if (original != c->send.offset)
                refuse_existing(c);
        else
                create_members(c);
}

static void creation_produced(struct call *c, enum bus_outcome outcome)
{
        if (outcome != BUS_OK) {
                call_fail_outcome(c, outcome);
                return;
        }
        c->waiting = true;
        c->created_ms = c->send.timestamp_ms > 0 ? c->send.timestamp_ms : clock_wall_ms();
        c->wait.passed = creation_passed;
        fanout_wait_passed(
                c->gw->fanout, TOPIC_EVENTS, (uint16_t)c->send.partition, c->send.offset, &c->wait);
}

static void create_now(struct call *c)
{
        struct event e = {
                .type = EVENT_CONVERSATION_CREATED,
                .conversation_id = c->conversation_id,
                .title = c->ask.title,
                .sender_id = c->user,
                .open = c->ask.flag,
        };
        char id[UUID_TEXT];
        event_message_id(slice_str(c->conversation_id), SLICE_LIT(""),
                SLICE_LIT("conversation.created"), 0, id);
        buf_reset(&c->ask.data);
        event_encode(&e, &c->ask.data);
        call_produce(c, "chat.events", EVENT_CONVERSATION_CREATED, slice_str(id),
                slice_str(c->conversation_id), creation_produced);
}

/* The creator never got as far as being its member. */
static bool is_unfinished(const struct room *r, const char *user)
{
        return r->created_by && strcmp(r->created_by, user) == 0 &&
               !map_get(&r->members, slice_str(user));
}

static void create_asked(struct room_ask *a, enum room_answer answer)
{
        struct call *c = container_of(a, struct call, room_ask);
        if (answer == ROOM_ABSENT) {
                create_now(c);
        } else if (answer == ROOM_UNKNOWN) {
                call_refuse_room(c, answer);
        } else if (answer == ROOM_NOT_MEMBER && is_unfinished(a->room, c->user)) {
                c->created_ms = a->room->created_ms;
                create_members(c);
        } else {
                refuse_existing(c);
        }
}

static bool members_valid(struct call *c)
{
        struct slice rest = slice_str(c->ask.members_json ? c->ask.members_json : "[]"), item;
        size_t n = 0;
        while (arg_next(&rest, &item)) {
                char *user = arg_text(item);
                bool ok = user && event_user_id_valid(slice_str(user));
                free(user);
                if (!ok) {
                        call_fail(c, ERR_INVALID, "members has an entry that is no user id");
                        return false;
                }
                if (++n > MEMBERS_MAX) {
                        call_fail(c, ERR_INVALID,
                                "members has over %d entries; add the rest afterwards",
                                MEMBERS_MAX);
                        return false;
                }
        }
        return true;
}

void op_conversation_create(struct call *c)
{
        if (members_valid(c))
                room_ask_whole(
                        c->gw, slice_str(c->conversation_id), c->user, &c->room_ask, create_asked);
}

/* ---- members ---- */

static void changed(struct call *c)
{
        call_ok(c, SLICE_NONE);
}

static void add_asked(struct room_ask *a, enum room_answer answer)
{
        struct call *c = container_of(a, struct call, room_ask);
        c->ok_status = 201;
        /* Who is in stays in, with the role that he has. */
        if (answer == ROOM_MEMBER)
                call_ok(c, SLICE_NONE);
        else if (answer == ROOM_NOT_MEMBER)
                produce_member(c, EVENT_MEMBER_ADDED, c->ask.target_user, changed);
        else
                call_refuse_room(c, answer);
}

static void add_authorized(struct call *c)
{
        room_ask(c->gw, slice_str(c->conversation_id), c->ask.target_user, &c->room_ask, add_asked);
}

void op_member_add(struct call *c)
{
        call_authorize(c, add_authorized);
}

static bool is_owner(const struct call *c)
{
        const struct room *r = c->room_ask.room;
        const struct member *m = r ? map_get(&r->members, slice_str(c->user)) : NULL;
        return m && m->role && strcmp(m->role, "owner") == 0;
}

static void remove_asked(struct room_ask *a, enum room_answer answer)
{
        struct call *c = container_of(a, struct call, room_ask);
        if (answer == ROOM_MEMBER)
                produce_member(c, EVENT_MEMBER_REMOVED, c->ask.target_user, changed);
        else if (answer == ROOM_NOT_MEMBER)
                call_fail(c, ERR_NOT_FOUND, "%s is not a member of conversation %s",
                        c->ask.target_user, c->conversation_id);
        else
                call_refuse_room(c, answer);
}

static void remove_authorized(struct call *c)
{
        bool self = strcmp(c->user, c->ask.target_user) == 0;
        if (!self && !c->admin && !is_owner(c))
                call_fail(c, ERR_FORBIDDEN, "only an owner may remove another member");
        else
                room_ask(c->gw, slice_str(c->conversation_id), c->ask.target_user, &c->room_ask,
                        remove_asked);
}

void op_member_remove(struct call *c)
{
        call_authorize(c, remove_authorized);
}

static void answer_members(struct call *c, const struct room *r)
{
        struct buf fields = BUF_EMPTY;
        buf_add_str(&fields, "\"members\":[");
        size_t n = 0;
        list_for_each(it, &r->member_list)
        {
                const struct member *m = list_entry(it, struct member, link);
                if (m->added_seq <= m->removed_seq)
                        continue;
                buf_printf(&fields, "%s{\"userId\":\"%s\",\"role\":", n++ ? "," : "", m->id);
                buf_add_json_str(&fields, slice_str(m->role ? m->role : "member"));
                buf_printf(&fields, ",\"readSeq\":%lld}", (long long)m->read_seq);
        }
        buf_printf(&fields, "],\"more\":%s", r->partial ? "true" : "false");
        call_ok(c, buf_slice(&fields));
        buf_done(&fields);
}

static void members_asked(struct room_ask *a, enum room_answer answer)
{
        struct call *c = container_of(a, struct call, room_ask);
        if (answer != ROOM_MEMBER && !(c->admin && answer == ROOM_NOT_MEMBER))
                call_refuse_room(c, answer);
        else if (!a->room->loaded)
                call_refuse_room(c, ROOM_UNKNOWN);
        else
                answer_members(c, a->room);
}

void op_member_list(struct call *c)
{
        room_ask_whole(c->gw, slice_str(c->conversation_id), c->user, &c->room_ask, members_asked);
}

/* ---- the list of one's own ---- */

/* Its keys are conversations, so the tail cannot be laid over it: the archive has to have everything
 * that was in the log when the question came, and the writer gets a moment for that. */
struct list_job {
        struct store_job job;
        struct shard_timer again;
        struct call *call; /* a reference */
        int64_t until_ms;
};

static void list_now(struct list_job *lj);

static void list_done(struct list_job *lj)
{
        call_unref(lj->call);
        free(lj);
}

static void list_again(struct shard *sh, struct shard_timer *t)
{
        UNUSED(sh);
        struct list_job *lj = container_of(t, struct list_job, again);
        if (lj->call->phase == CALL_OPEN)
                list_now(lj);
        else
                list_done(lj);
}

static void add_conversation(struct buf *out, const char *const *v)
{
        char iso[CLOCK_ISO_TEXT];
        clock_iso(v[4] ? strtoll(v[4], NULL, 10) : 0, iso);
        buf_printf(out, "{\"id\":\"%s\",\"title\":", v[0]);
        if (v[1])
                buf_add_json_str(out, slice_str(v[1]));
        else
                buf_add_str(out, "null");
        buf_printf(out, ",\"open\":%s,\"createdBy\":", v[2] && v[2][0] == 't' ? "true" : "false");
        buf_add_json_str(out, slice_str(v[3] ? v[3] : ""));
        buf_printf(out, ",\"createdAt\":\"%s\",\"role\":", iso);
        buf_add_json_str(out, slice_str(v[5] ? v[5] : "member"));
        buf_add_char(out, '}');
}

static void answer_list(struct call *c, const struct store_result *res)
{
        struct buf fields = BUF_EMPTY;
        buf_add_str(&fields, "\"conversations\":[");
        size_t n = res->rows < LIST_LIMIT ? res->rows : LIST_LIMIT;
        for (size_t i = 0; i < n; i++) {
                if (i)
                        buf_add_char(&fields, ',');
                add_conversation(&fields, res->values + i * res->columns);
        }
        buf_add_str(&fields, "],\"cursor\":");
        if (res->rows > LIST_LIMIT)
                buf_add_json_str(&fields, slice_str(res->values[(LIST_LIMIT - 1) * res->columns]));
        else
                buf_add_str(&fields, "null");
        call_ok(c, buf_slice(&fields));
        buf_done(&fields);
}

static void listed(struct store_job *j)
{
        struct list_job *lj = container_of(j, struct list_job, job);
        struct call *c = lj->call;
        const struct store_result *list = &j->step[0].result, *whole = &j->step[1].result;
        bool good = j->err == 0 && list->columns == 6 && whole->rows == 1;
        bool fresh = good && whole->values[0] && whole->values[0][0] == 't';
        if (good && !fresh && gateway_now(c->gw) < lj->until_ms) {
                shard_timer_set(c->gw->shard, &lj->again, LIST_AGAIN_MS);
                return;
        }
        if (fresh)
                answer_list(c, list);
        else
                call_fail(c, ERR_UNAVAILABLE, "the list of conversations cannot be read now");
        list_done(lj);
}

static void list_now(struct list_job *lj)
{
        struct call *c = lj->call;
        char epoch[16];
        snprintf(epoch, sizeof(epoch), "%u", fanout_epoch(c->gw->fanout, TOPIC_EVENTS));
        const char *list[] = {c->user, c->ask.after_id ? c->ask.after_id : ""};
        const char *whole[] = {c->ask.ends ? c->ask.ends : "{}", epoch};
        store_job_init(&lj->job, shard_mailbox(c->gw->shard), listed);
        store_job_step(&lj->job, &messaging_sql[MESSAGING_SQL_CONVERSATIONS], list, 2);
        store_job_step(&lj->job, &messaging_sql[MESSAGING_SQL_INGESTED_ALL], whole, 2);
        store_submit(c->gw->app->store, &lj->job);
}

void op_conversation_list(struct call *c)
{
        struct list_job *lj = xcalloc(1, sizeof(*lj));
        lj->call = call_ref(c);
        lj->until_ms = gateway_now(c->gw) + (int64_t)c->gw->app->feed_settings.read_wait_ms;
        shard_timer_init(&lj->again, list_again);
        list_now(lj);
}
