/*
 * erasures - the users whose content is not stored, as the transaction under way sees them.
 *
 * An erasure commits its row and then waits for the transactions under way (by a lock on ingest_offset) before it blanks what is there;
 * each later transaction learns of it with its fence. So nothing of an erased user slips in between.
 *
 * Owner: the committer's thread.
 */
#ifndef TERN_WRITER_ERASURES_H
#define TERN_WRITER_ERASURES_H

#include "writer/batch.h"

struct db;
struct erased_user; /* private */

struct erasures {
        int64_t version; /* 0: nobody was ever erased */
        struct map by_id;
        struct erased_user *all; /* owned list */
};

void erasures_done(struct erasures *er);
/* Inside the transaction, with what the fence said. 0 or a code of db.h. */
MUST_CHECK int erasures_refresh(struct erasures *er, struct db *db, int64_t version);
/* Takes the content of erased users out of items [from, to); what has nothing else, and what was redriven, makes no rows at all. */
void erasures_apply(const struct erasures *er, struct batch *b, size_t from, size_t to);

#endif
