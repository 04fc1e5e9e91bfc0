#include "writer/rows.h"

#include "store/copy.h"

/* Starts a row, and the buffer if it is the first. */
static struct buf *row(struct rows *r, enum table t, uint16_t fields)
{
        struct buf *b = &r->data[t];
        if (r->count[t]++ == 0)
                copy_begin(b);
        copy_row(b, fields);
        return b;
}

bool item_counts(const struct batch *b, const struct item *it)
{
        return it->kind == ITEM_STORE && !it->erased && !b->parts[it->part].fenced;
}

/* ---- what bears a unique id ---- */

static void message(struct rows *r, const struct item *it)
{
        const struct event *e = &it->event;
        struct buf *b = row(r, TABLE_MESSAGE, 10);
        copy_slice(b, it->id);
        copy_i64(b, it->seq);
        copy_time_ms(b, it->created_ms);
        copy_text(b, e->conversation_id);
        copy_text(b, e->sender_id);
        copy_text(b, e->content);
        copy_text(b, e->content_type);
        copy_text(b, e->reply_to);
        copy_text(b, e->client_id);
        copy_text(b, e->metadata_json);
}

static void notification(struct rows *r, const struct item *it)
{
        const struct event *e = &it->event;
        struct buf *b = row(r, TABLE_NOTIFICATION, 9);
        copy_slice(b, it->id);
        copy_i64(b, it->seq);
        copy_time_ms(b, it->created_ms);
        copy_null(b);
        copy_text(b, e->user_id);
        copy_text(b, e->kind);
        copy_text(b, e->title);
        copy_text(b, e->body);
        copy_text(b, e->data_json);
}

static void broadcast(struct rows *r, const struct item *it)
{
        const struct event *e = &it->event;
        struct buf *b = row(r, TABLE_BROADCAST, 8);
        copy_slice(b, it->id);
        copy_i64(b, it->seq);
        copy_time_ms(b, it->created_ms);
        copy_text(b, e->audience);
        copy_text(b, e->kind);
        copy_text(b, e->title);
        copy_text(b, e->body);
        copy_text(b, e->data_json);
}

void rows_ids(struct rows *r, const struct batch *b, size_t from, size_t to)
{
        memset(r->count, 0, sizeof(r->count));
        for (size_t i = from; i < to; i++) {
                const struct item *it = &b->items[i];
                if (!item_counts(b, it))
                        continue;
                switch (it->id_class) {
                case ID_MESSAGE:
                        message(r, it);
                        break;
                case ID_NOTIFICATION:
                        notification(r, it);
                        break;
                case ID_BROADCAST:
                        broadcast(r, it);
                        break;
                case ID_EVENT:
                        copy_slice(row(r, TABLE_EVENT_ID, 1), it->id);
                        break;
                case ID_NONE:
                case ID_CLASS_COUNT:
                        break;
                }
        }
}

/* ---- the record itself ---- */

static void record(struct rows *r, const struct part *p, const struct item *it)
{
        bool chat = p->topic == TOPIC_EVENTS;
        if (!chat && p->topic != TOPIC_NOTIFICATIONS && p->topic != TOPIC_BROADCASTS)
                return;
        struct buf *b = chat ? row(r, TABLE_CHAT_EVENT, 8) : row(r, TABLE_NOTIFICATION_EVENT, 9);
        copy_i64(b, it->seq);
        copy_time_ms(b, it->created_ms);
        copy_i32(b, (int32_t)p->epoch);
        copy_i32(b, p->partition);
        if (!chat)
                copy_text(b, writer_topics[p->topic]);
        copy_slice(b, it->key);
        copy_slice(b, it->type);
        copy_slice(b, it->id);
        copy_slice(b, it->value);
}

/* ---- what it amounts to ---- */

static void conversation(struct rows *r, const struct item *it)
{
        const struct event *e = &it->event;
        struct buf *b = row(r, TABLE_CONVERSATION, 6);
        copy_text(b, e->conversation_id);
        copy_i64(b, it->seq);
        copy_time_ms(b, it->created_ms);
        copy_text(b, e->title);
        copy_bool(b, e->open);
        copy_text(b, e->sender_id);
}

static void member(struct rows *r, const struct item *it)
{
        const struct event *e = &it->event;
        struct buf *b = row(r, TABLE_MEMBER, 5);
        copy_text(b, e->conversation_id);
        copy_text(b, e->user_id);
        copy_text(b, e->role);
        copy_i64(b, it->seq);
        copy_bool(b, e->type == EVENT_MEMBER_ADDED);
}

static void receipt(struct rows *r, const struct item *it)
{
        const struct event *e = &it->event;
        struct buf *b = row(r, TABLE_RECEIPT, 4);
        copy_text(b, e->conversation_id);
        copy_text(b, e->user_id);
        copy_i64(b, e->seq);
        copy_time_ms(b, it->created_ms);
}

static void notification_read(struct rows *r, const struct item *it)
{
        const struct event *e = &it->event;
        struct buf *b = row(r, TABLE_READ, 3);
        copy_text(b, e->notification_id);
        copy_text(b, e->user_id);
        copy_time_ms(b, it->created_ms);
}

static void read_all(struct rows *r, const struct item *it)
{
        const struct event *e = &it->event;
        struct buf *b = row(r, TABLE_READ_ALL, 3);
        copy_text(b, e->user_id);
        copy_i64(b, e->seq);
        copy_time_ms(b, it->created_ms);
}

static void projection(struct rows *r, const struct item *it)
{
        switch (it->event.type) {
        case EVENT_CONVERSATION_CREATED:
                conversation(r, it);
                break;
        case EVENT_MEMBER_ADDED:
        case EVENT_MEMBER_REMOVED:
                member(r, it);
                break;
        case EVENT_RECEIPT_READ:
                receipt(r, it);
                break;
        case EVENT_NOTIFICATION_READ:
                notification_read(r, it);
                break;
        case EVENT_NOTIFICATION_READ_ALL:
                read_all(r, it);
                break;
        case EVENT_MESSAGE_CREATED:
        case EVENT_NOTIFICATION_CREATED:
        case EVENT_BROADCAST:
        case EVENT_SESSION:
        case EVENT_EMIT:
        case EVENT_TYPING:
        case EVENT_KICK:
        case EVENT_GATEWAY:
        case EVENT_AUDIT:
        case EVENT_ACK:
        case EVENT_CLIENT_EVENT:
        case EVENT_NOTICE:
        case EVENT_REPLAY:
        case EVENT_ASK:
        case EVENT_ANSWER:
        case EVENT_ERASED:
        case EVENT_REVOKED:
        case EVENT_EPOCH:
        case EVENT_UNKNOWN:
        case EVENT_TYPE_COUNT:
                break;
        }
}

void rows_rest(struct rows *r, const struct batch *b, size_t from, size_t to)
{
        for (size_t i = from; i < to; i++) {
                const struct item *it = &b->items[i];
                if (!item_counts(b, it) || it->known)
                        continue;
                record(r, item_home(b, it), it);
                projection(r, it);
        }
}

void rows_session(struct rows *r, const struct item *it)
{
        const struct event *e = &it->event;
        struct buf *b = row(r, TABLE_SESSION, 9);
        copy_slice(b, it->key);
        copy_i64(b, e->gen);
        copy_i64(b, it->seq);
        copy_time_ms(b, it->created_ms);
        copy_bool(b, e->closed);
        copy_text(b, e->sid);
        copy_text(b, e->sub);
        copy_text(b, e->gateway);
        copy_text(b, e->rooms_json);
}

void rows_finish(struct rows *r, enum table first, enum table last)
{
        for (int t = (int)first; t <= (int)last; t++)
                if (r->count[t])
                        copy_end(&r->data[t]);
}

void rows_done(struct rows *r)
{
        for (size_t t = 0; t < TABLE_COUNT; t++)
                buf_done(&r->data[t]);
}
