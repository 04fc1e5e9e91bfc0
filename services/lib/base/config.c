#include "base/config.h"

#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SECRET_BYTES_MAX 16384
#define KAFKA_PREFIX "TERN_KAFKA_"

static void *field_of(const struct config_group *g, const struct config_row *row)
{
        return (char *)g->base + row->offset;
}

static void set_text(void *field, char *text)
{
        char **to = field;
        free(*to);
        *to = text;
}

static const char *env_get(char **env, const char *name)
{
        size_t n = strlen(name);
        for (char **e = env; *e; e++)
                if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
                        return *e + n + 1;
        return NULL;
}

/* ---- one value ---- */

static bool parse_bool(const char *text, bool *ret)
{
        static const char *const on[] = {"on", "true", "1", "yes"}, *const off[] = {"off", "false",
                                                                            "0", "no"};
        for (size_t i = 0; i < ARRAY_LEN(on); i++) {
                if (strcasecmp(text, on[i]) == 0) {
                        *ret = true;
                        return true;
                }
                if (strcasecmp(text, off[i]) == 0) {
                        *ret = false;
                        return true;
                }
        }
        return false;
}

static int read_secret(
        const struct config_row *row, const char *path, char **ret, struct buf *faults)
{
        FILE *f = fopen(path, "rb");
        if (!f) {
                buf_printf(faults, "%s is %s, which cannot be read: %s\n", row->env, path,
                        strerror(errno));
                return -EINVAL;
        }
        struct buf b = BUF_EMPTY;
        size_t n = fread(buf_reserve(&b, SECRET_BYTES_MAX + 1), 1, SECRET_BYTES_MAX + 1, f);
        buf_commit(&b, n);
        fclose(f);
        if (b.n > 0 && b.p[b.n - 1] == '\n')
                b.n--;
        if (b.n > 0 && b.p[b.n - 1] == '\r')
                b.n--;
        if (b.n < row->min || b.n > row->max || memchr(b.p, '\0', b.n)) {
                buf_printf(faults,
                        "%s is %s, which holds %zu bytes; it has to hold %llu to %llu bytes of "
                        "text\n",
                        row->env, path, b.n, (unsigned long long)row->min,
                        (unsigned long long)row->max);
                buf_done(&b);
                return -EINVAL;
        }
        *ret = buf_take(&b, NULL);
        return 0;
}

static void fault_range(const struct config_row *row, const char *text, struct buf *faults)
{
        buf_printf(faults, "%s is \"%s\", it has to be a whole number from %llu to %llu (%s)\n",
                row->env, text, (unsigned long long)row->min, (unsigned long long)row->max,
                row->unit);
}

static int parse_value(const struct config_group *g, const struct config_row *row, const char *text,
        struct buf *faults)
{
        void *field = field_of(g, row);
        uint64_t v;
        switch (row->type) {
        case CONFIG_U32:
        case CONFIG_U64:
                if (!slice_to_u64(slice_str(text), row->max, &v) || v < row->min) {
                        fault_range(row, text, faults);
                        return -EINVAL;
                }
                if (row->type == CONFIG_U32)
                        *(uint32_t *)field = (uint32_t)v;
                else
                        *(uint64_t *)field = v;
                return 0;
        case CONFIG_BOOL:
                if (parse_bool(text, field))
                        return 0;
                buf_printf(faults, "%s is \"%s\", it has to be on or off\n", row->env, text);
                return -EINVAL;
        case CONFIG_STR:
        case CONFIG_LIST: {
                if (row->type == CONFIG_STR && strchr(row->unit, '|') &&
                        !config_is_choice(row->unit, text)) {
                        buf_printf(faults, "%s is \"%s\", it has to be one of %s\n", row->env, text,
                                row->unit);
                        return -EINVAL;
                }
                size_t n = strlen(text);
                if (n < row->min || n > row->max) {
                        buf_printf(faults,
                                "%s is %zu bytes long, it has to be %llu to %llu bytes (%s)\n",
                                row->env, n, (unsigned long long)row->min,
                                (unsigned long long)row->max, row->unit);
                        return -EINVAL;
                }
                set_text(field, xstrdup(text));
                return 0;
        }
        case CONFIG_SECRET: {
                char *secret = xstrdup("");
                int r = 0;
                if (text[0]) {
                        char *read = NULL;
                        r = read_secret(row, text, &read, faults);
                        if (r == 0) {
                                free(secret);
                                secret = read;
                        }
                }
                set_text(field, secret);
                return r;
        }
        }
        return -EINVAL;
}

bool config_is_choice(const char *choices, const char *text)
{
        size_t n = strlen(text);
        for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
                const char *end = strchr(at, '|');
                size_t k = end ? (size_t)(end - at) : strlen(at);
                if (k == n && memcmp(at, text, n) == 0)
                        return true;
        }
        return false;
}

/* ---- the environment ---- */

static bool known(const struct config_group *groups, size_t count, struct slice name)
{
        for (size_t g = 0; g < count; g++)
                for (size_t i = 0; i < groups[g].count; i++)
                        if (slice_is(name, groups[g].rows[i].env))
                                return true;
        return false;
}

/* Kubernetes puts the addresses of services into the environment of each pod: a service named
 * tern-kafka gives TERN_KAFKA_PORT=tcp://10.0.0.1:9092, TERN_KAFKA_PORT_9092_TCP_ADDR,
 * TERN_KAFKA_SERVICE_HOST and more. */
static bool is_service_link(struct slice name, const char *value)
{
        return slice_starts(slice_str(value), "tcp://") ||
               slice_starts(slice_str(value), "udp://") ||
               memmem(name.p, name.n, "_SERVICE_HOST", 13) ||
               memmem(name.p, name.n, "_SERVICE_PORT", 13) || memmem(name.p, name.n, "_TCP_", 5) ||
               memmem(name.p, name.n, "_UDP_", 5);
}

static void add_passthrough(struct config_result *r, struct slice name, const char *value)
{
        struct buf prop = BUF_EMPTY;
        for (size_t i = strlen(KAFKA_PREFIX); i < name.n; i++)
                buf_add_char(
                        &prop, name.p[i] == '_' ? '.' : (char)tolower((unsigned char)name.p[i]));
        r->kafka = xrealloc(r->kafka, (r->kafka_count + 1) * sizeof(*r->kafka));
        r->kafka[r->kafka_count++] =
                (struct config_passthrough){buf_take(&prop, NULL), xstrdup(value)};
}

static void sort_environment(
        const struct config_group *groups, size_t count, char **env, struct config_result *r)
{
        for (char **e = env; *e; e++) {
                const char *eq = strchr(*e, '=');
                if (!eq || strncmp(*e, "TERN_", 5) != 0)
                        continue;
                struct slice name = slice_of(*e, (size_t)(eq - *e));
                if (known(groups, count, name) || is_service_link(name, eq + 1))
                        continue;
                if (slice_starts(name, KAFKA_PREFIX) && name.n > strlen(KAFKA_PREFIX))
                        add_passthrough(r, name, eq + 1);
                else
                        buf_printf(&r->warnings, "%.*s is no setting of this program\n",
                                SLICE_ARG(name));
        }
}

int config_load(
        const struct config_group *groups, size_t count, char **env, struct config_result *ret)
{
        *ret = (struct config_result){0};
        for (size_t g = 0; g < count; g++) {
                for (size_t i = 0; i < groups[g].count; i++) {
                        const struct config_row *row = &groups[g].rows[i];
                        struct buf ignored = BUF_EMPTY;
                        int r = parse_value(&groups[g], row, row->def, &ignored);
                        CHECK(r == 0);
                        buf_done(&ignored);
                        const char *text = env_get(env, row->env);
                        if (text)
                                (void)!parse_value(&groups[g], row, text, &ret->faults);
                }
        }
        sort_environment(groups, count, env, ret);
        return ret->faults.n ? -EINVAL : 0;
}

void config_log_warnings(const struct config_result *r, struct log *log)
{
        struct slice rest = buf_slice(&r->warnings);
        for (ptrdiff_t end; (end = slice_find(rest, '\n')) >= 0;) {
                log_warn(log, "settings_unknown",
                        F_SLICE("text", slice_of(rest.p, (size_t)end)));
                rest = slice_from(rest, (size_t)end + 1);
        }
}

void config_result_done(struct config_result *r)
{
        buf_done(&r->faults);
        buf_done(&r->warnings);
        for (size_t i = 0; i < r->kafka_count; i++) {
                free(r->kafka[i].name);
                free(r->kafka[i].value);
        }
        free(r->kafka);
        *r = (struct config_result){0};
}

static bool owns_text(const struct config_row *row)
{
        return row->type == CONFIG_STR || row->type == CONFIG_LIST || row->type == CONFIG_SECRET;
}

void config_free(const struct config_group *groups, size_t count)
{
        for (size_t g = 0; g < count; g++)
                for (size_t i = 0; i < groups[g].count; i++)
                        if (owns_text(&groups[g].rows[i]))
                                set_text(field_of(&groups[g], &groups[g].rows[i]), NULL);
}

/* ---- for people ---- */

static void add_range(const struct config_row *row, struct buf *out)
{
        if (row->type == CONFIG_U32 || row->type == CONFIG_U64)
                buf_printf(out, "%llu to %llu %s", (unsigned long long)row->min,
                        (unsigned long long)row->max, row->unit);
        else if (row->type == CONFIG_BOOL)
                buf_add_str(out, "on or off");
        else if (row->type == CONFIG_SECRET)
                buf_add_str(out, "path of a file");
        else
                buf_add_str(out, row->unit);
}

void config_help(const struct config_group *groups, size_t count, struct buf *out)
{
        for (size_t g = 0; g < count; g++) {
                buf_printf(out, "%s\n", groups[g].title);
                for (size_t i = 0; i < groups[g].count; i++) {
                        const struct config_row *row = &groups[g].rows[i];
                        buf_printf(out, "  %s (%s", row->env, row->def[0] ? row->def : "unset");
                        struct buf range = BUF_EMPTY;
                        add_range(row, &range);
                        if (range.n)
                                buf_printf(out, "; %.*s", SLICE_ARG(buf_slice(&range)));
                        buf_done(&range);
                        buf_printf(out, ")\n      %s\n", row->text);
                }
                buf_add_char(out, '\n');
        }
        buf_add_str(out, "Any property of librdkafka: TERN_KAFKA_A_B is a.b, e.g. "
                         "TERN_KAFKA_BOOTSTRAP_SERVERS.\n");
}

/* An address may hold a password, as postgresql://user:password@host or as password=…: it is not
 * printed. */
static void add_address(struct buf *out, const char *text)
{
        static const char mark[] = "password=";
        const char *scheme = strstr(text, "://"), *at = scheme ? strchr(scheme + 3, '@') : NULL;
        const char *colon = at ? memchr(scheme + 3, ':', (size_t)(at - scheme - 3)) : NULL;
        if (colon) {
                buf_add(out, text, (size_t)(colon + 1 - text));
                buf_add_str(out, "***");
                text = at;
        }
        const char *word;
        while ((word = strstr(text, mark))) {
                word += sizeof(mark) - 1;
                buf_add(out, text, (size_t)(word - text));
                buf_add_str(out, "***");
                text = word + (*word == '\'' ? strcspn(word + 1, "'") + 1 : strcspn(word, " &"));
        }
        buf_add_str(out, text);
}

void config_print(const struct config_group *groups, size_t count, struct buf *out)
{
        for (size_t g = 0; g < count; g++) {
                for (size_t i = 0; i < groups[g].count; i++) {
                        const struct config_row *row = &groups[g].rows[i];
                        const void *field = field_of(&groups[g], row);
                        buf_printf(out, "%s=", row->env);
                        switch (row->type) {
                        case CONFIG_U32:
                                buf_add_u64(out, *(const uint32_t *)field);
                                break;
                        case CONFIG_U64:
                                buf_add_u64(out, *(const uint64_t *)field);
                                break;
                        case CONFIG_BOOL:
                                buf_add_str(out, *(const bool *)field ? "on" : "off");
                                break;
                        case CONFIG_STR:
                        case CONFIG_LIST:
                                add_address(out, *(char *const *)field);
                                break;
                        case CONFIG_SECRET:
                                buf_add_str(out, (*(char *const *)field)[0] ? "(set)" : "");
                                break;
                        }
                        buf_add_char(out, '\n');
                }
        }
}

bool config_list_next(struct slice *rest, struct slice *ret_item)
{
        while (rest->n) {
                ptrdiff_t comma = slice_find(*rest, ',');
                struct slice item = slice_of(rest->p, comma < 0 ? rest->n : (size_t)comma);
                *rest = comma < 0 ? slice_from(*rest, rest->n)
                                  : slice_from(*rest, (size_t)comma + 1);
                while (item.n && isspace((unsigned char)item.p[0]))
                        item = slice_from(item, 1);
                while (item.n && isspace((unsigned char)item.p[item.n - 1]))
                        item.n--;
                if (item.n) {
                        *ret_item = item;
                        return true;
                }
        }
        return false;
}
