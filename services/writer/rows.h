/*
 * rows - the items of a transaction as rows in Postgres's binary form, a buffer for each table.
 *
 * Two passes: first what decides whether an item's id is new (rows_ids), then, when Postgres has said which are not, all
 * the rest. Columns stand in the order of migrations/ and of sql/stage.sql.
 *
 * Owner: the committer's thread.
 */
#ifndef TERN_WRITER_ROWS_H
#define TERN_WRITER_ROWS_H

#include "writer/batch.h"

enum table {
        TABLE_MESSAGE,
        TABLE_NOTIFICATION,
        TABLE_BROADCAST,
        TABLE_EVENT_ID,
        TABLE_CHAT_EVENT,
        TABLE_NOTIFICATION_EVENT,
        TABLE_CONVERSATION,
        TABLE_MEMBER,
        TABLE_RECEIPT,
        TABLE_SESSION,
        TABLE_READ,
        TABLE_READ_ALL,
        TABLE_COUNT,
};

struct rows {
        struct buf data[TABLE_COUNT];
        size_t count[TABLE_COUNT];
};

/* True if the item makes rows: a record that counts, of a partition that is still ours. */
bool item_counts(const struct batch *b, const struct item *it);

void rows_ids(struct rows *r, const struct batch *b, size_t from, size_t to);
/* But for the sessions, which have a fold of their own (sessions.h). */
void rows_rest(struct rows *r, const struct batch *b, size_t from, size_t to);
/* Ends every buffer that holds rows; call before copying. */
void rows_finish(struct rows *r, enum table first, enum table last);
void rows_session(struct rows *r, const struct item *it);
void rows_done(struct rows *r);

#endif
