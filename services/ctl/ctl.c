#include "ctl/ctl.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

int ctl_fail(const char *fmt, ...)
{
        va_list ap;
        fputs("ternctl: ", stderr);
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fputc('\n', stderr);
        return EXIT_FAILED;
}

const char *kafka_error(int err)
{
        if (err == -ETIMEDOUT)
                return "Kafka does not answer";
        if (err == -ENOTSUP)
                return "not supported by this broker";
        if (err == -ENOENT)
                return "no such topic or partition";
        if (err == -EACCES)
                return "Kafka refuses access";
        return err == -EIO ? "Kafka is away" : strerror(-err);
}

int ctl_not_embedded(const char *what)
{
        return ctl_fail("%s is not supported by the embedded broker, which makes its topics and "
                        "their epochs itself when it starts",
                what);
}

int ctl_confirm(bool yes, const char *fmt, ...)
{
        char question[512], answer[16] = "";
        va_list ap;
        if (yes)
                return EXIT_DONE;
        va_start(ap, fmt);
        vsnprintf(question, sizeof(question), fmt, ap);
        va_end(ap);
        if (!isatty(STDIN_FILENO)) {
                ctl_fail("%s Say --yes: there is no terminal to ask on", question);
                return EXIT_USAGE;
        }
        fprintf(stderr, "%s [y/N] ", question);
        if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
                return EXIT_DONE;
        return ctl_fail("nothing was done");
}

/* ---- connections ---- */

/* What librdkafka said last: shown only if Kafka never answered. Any of its threads writes it, one at a time. */
static void keep_last(void *arg, int level, const char *facility, const char *text)
{
        UNUSED(facility);
        if (level <= 4)
                snprintf(arg, 256, "%s", text);
}

int ctl_bus(struct ctl *ctl, int64_t wait_ms, struct admin_cluster *ret_cluster)
{
        char fault[256] = "", said[256] = "";
        int err = bus_new(&ctl->bus_settings, ctl->config.kafka, ctl->config.kafka_count, "ternctl",
                NULL, &ctl->bus, fault);
        if (err) {
                ctl_fail("%s", fault);
                return EXIT_USAGE;
        }
        bus_set_log(ctl->bus, keep_last, said);
        int64_t until = clock_mono_ms() + wait_ms;
        do {
                int64_t left = until - clock_mono_ms();
                err = admin_cluster(ctl->bus,
                        left < 500    ? 500
                        : left < 2000 ? (int)left
                                      : 2000,
                        ret_cluster);
        } while (err && err != -EACCES && clock_mono_ms() < until);
        bus_set_log(ctl->bus, NULL, NULL);
        return err ? ctl_fail("%s%s%s", kafka_error(err), said[0] ? ": " : "", said) : EXIT_DONE;
}

/* A question about one topic would make it on the embedded broker; the list of all does not. */
static bool is_listed(struct ctl *ctl, const char *topic)
{
        struct admin_topic *topics = NULL;
        size_t count = 0;
        bool found = false;
        if (admin_list(ctl->bus, CTL_KAFKA_MS, &topics, &count) != 0)
                return false;
        for (size_t i = 0; i < count; i++)
                found = found || strcmp(topics[i].name, topic) == 0;
        admin_list_free(topics, count);
        return found;
}

int ctl_partitions(struct ctl *ctl, const char *topic, uint32_t *ret)
{
        int err = -ENOENT;
        if (!bus_is_embedded(ctl->bus) || is_listed(ctl, topic))
                err = bus_partitions(ctl->bus, topic, CTL_KAFKA_MS, ret);
        return err ? ctl_fail("%s: %s", topic, kafka_error(err)) : EXIT_DONE;
}

struct sending {
        struct bus_send send;
        sem_t answered;
};

static void on_answer(struct bus_send *s)
{
        sem_post(&container_of(s, struct sending, send)->answered);
}

int ctl_send(struct ctl *ctl, const struct bus_record *r)
{
        struct sending one = {.send = {.done = on_answer}};
        sem_init(&one.answered, 0, 0);
        int err = bus_produce(ctl->bus, r, &one.send);
        while (!err && sem_wait(&one.answered) != 0)
                CHECK(errno == EINTR);
        if (!err && one.send.outcome != BUS_OK)
                err = one.send.outcome == BUS_UNKNOWN ? -ETIMEDOUT : -EIO;
        sem_destroy(&one.answered);
        return err;
}

bool ctl_has_postgres(const struct ctl *ctl)
{
        return (ctl->store_settings.dsn && ctl->store_settings.dsn[0]) ||
               (ctl->store_settings.dsn_secret && ctl->store_settings.dsn_secret[0]);
}

int ctl_db(struct ctl *ctl, int64_t wait_ms)
{
        char fault[256] = "";
        const char *dsn = db_dsn(&ctl->store_settings, fault);
        if (!dsn) {
                ctl_fail("%s", fault);
                return EXIT_USAGE;
        }
        const struct db_options o = {
                .dsn = dsn, .application = "ternctl", .connect_ms = 3000, .stop_fd = -1};
        int64_t until = clock_mono_ms() + wait_ms;
        int err;
        while ((err = db_connect(&o, &ctl->db, fault)) != 0 && clock_mono_ms() < until) {
                const struct timespec nap = {0, 200000000};
                nanosleep(&nap, NULL);
        }
        return err ? ctl_fail("%s", fault) : EXIT_DONE;
}

void ctl_done(struct ctl *ctl)
{
        bus_free(ctl->bus, 1000);
        db_free(ctl->db);
}

/* ---- output ---- */

void table_cell(struct table *t, const char *fmt, ...)
{
        char cell[512];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(cell, sizeof(cell), fmt, ap);
        va_end(ap);
        buf_add(&t->text, cell, strlen(cell) + 1);
        t->cells++;
}

/* Columns as people see them: continuation bytes of UTF-8 take no room. */
static size_t width_of(const char *text)
{
        size_t n = 0;
        for (; *text; text++)
                n += ((unsigned char)*text & 0xc0) != 0x80;
        return n;
}

void table_print(struct table *t)
{
        size_t *widths = xcalloc(t->columns, sizeof(*widths));
        const char *p = t->text.p;
        for (size_t i = 0; i < t->cells; i++, p += strlen(p) + 1)
                if (width_of(p) > widths[i % t->columns])
                        widths[i % t->columns] = width_of(p);
        p = t->text.p;
        for (size_t i = 0; i < t->cells; i++, p += strlen(p) + 1) {
                bool last = i % t->columns == t->columns - 1;
                fputs(p, stdout);
                if (last)
                        fputc('\n', stdout);
                else
                        printf("%*s", (int)(widths[i % t->columns] - width_of(p) + 2), "");
        }
        free(widths);
        buf_done(&t->text);
        t->cells = 0;
}

static void json_name(struct buf *out, const char *name)
{
        char last = out->n ? out->p[out->n - 1] : '{';
        if (last != '{' && last != '[')
                buf_add_char(out, ',');
        buf_add_json_str(out, slice_str(name));
        buf_add_char(out, ':');
}

void json_text(struct buf *out, const char *name, const char *value)
{
        json_name(out, name);
        buf_add_json_str(out, slice_str(value));
}

void json_slice(struct buf *out, const char *name, struct slice value)
{
        json_name(out, name);
        buf_add_json_str(out, value);
}

void json_number(struct buf *out, const char *name, int64_t value)
{
        json_name(out, name);
        buf_add_i64(out, value);
}

void json_flag(struct buf *out, const char *name, bool value)
{
        json_name(out, name);
        buf_add_str(out, value ? "true" : "false");
}

bool print_line(struct buf *out)
{
        buf_add_char(out, '\n');
        fwrite(out->p, 1, out->n, stdout);
        buf_reset(out);
        return fflush(stdout) == 0;
}
