/*
 * judge - what is to become of a record: pure, from its bytes and its partition alone.
 *
 * The same rules by which gateways decide whether a record counts; but where they only look away, the writer acts: what
 * is invalid becomes a dead letter, and what stands under another partitioner's or another subject's key is published
 * again.
 */
#ifndef TERN_WRITER_JUDGE_H
#define TERN_WRITER_JUDGE_H

struct batch;
struct item;

/* it->record and it->part are set; fills kind and what belongs to it. A copy (HEADER_REKEYED) that still does not fit is a
 * dead letter, not another copy. */
void judge(struct batch *b, struct item *it);

#endif
