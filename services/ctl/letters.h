/*
 * letters - the dead letters of a Tern: what stands in its .dlq topics, less what was settled since.
 *
 * A letter is named by where its record stood: TOPIC/PARTITION/OFFSET/EPOCH. A mark in the .dlq (proto/deadletter.h) settles
 * the letters before it with that name; a record that is redriven and dies again has a letter after the mark, and is
 * open again. Values are not kept: letters_read() reads them once more, one by one.
 */
#ifndef TERN_CTL_LETTERS_H
#define TERN_CTL_LETTERS_H

#include "base/map.h"
#include "bus/bus.h"
#include "ctl/ctl.h"
#include "ctl/where.h"

#define LETTERS_MAX 500000 /* some 600 bytes each */
#define LETTER_FIRST_BYTES 64

enum letter_state { LETTER_OPEN, LETTER_REDRIVEN, LETTER_DROPPED };

struct letter {
        char *name;        /* owned: "chat.events/3/1200/1" */
        const char *topic; /* of its origin, frozen; the letter's is <topic>.dlq */
        int32_t partition;
        int64_t offset, epoch, timestamp_ms;
        char *reason, *field, *message, *key, *type, *id; /* owned; key NULL = none */
        uint32_t bytes;                                   /* of its value */
        char first[LETTER_FIRST_BYTES];
        bool truncated;
        enum letter_state state;
        int32_t dlq_partition;
        int64_t dlq_offset, died_ms;
        bool wanted; /* of the command under way */
};

struct letters {
        struct ctl *ctl;
        struct letter **all; /* owned, by time of death */
        size_t count, cap;
        struct map by_name;
};

/* topic NULL: of all topics; "chat.events" or "chat.events.dlq". An exit code after having said why. */
MUST_CHECK int letters_load(struct letters *ls, struct ctl *ctl, const char *topic);
void letters_done(struct letters *ls);
struct letter *letters_find(const struct letters *ls, const char *name);
/* Calls fn with the whole record of each wanted letter, as it stands in the .dlq. fn returns an exit code: EXIT_DONE to go on. */
MUST_CHECK int letters_read(struct letters *ls,
        int (*fn)(void *arg, struct letter *l, const struct bus_record *r), void *arg);
const char *letter_state_name(enum letter_state s);

#endif
