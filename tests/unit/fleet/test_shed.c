/* A fleet in small: who has too many gives some up, and all end with about as many. */
#include "fleet/shed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define GATEWAYS 4
#define LOOK_MS 5000
#define TICK_MS 100
#define AWAY_MAX 100 /* ticks that a client may take to be back */

struct world {
        struct shed shed[GATEWAYS];
        int64_t has[GATEWAYS], announced[GATEWAYS];
        int64_t due[AWAY_MAX]; /* clients on their way, by the tick modulo in which they arrive */
        unsigned gave[GATEWAYS];
        unsigned most; /* given in one second, by one gateway */
        uint64_t dice;
};

static unsigned roll(struct world *w, unsigned sides)
{
        w->dice = w->dice * UINT64_C(6364136223846793005) + 1442695040888963407U;
        return (unsigned)((w->dice >> 33) % sides);
}

/* pick: the gateway to which a balancer sends who comes, of n. */
static void run(
        struct world *w, unsigned n, int64_t ms, unsigned (*pick)(struct world *w, unsigned n))
{
        static unsigned in_second[GATEWAYS];
        for (int64_t now = TICK_MS; now < ms; now += TICK_MS) {
                size_t tick = (size_t)(now / TICK_MS);
                for (; w->due[tick % AWAY_MAX] > 0; w->due[tick % AWAY_MAX]--)
                        w->has[pick(w, n)]++;
                for (unsigned i = 0; i < n; i++) {
                        /* Each announces at a time of its own. */
                        if (now % LOOK_MS == (int64_t)i * 1300) {
                                int64_t others = 0;
                                w->announced[i] = w->has[i];
                                for (unsigned j = 0; j < n; j++)
                                        others += j == i ? 0 : w->announced[j];
                                shed_look(&w->shed[i], w->has[i], others, n - 1);
                        }
                        unsigned k = shed_take(&w->shed[i], 1000000 + now);
                        assert_true((int64_t)k <= w->has[i]);
                        w->has[i] -= k;
                        w->gave[i] += k;
                        for (; k > 0; k--)
                                w->due[(tick + 5 + roll(w, 35)) % AWAY_MAX]++;
                        if (now % 1000 == 0)
                                in_second[i] = w->gave[i];
                        if (w->gave[i] - in_second[i] > w->most)
                                w->most = w->gave[i] - in_second[i];
                }
        }
}

static unsigned anywhere(struct world *w, unsigned n)
{
        return roll(w, n);
}

static unsigned to_the_first(struct world *w, unsigned n)
{
        UNUSED(w);
        UNUSED(n);
        return 0;
}

static struct world make(uint32_t per_second, const int64_t has[GATEWAYS])
{
        struct world w = {.dice = 7};
        for (unsigned i = 0; i < GATEWAYS; i++) {
                shed_init(&w.shed[i], per_second);
                w.has[i] = w.announced[i] = has[i];
        }
        return w;
}

static void after_a_scale_up_all_end_with_about_as_many(void **state)
{
        UNUSED(state);
        const int64_t has[GATEWAYS] = {2000, 2000, 0, 0};
        struct world w = make(20, has);
        run(&w, GATEWAYS, 600000, anywhere);
        for (unsigned i = 0; i < GATEWAYS; i++)
                assert_in_range(w.has[i], 900, 1100);
        assert_in_range(w.most, 15, 22);
        /* Hardly more were moved than had to be: half of who is sent away comes to one of the two again. */
        assert_in_range(w.gave[0] + w.gave[1] + w.gave[2] + w.gave[3], 1800, 5200);
        unsigned before = w.gave[0] + w.gave[1] + w.gave[2] + w.gave[3];
        run(&w, GATEWAYS, 300000, anywhere);
        assert_in_range(w.gave[0] + w.gave[1] + w.gave[2] + w.gave[3] - before, 0, 200);
}

static void who_is_even_gives_nothing(void **state)
{
        UNUSED(state);
        const int64_t has[GATEWAYS] = {1000, 1020, 980, 1000};
        struct world w = make(20, has);
        run(&w, GATEWAYS, 100000, anywhere);
        assert_int_equal(w.gave[0] + w.gave[1] + w.gave[2] + w.gave[3], 0);
}

static void alone_or_without_a_pace_nothing_is_given(void **state)
{
        UNUSED(state);
        const int64_t has[GATEWAYS] = {1000, 0, 0, 0};
        struct world alone = make(20, has), off = make(0, has);
        run(&alone, 1, 100000, anywhere);
        run(&off, GATEWAYS, 100000, anywhere);
        assert_int_equal(alone.gave[0], 0);
        assert_int_equal(off.gave[0], 0);
}

static void if_all_come_back_it_is_tried_ever_more_seldom(void **state)
{
        UNUSED(state);
        const int64_t has[GATEWAYS] = {1000, 0, 0, 0};
        struct world w = make(20, has);
        run(&w, GATEWAYS, 3600000, to_the_first);
        /* At the pace all the time it would have been 72000. */
        assert_in_range(w.gave[0], 100, 2500);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(after_a_scale_up_all_end_with_about_as_many),
                cmocka_unit_test(who_is_even_gives_nothing),
                cmocka_unit_test(alone_or_without_a_pace_nothing_is_given),
                cmocka_unit_test(if_all_come_back_it_is_tried_ever_more_seldom),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
