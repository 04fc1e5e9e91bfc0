/*
 * topics - the topics that the notification gateway reads, in the order of its feed table.
 */
#ifndef TERN_NOTIFICATION_TOPICS_H
#define TERN_NOTIFICATION_TOPICS_H

enum {
        TOPIC_NOTIFICATIONS,
        TOPIC_BROADCASTS,
        TOPIC_CONTROL,
        TOPIC_ACCESS,
        TOPIC_COUNT,
};

/* A user may be called "all": users and audiences are rooms of their own classes. */
enum {
        ROOMS_USERS,
        ROOMS_AUDIENCES,
        ROOMS_NONE,
};

#endif
