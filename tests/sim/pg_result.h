/*
 * pg_result - the rows that a statement of the simulated database answers with, as text.
 */
#ifndef TERN_SIM_PG_RESULT_H
#define TERN_SIM_PG_RESULT_H

#include "base/buf.h"

struct cells { /* an answer in the making; zeroed */
        struct buf text;
        size_t *starts; /* owned; where each value begins, and one behind the last */
        bool *nulls;    /* owned */
        size_t count, cap, columns;
};

struct result {
        char *text;
        const char **values; /* NULL: SQL NULL */
        size_t *lengths;
        size_t rows, columns;
};

void cell_text(struct cells *c, struct slice s); /* p NULL: SQL NULL */
void cell_i64(struct cells *c, int64_t v);
void cell_bool(struct cells *c, bool v);
void cell_null(struct cells *c);
/* Empties c. */
struct result *cells_seal(struct cells *c);
void result_free(struct result *r);

/* An array literal of Postgres, {a,"b"}: the next element, without its quotes, into item. False at the end. *at begins as the
 * literal. */
bool array_next(const char **at, struct buf *item);

#endif
