/*
 * checkpoint - a file by which a replay that was stopped or killed goes on without a hole and without a double.
 *
 * The file says what the replay is about and names a consumer group; how far it came stands in that group, committed by Kafka in
 * the same transactions as the records (see bus/txn.h). The file alone is no place: it is written before the first
 * transaction, after it, and at the end. Kafka forgets the group offsets.retention.minutes after the last commit.
 */
#ifndef TERN_CTL_CHECKPOINT_H
#define TERN_CTL_CHECKPOINT_H

#include "ctl/ctl.h"
#include "ctl/where.h"

enum checkpoint_state { CHECKPOINT_NEW, CHECKPOINT_COPYING, CHECKPOINT_DONE };

struct checkpoint {
        const char *file; /* borrowed; NULL: none */
        char *what;       /* owned: what it is about; has to be the same when it goes on */
        char id[40];      /* of the transactions and of the group */
        enum checkpoint_state state;
        struct range *ranges; /* owned: as they were worked out at the beginning */
        uint32_t count;
};

/* Reads the file if it is there. 1: it was, and is about `what`; 0: there is none yet; -1 after having said why. */
MUST_CHECK int checkpoint_open(struct checkpoint *cp, const char *file, const char *what);
/* Writes it anew, whole or not at all. 0, or -errno after having said why. Harmless without a file. */
MUST_CHECK int checkpoint_write(struct checkpoint *cp, enum checkpoint_state state);
void checkpoint_done(struct checkpoint *cp);
/* "ternctl-replay-<id>" */
void checkpoint_group(const struct checkpoint *cp, char ret[80]);

#endif
