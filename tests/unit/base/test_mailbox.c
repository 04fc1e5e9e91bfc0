/* The door between threads: order, wake-ups, closing, and many posters at once. */
#include "base/mailbox.h"

#include "base/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <cmocka.h>

struct note {
        struct mail mail;
        int poster, number;
        int *last; /* by poster, the owner's */
};

static void check_order(struct mail *m)
{
        struct note *n = container_of(m, struct note, mail);
        if (n->last[n->poster] + 1 != n->number)
                abort();
        n->last[n->poster] = n->number;
        free(n);
}

static struct note *note_new(int poster, int number, int *last)
{
        struct note *n = xcalloc(1, sizeof(*n));
        *n = (struct note){
                .mail.run = check_order, .poster = poster, .number = number, .last = last};
        return n;
}

static void count_wake(void *arg)
{
        ++*(int *)arg;
}

static void the_owner_is_woken_once_for_a_pile(void **state)
{
        UNUSED(state);
        int wakes = 0, last[1] = {0};
        struct mailbox *mb = mailbox_new(count_wake, &wakes);
        assert_int_equal(mailbox_run(mb), 0);
        for (int i = 1; i <= 3; i++)
                assert_true(mailbox_post(mb, &note_new(0, i, last)->mail));
        assert_int_equal(wakes, 1);
        assert_int_equal(mailbox_len(mb), 3);
        assert_int_equal(mailbox_run(mb), 3);
        assert_true(mailbox_post(mb, &note_new(0, 4, last)->mail));
        assert_int_equal(wakes, 2);
        assert_int_equal(mailbox_run(mb), 1);
        assert_int_equal(last[0], 4);
        mailbox_close(mb);
        assert_null(mailbox_free(mb));
        assert_null(mailbox_free(NULL));
}

static void a_closed_box_gives_the_message_back(void **state)
{
        UNUSED(state);
        int last[1] = {0};
        struct mailbox *mb = mailbox_new(NULL, NULL);
        assert_true(mailbox_post(mb, &note_new(0, 1, last)->mail));
        mailbox_close(mb);
        struct note *late = note_new(0, 2, last);
        assert_false(mailbox_post(mb, &late->mail));
        /* What came before the closing is still run. */
        assert_true(mailbox_wait(mb, -1));
        assert_int_equal(last[0], 1);
        assert_false(mailbox_wait(mb, -1));
        struct mail *none = &late->mail;
        assert_false(mailbox_take_one(mb, -1, &none));
        assert_null(none);
        free(late);
        mailbox_free(mb);
}

struct reply {
        struct mail mail;
        struct mailbox *mb;
        int rounds;
};

static void post_again(struct mail *m)
{
        struct reply *r = container_of(m, struct reply, mail);
        if (++r->rounds < 5)
                assert_true(mailbox_post(r->mb, m));
}

static void a_running_message_may_post_itself_again(void **state)
{
        UNUSED(state);
        struct mailbox *mb = mailbox_new(NULL, NULL);
        struct reply r = {.mail.run = post_again, .mb = mb};
        assert_true(mailbox_post(mb, &r.mail));
        for (int i = 0; i < 5; i++)
                assert_int_equal(mailbox_run(mb), 1);
        assert_int_equal(mailbox_run(mb), 0);
        mailbox_close(mb);
        mailbox_free(mb);
}

static void waiting_ends_at_its_time(void **state)
{
        UNUSED(state);
        struct mailbox *mb = mailbox_new(NULL, NULL);
        int64_t before = clock_mono_ms();
        assert_true(mailbox_wait(mb, 30));
        struct mail *none;
        assert_true(mailbox_take_one(mb, 0, &none));
        assert_null(none);
        assert_true(clock_mono_ms() - before >= 29);
        mailbox_close(mb);
        mailbox_free(mb);
}

/* ---- many threads ---- */

enum { POSTERS = 4, EACH = 5000 };

struct posting {
        struct mailbox *mb;
        int poster;
        int *last;
};

static void *post_many(void *arg)
{
        struct posting *p = arg;
        for (int i = 1; i <= EACH; i++)
                if (!mailbox_post(p->mb, &note_new(p->poster, i, p->last)->mail))
                        abort();
        return NULL;
}

static void each_posters_messages_arrive_in_its_order(void **state)
{
        UNUSED(state);
        struct mailbox *mb = mailbox_new(NULL, NULL);
        pthread_t threads[POSTERS];
        struct posting postings[POSTERS];
        int last[POSTERS] = {0};
        for (int i = 0; i < POSTERS; i++) {
                postings[i] = (struct posting){mb, i, last};
                assert_int_equal(pthread_create(&threads[i], NULL, post_many, &postings[i]), 0);
        }
        bool all = false;
        while (!all) {
                assert_true(mailbox_wait(mb, 5000));
                all = true;
                for (int i = 0; i < POSTERS; i++)
                        all = all && last[i] == EACH;
        }
        for (int i = 0; i < POSTERS; i++)
                pthread_join(threads[i], NULL);
        mailbox_close(mb);
        mailbox_free(mb);
}

static atomic_int ran;

static void count_run(struct mail *m)
{
        atomic_fetch_add(&ran, 1);
        free(m);
}

static void *work(void *arg)
{
        struct mail *m;
        while (mailbox_take_one(arg, -1, &m))
                if (m)
                        m->run(m);
        return NULL;
}

static void a_pool_shares_one_box_and_ends_when_it_is_closed(void **state)
{
        UNUSED(state);
        struct mailbox *mb = mailbox_new(NULL, NULL);
        pthread_t threads[POSTERS];
        for (int i = 0; i < POSTERS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, work, mb), 0);
        for (int i = 0; i < EACH; i++) {
                struct mail *m = xcalloc(1, sizeof(*m));
                m->run = count_run;
                assert_true(mailbox_post(mb, m));
        }
        mailbox_close(mb);
        for (int i = 0; i < POSTERS; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&ran), EACH);
        assert_int_equal(mailbox_len(mb), 0);
        mailbox_free(mb);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_owner_is_woken_once_for_a_pile),
                cmocka_unit_test(a_closed_box_gives_the_message_back),
                cmocka_unit_test(a_running_message_may_post_itself_again),
                cmocka_unit_test(waiting_ends_at_its_time),
                cmocka_unit_test(each_posters_messages_arrive_in_its_order),
                cmocka_unit_test(a_pool_shares_one_box_and_ends_when_it_is_closed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
