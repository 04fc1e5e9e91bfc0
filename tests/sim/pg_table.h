/*
 * pg_table - the simulated database's tables: rows of cells, found by their key.
 *
 * The columns of each table, and of the staging table that goes with it, are those that the writer copies (writer/rows.c); what
 * a table keeps of them when they meet a row that is there is told by table_merge().
 */
#ifndef TERN_SIM_PG_TABLE_H
#define TERN_SIM_PG_TABLE_H

#include "base/buf.h"
#include "base/map.h"

enum table_id {
        PG_MESSAGE,
        PG_NOTIFICATION,
        PG_BROADCAST,
        PG_EVENT_ID,
        PG_CHAT_EVENT,
        PG_NOTIFICATION_EVENT,
        PG_CONVERSATION, /* from here on rows are laid over those that are there */
        PG_MEMBER,
        PG_RECEIPT,
        PG_SESSION,
        PG_READ,
        PG_READ_ALL,
        PG_TABLES,
};

#define CELLS_MAX 10

struct cell {
        bool null;
        int64_t i;      /* numbers, booleans, times in milliseconds since 1970 */
        struct slice s; /* text */
};

struct row {
        struct slice key; /* what it is found by; unique in its table */
        struct cell cells[CELLS_MAX];
        char bytes[];
};

struct table {
        struct row **rows; /* owned array of owned rows, as they came */
        size_t count, cap;
        struct map by_key;
};

/* Columns where some things stand. */
enum { EVENT_SEQ, EVENT_CREATED, EVENT_EPOCH_NO, EVENT_PARTITION };

/* "message"; PG_TABLES if there is none. */
enum table_id table_named(struct slice name);
size_t table_columns(enum table_id id);
struct row *row_new(enum table_id id, const struct cell *cells);
struct row *row_free(struct row *r);
/* Rows in binary COPY format; calls fn for each, which owns it. False if they are not what the table has. */
bool table_read_copy(enum table_id id, struct slice data,
        void (*fn)(void *arg, enum table_id id, struct row *r), void *arg);
struct row *table_find(const struct table *t, struct slice key);
/* Takes the row, which no other of its key precedes. */
void table_add(struct table *t, struct row *r);
/* The same for a table without a key. */
void table_append(struct table *t, struct row *r);
/* The staged row meets the table: added, or what it says is laid over the one that is there. Takes the row. True if anything
 * changed. */
bool table_merge(enum table_id id, struct table *t, struct row *r);
void table_done(struct table *t);

#endif
