#include "ctl/stored.h"

#include "ctl_sql.h"

#include "base/clock.h"

#include <stdlib.h>

#define ASK_EVERY_MS 50

int stored_up_to(struct ctl *ctl, const char *topic, const int64_t *ends, uint32_t count)
{
        struct db_result r = DB_RESULT_NONE;
        if (db_run(ctl->db, &ctl_sql[CTL_SQL_INGESTED], NULL, 0, &r) != 0) {
                ctl_fail("%s", db_error(ctl->db)->text);
                return -1;
        }
        uint32_t there = 0, empty = 0;
        for (uint32_t p = 0; p < count; p++)
                empty += ends[p] == 0;
        for (size_t i = 0; i < r.rows; i++) {
                int64_t p = db_int(&r, i, 1);
                if (strcmp(db_value(&r, i, 0), topic) == 0 && p >= 0 && p < count && ends[p] > 0)
                        there += db_int(&r, i, 3) >= ends[p];
        }
        db_result_done(&r);
        return there + empty >= count;
}

int stored_wait(struct ctl *ctl, const char *topic, int64_t wait_ms)
{
        uint32_t n = 0;
        int64_t until = clock_mono_ms() + wait_ms;
        const struct timespec nap = {0, ASK_EVERY_MS * 1000000};
        int code = ctl->db ? EXIT_DONE : ctl_db(ctl, 0);
        if (!code)
                code = ctl_partitions(ctl, topic, &n);
        if (code)
                return code;
        int64_t *ends = xcalloc(n, sizeof(*ends));
        int err = bus_highs(ctl->bus, topic, n, CTL_KAFKA_MS, ends);
        int there = err ? -1 : stored_up_to(ctl, topic, ends, n);
        while (there == 0 && clock_mono_ms() < until) {
                nanosleep(&nap, NULL);
                there = stored_up_to(ctl, topic, ends, n);
        }
        free(ends);
        if (err)
                return ctl_fail("%s: %s", topic, kafka_error(err));
        if (there == 0) {
                ctl_fail("it is in %s, but no writer has stored it within %lld s", topic,
                        (long long)(wait_ms / 1000));
                return EXIT_PARTLY;
        }
        return there < 0 ? EXIT_FAILED : EXIT_DONE;
}
