/*
 * places - the partitions that this writer owns, and how far each has been read and written.
 *
 * Where to read from stands in Postgres (ingest_offset), not in Kafka. A partition without a row begins at the log's
 * start; a topic without a life (log_epoch) is in its first.
 *
 * Owner: the intake's thread.
 */
#ifndef TERN_WRITER_PLACES_H
#define TERN_WRITER_PLACES_H

#include "base/log.h"
#include "bus/consumer.h"
#include "writer/batch.h"

struct db;

enum place_state {
        PLACE_NOT_OURS,
        PLACE_READING,
        PLACE_LET_GO, /* fenced or abandoned: what comes is not taken until its place has been read again */
        PLACE_STOPPED, /* beyond the log's end: only a new life of the topic, or an operator, helps */
};

struct place {
        struct part part;
        enum place_state state;
        int64_t next;      /* to be read: all before it is in a batch or in Postgres */
        int64_t committed; /* in Postgres */
        bool outside;      /* the log no longer has what is to be read next */
};

struct places {
        struct bus *bus;               /* borrowed */
        struct log *log;               /* borrowed */
        struct place *of[TOPIC_COUNT]; /* owned arrays by partition */
        size_t count[TOPIC_COUNT];
        uint64_t assignment; /* number of the present one */
        size_t owned;
};

void places_done(struct places *p);
/* NULL if the partition is not ours. */
struct place *places_get(struct places *p, enum writer_topic topic, int32_t partition);
void places_clear(struct places *p);

/* Reads where each of these partitions stands and makes them ours; parts[].offset is filled. 0, or -EIO and the like with a line in why: not
 * now. */
MUST_CHECK int places_assign(struct places *p, struct db *db, struct consumer_partition *parts,
        size_t count, char why[256]);
/* Reads one place again, after it was let go. 0: it is being read from place->next on, under a new assignment number; -ESTALE: its topic is in a
 * new life, and all have to be assigned anew; else a code of db.h. */
MUST_CHECK int places_reload(struct places *p, struct db *db, struct place *place);
/* Moves the places that are outside of the log to its start, in Postgres too: whoever is given such a partition next reads on from
 * there. 0, or -EIO and the like with a line in why: not now. */
MUST_CHECK int places_skip_lost(struct places *p, struct db *db, char why[256]);
/* 1 if a topic of ours is in a new life, 0 if not, or a code of db.h. */
MUST_CHECK int places_epochs_changed(struct places *p, struct db *db);

/* Calls fn for each place that is read and that somebody set back in Postgres: a rebuild, of which no transaction would tell an idle
 * writer. 0 or a code of db.h. */
MUST_CHECK int places_set_back(
        struct places *p, struct db *db, void (*fn)(void *arg, struct place *place), void *arg);

#endif
