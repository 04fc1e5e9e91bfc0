/*
 * commit - one transaction: the rows of some items and the places of their partitions, together or not at all.
 *
 *     BEGIN
 *     move the places, each only from where this writer thinks it is     the fence
 *     COPY the rows with unique ids: messages, notifications
 *     COPY the records of those that are new to the day's table
 *     COPY and merge what they amount to: members, receipts, sessions, read state
 *     COMMIT
 *
 * Rows with unique ids are copied straight to their tables, which is twice as fast as anything that looks first. When one of
 * them was there already, the transaction is run again by way of staging tables and INSERT … ON CONFLICT DO NOTHING, and so
 * are some of the next: one, two, four … while it keeps happening.
 *
 * A place that cannot be moved was moved by another writer: nothing of the transaction happens, and the
 * partition is marked fenced. If the answer to COMMIT is lost, the places tell what happened.
 *
 * Owner: the committer's thread.
 */
#ifndef TERN_WRITER_COMMIT_H
#define TERN_WRITER_COMMIT_H

#include "base/metrics.h"
#include "writer/days.h"
#include "writer/erasures.h"
#include "writer/rows.h"

struct db;

struct commit {
        struct rows rows;
        struct metrics *metrics; /* borrowed */
        struct days days;
        struct erasures erasures;
        unsigned careful; /* transactions to go by way of staging tables: a row was there already */
        unsigned careful_next; /* how many it will be after the next such row */
};

void commit_done(struct commit *c);
/* Once on each connection, before the others. 0 or a code of db.h. */
MUST_CHECK int commit_prepare(struct commit *c, struct db *db);

/* 0: committed, parts[].committed is moved. -ESTALE: nothing happened (parts were marked fenced, or a row was there
 * already): call again, at once.
 * -EINPROGRESS: nobody knows, ask commit_happened() on a new connection. Else a code of db.h: nothing happened. */
MUST_CHECK int commit_run(struct commit *c, struct db *db, struct batch *b, size_t from, size_t to);
/* Marks parts as fenced whose place is not where items [from, to) start: before anything is sent that a transaction could not take
 * back. 0 or a code of db.h. */
MUST_CHECK int commit_check(
        struct commit *c, struct db *db, struct batch *b, size_t from, size_t to);
/* After -EINPROGRESS: 0 it did happen (and parts are moved), -ENOENT it did not, or a code of db.h. */
MUST_CHECK int commit_happened(
        struct commit *c, struct db *db, struct batch *b, size_t from, size_t to);

#endif
