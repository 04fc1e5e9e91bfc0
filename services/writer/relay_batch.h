/*
 * relay_batch - rows of tern_outbox as records: what each is to say, and which of them cannot be said.
 *
 * Pure but for the result it reads. Owner: the relay's thread.
 */
#ifndef TERN_WRITER_RELAY_BATCH_H
#define TERN_WRITER_RELAY_BATCH_H

#include "base/buf.h"
#include "writer/arena.h"
#include "writer/produce.h"

struct db_result;

/* Marks what the relay sent, so that it is found again. */
#define HEADER_RELAYED "tern-relayed"

struct relay_batch {
        struct arena arena;       /* what the records point to */
        struct produce_one *ones; /* owned array: the records to be sent, without partitions */
        int64_t *positions;       /* owned array: the rows they are of */
        size_t count;
        struct buf refused; /* the other rows: [{"position":1,"error":"…"},…] */
        size_t refused_count;
};

/* rows: of relay_rows.sql. They may go when it returns. */
void relay_batch_make(struct relay_batch *b, const struct db_result *rows);
void relay_batch_done(struct relay_batch *b);
/* Appends the positions of the confirmed ones as an array literal; how many they are. */
size_t relay_batch_confirmed(const struct relay_batch *b, struct buf *out);

#endif
