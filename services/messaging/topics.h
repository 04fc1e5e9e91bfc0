/*
 * topics - the topics that the chat gateway reads, in the order of its feed table.
 */
#ifndef TERN_MESSAGING_TOPICS_H
#define TERN_MESSAGING_TOPICS_H

#include "feed/feed.h"

enum {
        TOPIC_EVENTS,
        TOPIC_RECEIPTS,
        TOPIC_SIGNALS,
        TOPIC_SESSIONS,
        TOPIC_CONTROL,
        TOPIC_ACCESS,
        TOPIC_COUNT,
};

/* chat.events, chat.receipts and chat.signals share rooms: one subscription follows a conversation. */
enum {
        ROOMS_CHAT,
        ROOMS_NONE,
};

/* What the feed is told of each. */
extern const struct feed_topic messaging_topics[TOPIC_COUNT];

#endif
