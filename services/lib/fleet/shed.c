#include "fleet/shed.h"

#define SLACK_PART 20 /* of the mean */
#define PAUSE_MAX 6   /* 2^6 looks */
#define ROUND_LOOKS 3 /* and one to see what became of it */

void shed_init(struct shed *s, uint32_t per_second)
{
        *s = (struct shed){0};
        pace_init(&s->pace, per_second ? 1000000 / (int64_t)per_second : 0);
}

static int64_t largest_sum(struct shed *s, int64_t sum)
{
        s->sums[s->looks++ % SHED_SUMS] = sum;
        int64_t largest = 0;
        for (unsigned i = 0; i < SHED_SUMS; i++)
                if (s->sums[i] > largest)
                        largest = s->sums[i];
        return largest;
}

static void begin_round(struct shed *s, int64_t own)
{
        s->round = 0;
        s->had = own;
        s->given = 0;
}

/* With k of n gateways giving, n - k in n of those who were sent away stay away. */
static void judge_round(struct shed *s, int64_t own)
{
        if (s->given == 0)
                return;
        if ((s->had - own) * 2 * ((int64_t)s->members + 1) >= s->given) {
                s->useless = 0;
                return;
        }
        if (s->useless < PAUSE_MAX)
                s->useless++;
        s->pause = 1U << s->useless;
}

void shed_look(struct shed *s, int64_t own, int64_t others, size_t members)
{
        int64_t sum = largest_sum(s, own + others);
        int64_t all = (int64_t)members + 1, mean = (sum + all - 1) / all;
        int64_t slack = mean / SLACK_PART > 1 ? mean / SLACK_PART : 1;
        unsigned looks = s->useless ? 1 : ROUND_LOOKS;
        s->budget = 0;
        if (members != s->members) {
                s->useless = s->pause = 0;
                s->members = members;
                begin_round(s, own);
        } else if (s->pause > 0) {
                s->pause--;
                begin_round(s, own);
        } else if (++s->round > looks) {
                judge_round(s, own);
                begin_round(s, own);
        }
        if (members > 0 && own > mean + slack && s->pause == 0 && s->round < looks)
                s->budget = own - mean;
}

unsigned shed_take(struct shed *s, int64_t now_ms)
{
        if (s->pace.gap_us == 0 || s->budget == 0)
                return 0;
        unsigned n = pace_take(&s->pace, (unsigned)s->budget, now_ms);
        s->budget -= n;
        s->given += n;
        return n;
}
