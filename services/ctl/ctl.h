/*
 * ctl - what a command works with: the settings that it needs, and connections made when they are asked for.
 */
#ifndef TERN_CTL_CTL_H
#define TERN_CTL_CTL_H

#include "auth/auth.h"
#include "bus/admin.h"
#include "bus/bus.h"
#include "ctl/command.h"
#include "store/db.h"
#include "store/store.h"
#include "topics/topics.h"

struct ctl {
        struct bus_settings bus_settings;
        struct topics_settings topics_settings;
        struct store_settings store_settings;
        struct auth_settings auth_settings;
        struct config_result config;
        struct bus *bus; /* owned; NULL until ctl_bus() */
        struct db *db;   /* owned; NULL until ctl_db() */
};

#define CTL_KAFKA_MS 10000

/* Prints "ternctl: …" on stderr and returns EXIT_FAILED. */
int ctl_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Makes ctl->bus and waits up to wait_ms until Kafka answers. EXIT_DONE, or the exit code after having said why. */
MUST_CHECK int ctl_bus(struct ctl *ctl, int64_t wait_ms, struct admin_cluster *ret_cluster);
/* True if Postgres is named in the settings. */
bool ctl_has_postgres(const struct ctl *ctl);
/* Makes ctl->db, trying for wait_ms. EXIT_DONE, or the exit code after having said why. */
MUST_CHECK int ctl_db(struct ctl *ctl, int64_t wait_ms);
void ctl_done(struct ctl *ctl);
/* Why a call to Kafka failed. */
const char *kafka_error(int err);
/* Partitions of a topic that has to be there. An exit code, after having said why. */
MUST_CHECK int ctl_partitions(struct ctl *ctl, const char *topic, uint32_t *ret);
/* Writes one record and waits for Kafka's word. 0 or -errno. */
MUST_CHECK int ctl_send(struct ctl *ctl, const struct bus_record *r);
/* Asks on the terminal unless yes is true. EXIT_DONE: go on; else the exit code after having said why. */
MUST_CHECK int ctl_confirm(bool yes, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Exit code of "this cannot be done there"; says so. */
int ctl_not_embedded(const char *what);

/* ---- output ---- */

/* Rows of text, printed with aligned columns. */
struct table {
        struct buf text; /* cells, each with a NUL */
        size_t columns, cells;
};
#define TABLE_OF(n) ((struct table){BUF_EMPTY, (n), 0})
void table_cell(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Prints to stdout and empties it. */
void table_print(struct table *t);

/* Members of a JSON object: {"a":1,"b":"x"}. begin says whether a comma goes before. */
void json_text(struct buf *out, const char *name, const char *value);
/* The same of bytes that are UTF-8. */
void json_slice(struct buf *out, const char *name, struct slice value);
void json_number(struct buf *out, const char *name, int64_t value);
void json_flag(struct buf *out, const char *name, bool value);
/* Prints the buffer and a newline to stdout, and empties it. False if stdout is gone. */
bool print_line(struct buf *out);

#endif
