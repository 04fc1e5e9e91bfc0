#include "proto/event.h"

#include "proto/arena.h"

#define ERASED_TEXT "[erased]"

struct slice event_erasable(const struct event *e, struct slice key)
{
        switch (e->type) {
        case EVENT_MESSAGE_CREATED:
                return slice_str(e->sender_id);
        case EVENT_NOTIFICATION_CREATED:
        case EVENT_RECEIPT_READ:
        case EVENT_TYPING:
        case EVENT_CLIENT_EVENT:
                return slice_str(e->user_id);
        case EVENT_SESSION:
                return slice_str(e->sub);
        case EVENT_EMIT:
        case EVENT_ACK:
                return slice_starts(key, "user:") ? slice_from(key, 5) : SLICE_NONE;
        case EVENT_CONVERSATION_CREATED:
        case EVENT_MEMBER_ADDED:
        case EVENT_MEMBER_REMOVED:
        case EVENT_NOTIFICATION_READ:
        case EVENT_NOTIFICATION_READ_ALL:
        case EVENT_BROADCAST:
        case EVENT_KICK:
        case EVENT_GATEWAY:
        case EVENT_AUDIT:
        case EVENT_NOTICE:
        case EVENT_REPLAY:
        case EVENT_ASK:
        case EVENT_ANSWER:
        case EVENT_REVOKED:
        case EVENT_ERASED:
        case EVENT_EPOCH:
        case EVENT_UNKNOWN:
        case EVENT_TYPE_COUNT:
                break;
        }
        return SLICE_NONE;
}

bool event_blank(struct event *e)
{
        switch (e->type) {
        case EVENT_MESSAGE_CREATED:
                e->content = arena_copy(&e->arena, SLICE_LIT(ERASED_TEXT));
                e->content_type = e->reply_to = e->client_id = e->metadata_json = NULL;
                return true;
        case EVENT_NOTIFICATION_CREATED:
                e->kind = arena_copy(&e->arena, SLICE_LIT("erased"));
                e->title = arena_copy(&e->arena, SLICE_LIT(""));
                e->body = arena_copy(&e->arena, SLICE_LIT(""));
                e->data_json = NULL;
                return true;
        case EVENT_EMIT:
                e->event_name = arena_copy(&e->arena, SLICE_LIT("erased"));
                e->args_json = e->except_json = e->attachments_json = NULL;
                return true;
        case EVENT_CLIENT_EVENT:
                e->event_name = arena_copy(&e->arena, SLICE_LIT("erased"));
                e->args_json = e->attachments_json = e->rooms_json = NULL;
                return true;
        case EVENT_ACK:
                e->args_json = e->attachments_json = NULL;
                return true;
        case EVENT_UNKNOWN:
        case EVENT_CONVERSATION_CREATED:
        case EVENT_MEMBER_ADDED:
        case EVENT_MEMBER_REMOVED:
        case EVENT_RECEIPT_READ:
        case EVENT_TYPING:
        case EVENT_SESSION:
        case EVENT_NOTIFICATION_READ:
        case EVENT_NOTIFICATION_READ_ALL:
        case EVENT_BROADCAST:
        case EVENT_KICK:
        case EVENT_GATEWAY:
        case EVENT_AUDIT:
        case EVENT_NOTICE:
        case EVENT_REPLAY:
        case EVENT_ASK:
        case EVENT_ANSWER:
        case EVENT_REVOKED:
        case EVENT_ERASED:
        case EVENT_EPOCH:
        case EVENT_TYPE_COUNT:
                break;
        }
        return false;
}
