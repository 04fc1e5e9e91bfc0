#include "ctl/audit.h"

#include "ctl_sql.h"

#include "base/clock.h"
#include "base/hash.h"
#include "proto/event.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* What is blanked or deleted, in this order: the catch-up of messages is found by the messages. */
static const struct step {
        int sql;
        const char *name, *what;
} steps[] = {
        {CTL_SQL_ERASE_CHAT_EVENT, "chatEvents", "messages in the catch-up blanked"},
        {CTL_SQL_ERASE_MESSAGE, "messages", "messages blanked"},
        {CTL_SQL_ERASE_EMIT, "emits", "events to the user's devices blanked"},
        {CTL_SQL_ERASE_NOTIFICATION_EVENT, "notificationEvents",
                "notifications in the catch-up blanked"},
        {CTL_SQL_ERASE_NOTIFICATION, "notifications", "notifications blanked"},
        {CTL_SQL_ERASE_RECEIPT, "receipts", "receipts deleted"},
        {CTL_SQL_ERASE_SESSION, "sessions", "sessions deleted"},
};

struct erase {
        struct ctl *ctl;
        const char *user;
        char before[24];
        int64_t before_ms;
        uint64_t rows[ARRAY_LEN(steps)];
        int64_t members, conversations; /* that remain */
};

static int postgres_fault(struct erase *er)
{
        const struct db_error *e = db_error(er->ctl->db);
        return ctl_fail("%s", strcmp(e->sqlstate, "42P01") == 0
                                      ? "Postgres lacks a table, run ternctl migrate first"
                                      : e->text);
}

/* In one transaction; ret_rows may be NULL. */
static int run_sql(
        struct erase *er, const int *sql, size_t count, size_t params, uint64_t *ret_rows)
{
        struct db *db = er->ctl->db;
        const char *values[] = {er->user, er->before};
        int err = db_begin(db);
        for (size_t i = 0; i < count && !err; i++) {
                struct db_result r = DB_RESULT_NONE;
                err = db_run(db, &ctl_sql[sql[i]], values, params, &r);
                if (!err && ret_rows)
                        ret_rows[i] = r.affected;
                db_result_done(&r);
        }
        if (!err)
                err = db_commit(db);
        if (err) {
                int code = postgres_fault(er);
                db_rollback(db);
                return code;
        }
        return EXIT_DONE;
}

static int tell_kafka(struct erase *er)
{
        char id[UUID_TEXT], at[CLOCK_ISO_TEXT];
        struct buf key = BUF_EMPTY, data = BUF_EMPTY;
        int64_t now = clock_wall_ms();
        uuid_v7(now, id);
        clock_iso(now, at);
        buf_printf(&key, "erased:%s", er->user);
        buf_add_char(&data, '{');
        json_text(&data, "userId", er->user);
        json_number(&data, "before", er->before_ms);
        buf_add_char(&data, '}');
        const struct bus_header headers[] = {
                {SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")},
                {SLICE_LIT("ce_id"), slice_str(id)},
                {SLICE_LIT("ce_type"), slice_str(event_type_name(EVENT_ERASED))},
                {SLICE_LIT("ce_source"), SLICE_LIT("ternctl")},
                {SLICE_LIT("ce_time"), slice_str(at)},
                {SLICE_LIT("content-type"), SLICE_LIT("application/json")},
        };
        const struct bus_record r = {.topic = SLICE_LIT("access"),
                .partition = -1,
                .key = buf_slice(&key),
                .value = buf_slice(&data),
                .headers = headers,
                .header_count = ARRAY_LEN(headers)};
        int err = ctl_send(er->ctl, &r);
        buf_done(&key);
        buf_done(&data);
        return err ? ctl_fail("access: %s", kafka_error(err)) : EXIT_DONE;
}

static int ask_remains(struct erase *er)
{
        const char *values[] = {er->user};
        struct db_result r = DB_RESULT_NONE;
        if (db_run(er->ctl->db, &ctl_sql[CTL_SQL_ERASE_REMAINS], values, 1, &r) != 0)
                return postgres_fault(er);
        er->members = db_int(&r, 0, 0);
        er->conversations = db_int(&r, 0, 1);
        db_result_done(&r);
        return EXIT_DONE;
}

/* Postgres first, so that writers know; then Kafka, so that replays know; then what is there. */
static int erase(struct erase *er)
{
        static const int first[] = {CTL_SQL_ERASE_REGISTER}, barrier[] = {CTL_SQL_ERASE_BARRIER};
        int all[ARRAY_LEN(steps)];
        for (size_t i = 0; i < ARRAY_LEN(steps); i++)
                all[i] = steps[i].sql;
        int code = run_sql(er, first, 1, 2, NULL);
        if (!code)
                code = run_sql(er, barrier, 1, 0, NULL);
        if (!code)
                code = tell_kafka(er);
        if (!code)
                code = run_sql(er, all, ARRAY_LEN(all), 2, er->rows);
        return code ? code : ask_remains(er);
}

/* ---- what is said ---- */

/* Until when the log keeps what is in it now. */
static void until(struct erase *er, const struct topic_row *row, char ret[64])
{
        struct admin_setting retention = {.name = "retention.ms"};
        int64_t ms = row->retention_ms;
        char iso[CLOCK_ISO_TEXT];
        if (admin_settings(er->ctl->bus, row->name, &retention, 1, CTL_KAFKA_MS) == 0 &&
                retention.found)
                ms = strtoll(retention.value, NULL, 10);
        if (ms < 0) {
                snprintf(ret, 64, "for ever");
                return;
        }
        clock_iso(er->before_ms + ms, iso);
        snprintf(ret, 64, "%s", iso);
}

static bool may_hold(const struct topic_row *row)
{
        return strcmp(row->name, "access") != 0 && strcmp(row->name, "broadcasts") != 0 &&
               strcmp(row->name, "broadcasts.dlq") != 0;
}

static void print_text(struct erase *er)
{
        struct table t = TABLE_OF(2);
        for (size_t i = 0; i < ARRAY_LEN(steps); i++)
                printf("%" PRIu64 " %s\n", er->rows[i], steps[i].what);
        printf("\nWhat remains:\n");
        for (size_t i = 0; i < topic_row_count; i++) {
                char when[64];
                if (!may_hold(&topic_rows[i]))
                        continue;
                until(er, &topic_rows[i], when);
                table_cell(&t, "  Kafka, %s", topic_rows[i].name);
                table_cell(&t, "until %s", when);
        }
        table_cell(&t, "%s", "  the gateways' memory");
        table_cell(&t, "%s", "until newer records push it out (TERN_TAIL_BYTES_MAX)");
        table_cell(&t, "  %" PRId64 " memberships", er->members);
        table_cell(&t, "%s", "for ever: others' rights and the order of rooms rest on them");
        table_cell(&t, "  %" PRId64 " conversations", er->conversations);
        table_cell(&t, "%s", "for ever: made by the user, with their titles");
        table_print(&t);
        printf("Writers blank, and replay and redrive refuse, whatever of it comes again.\n");
}

static void print_json(struct erase *er)
{
        struct buf out = BUF_EMPTY;
        buf_add_char(&out, '{');
        json_text(&out, "user", er->user);
        json_number(&out, "before", er->before_ms);
        for (size_t i = 0; i < ARRAY_LEN(steps); i++)
                json_number(&out, steps[i].name, (int64_t)er->rows[i]);
        buf_add_str(&out, ",\"remains\":{");
        for (size_t i = 0; i < topic_row_count; i++) {
                char when[64];
                if (!may_hold(&topic_rows[i]))
                        continue;
                until(er, &topic_rows[i], when);
                json_text(&out, topic_rows[i].name, when);
        }
        json_number(&out, "memberships", er->members);
        json_number(&out, "conversations", er->conversations);
        buf_add_str(&out, "}}");
        print_line(&out);
        buf_done(&out);
}

int cmd_erase(struct ctl *ctl, const struct args *a)
{
        struct erase er = {.ctl = ctl, .user = args_text(a, "user"), .before_ms = clock_wall_ms()};
        struct admin_cluster cluster;
        struct audit au;
        if (!event_user_id_valid(slice_str(er.user)) || !ctl_has_postgres(ctl)) {
                ctl_fail(ctl_has_postgres(ctl) ? "erase needs --user (try --help)"
                                               : "TERN_POSTGRES_DSN or TERN_POSTGRES_DSN_FILE has "
                                                 "to name the database");
                return EXIT_USAGE;
        }
        snprintf(er.before, sizeof(er.before), "%" PRId64, er.before_ms);
        int code = ctl_confirm(args_flag(a, "yes"),
                "Erase what %s wrote and was told until now? This cannot be undone.", er.user);
        if (!code)
                code = ctl_db(ctl, 0);
        if (!code)
                code = ctl_bus(ctl, CTL_KAFKA_MS, &cluster);
        if (code)
                return code;
        struct buf what = BUF_EMPTY;
        json_text(&what, "user", er.user);
        code = audit_begin(&au, ctl, "erase", buf_cstr(&what));
        if (!code)
                code = erase(&er);
        if (!code && args_flag(a, "json"))
                print_json(&er);
        else if (!code)
                print_text(&er);
        for (size_t i = 0; i < ARRAY_LEN(steps); i++)
                json_number(&what, steps[i].name, (int64_t)er.rows[i]);
        code = audit_end(&au, code, buf_cstr(&what));
        buf_done(&what);
        return code;
}
