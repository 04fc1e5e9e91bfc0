/*
 * process - what the kernel knows about this process, as the metrics that every Prometheus exporter has under
 * these names: CPU, memory, descriptors, start. And the memory that it may have, beside what it has.
 *
 * Read when somebody looks; nothing runs in between. Any thread, one at a time.
 */
#ifndef TERN_BASE_PROCESS_H
#define TERN_BASE_PROCESS_H

struct metrics;

/* Sets the rows process_* and the bound `process`. What cannot be read keeps its last value. */
void process_metrics(struct metrics *m);

#endif
