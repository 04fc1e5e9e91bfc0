#include "writer/produce.h"

#include <errno.h>
#include <stdlib.h>

#define QUEUE_FULL_WAIT_MS 5
#define QUEUE_FULL_TRIES 2000

struct produce {
        struct bus *bus;     /* borrowed */
        struct mailbox *box; /* owned: where the delivery reports come */
        size_t open;         /* sends without an answer */
};

struct produce *produce_new(struct bus *bus)
{
        struct produce *p = xcalloc(1, sizeof(*p));
        p->bus = bus;
        p->box = mailbox_new(NULL, NULL);
        return p;
}

struct produce *produce_free(struct produce *p)
{
        if (!p)
                return NULL;
        mailbox_close(p->box);
        mailbox_free(p->box);
        free(p);
        return NULL;
}

static void answered(struct bus_send *s)
{
        struct produce_one *one = container_of(s, struct produce_one, send);
        one->outcome = s->outcome;
        one->owner->open--;
}

static int hand_over(struct produce *p, struct produce_one *one)
{
        one->owner = p;
        one->send = (struct bus_send){.reply = p->box, .done = answered};
        int r = bus_produce(p->bus, &one->record, &one->send);
        for (int i = 0; r == -ENOBUFS && i < QUEUE_FULL_TRIES; i++) {
                mailbox_wait(p->box, QUEUE_FULL_WAIT_MS);
                r = bus_produce(p->bus, &one->record, &one->send);
        }
        return r;
}

void produce_all(struct produce *p, struct produce_one *ones, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                int r = hand_over(p, &ones[i]);
                if (r == 0)
                        p->open++;
                else
                        ones[i].outcome = r == -EMSGSIZE ? BUS_BUSY : BUS_FAILED;
        }
        while (p->open > 0)
                mailbox_wait(p->box, -1);
}
