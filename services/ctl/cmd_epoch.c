#include "ctl/lives.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdlib.h>

int cmd_epoch(struct ctl *ctl, const struct args *a)
{
        struct admin_cluster cluster;
        struct life *lives = NULL;
        size_t n = 0;
        int code = ctl_bus(ctl, CTL_KAFKA_MS, &cluster);
        if (!code)
                code = lives_load(ctl, &lives, &n);
        if (code)
                return code;
        bool as_json = args_flag(a, "json");
        struct table t = TABLE_OF(5);
        struct buf json = BUF_EMPTY;
        static const char *const heads[] = {"TOPIC", "EPOCH", "PARTITIONS", "SINCE", "CLUSTER"};
        for (size_t i = 0; i < ARRAY_LEN(heads) && !as_json; i++)
                table_cell(&t, "%s", heads[i]);
        buf_add_char(&json, '[');
        for (size_t i = 0; i < n; i++) {
                const struct life *l = &lives[i];
                char since[CLOCK_ISO_TEXT] = "";
                if (l->since_ms > 0)
                        clock_iso(l->since_ms, since);
                if (as_json) {
                        buf_add_str(&json, json.p[json.n - 1] == '[' ? "{" : ",{");
                        json_text(&json, "topic", l->topic);
                        json_number(&json, "epoch", l->epoch);
                        json_number(&json, "partitions", l->partitions);
                        json_text(&json, "since", since);
                        json_text(&json, "cluster", l->cluster);
                        json_flag(&json, "here", strcmp(l->cluster, cluster.id) == 0);
                        buf_add_char(&json, '}');
                        continue;
                }
                table_cell(&t, "%s", l->topic);
                table_cell(&t, "%" PRId64, l->epoch);
                table_cell(&t, "%" PRId64, l->partitions);
                table_cell(&t, "%s", since);
                table_cell(&t, "%s%s", l->cluster,
                        strcmp(l->cluster, cluster.id) == 0 ? "" : " (another one than this)");
        }
        buf_add_char(&json, ']');
        if (as_json)
                print_line(&json);
        else
                table_print(&t);
        buf_done(&t.text);
        buf_done(&json);
        free(lives);
        return EXIT_DONE;
}
