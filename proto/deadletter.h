/*
 * deadletter - the headers of a dead letter, of the mark that settles one, and of a record in the topic `redrive`.
 *
 * A dead letter in <topic>.dlq is the record as it was, and beside it why and from where. A mark in the same topic, without a
 * value, says what became of it. A redriven record bears the place under which it is to be stored.
 */
#ifndef TERN_PROTO_DEADLETTER_H
#define TERN_PROTO_DEADLETTER_H

#define DEADLETTER_REASON "tern-reason" /* event_fault_name(), or "refused" by Postgres */
#define DEADLETTER_FIELD "tern-field"   /* the field it is about, if any */
#define DEADLETTER_MESSAGE "tern-message"
#define DEADLETTER_TOPIC "tern-topic" /* the place where the record stood, as are the next four */
#define DEADLETTER_PARTITION "tern-partition"
#define DEADLETTER_OFFSET "tern-offset"
#define DEADLETTER_TIMESTAMP "tern-timestamp" /* ms since 1970, of the log */
#define DEADLETTER_EPOCH "tern-epoch"
#define DEADLETTER_TRUNCATED "tern-truncated" /* 1: the value was too long for the log */
#define DEADLETTER_SETTLED "tern-settled"     /* of a mark: redriven, dropped */
#define DEADLETTER_BY "tern-by"               /* of a mark: who */

#define REDRIVE_TOPIC "redrive"

#endif
