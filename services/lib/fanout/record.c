#include "fanout/record.h"

void record_drop_frames(struct record *r)
{
        for (unsigned i = 0; i < RECORD_FRAMES; i++)
                msg_unref(atomic_exchange_explicit(&r->frames[i], NULL, memory_order_acq_rel));
}
