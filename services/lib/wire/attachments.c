#include "wire/attachments.h"

#include <errno.h>
#include <stdlib.h>

struct sio_assembly {
        struct sio_packet packet; /* its slices lie in held */
        size_t bytes_max;
        struct buf held;   /* namespace, payload, then what has come of the attachments */
        uint32_t come;     /* < packet.attachments until it is finished */
        struct slice at[]; /* packet.attachments; p is set when all have come, n as they come */
};

int sio_assembly_new(const struct sio_packet *p, size_t bytes_max, struct sio_assembly **ret)
{
        CHECK(p->attachments > 0);
        if (!sio_placeholders_valid(p->payload, p->attachments))
                return -EINVAL;
        if (p->nsp.n > bytes_max || p->payload.n > bytes_max - p->nsp.n)
                return -EMSGSIZE;
        struct sio_assembly *a = xcalloc(1, sizeof(*a) + p->attachments * sizeof(a->at[0]));
        a->packet = *p;
        a->bytes_max = bytes_max;
        buf_add_slice(&a->held, p->nsp);
        buf_add_slice(&a->held, p->payload);
        *ret = a;
        return 0;
}

struct sio_assembly *sio_assembly_free(struct sio_assembly *a)
{
        if (a)
                buf_done(&a->held);
        free(a);
        return NULL;
}

/* The buffer moves while it grows, so pointers into it are made once, at the end. */
static void point(struct sio_assembly *a)
{
        const char *p = a->held.p;
        a->packet.nsp.p = p;
        p += a->packet.nsp.n;
        a->packet.payload.p = p;
        p += a->packet.payload.n;
        for (uint32_t i = 0; i < a->packet.attachments; i++) {
                a->at[i].p = p;
                p += a->at[i].n;
        }
}

int sio_assembly_add(struct sio_assembly *a, struct slice bytes)
{
        CHECK(a->come < a->packet.attachments);
        if (bytes.n > a->bytes_max - a->held.n)
                return -EMSGSIZE;
        buf_add_slice(&a->held, bytes);
        a->at[a->come++].n = bytes.n;
        if (a->come < a->packet.attachments)
                return 0;
        point(a);
        return 1;
}

const struct sio_packet *sio_assembly_packet(const struct sio_assembly *a)
{
        CHECK(a->come == a->packet.attachments);
        return &a->packet;
}

const struct slice *sio_assembly_attachments(const struct sio_assembly *a)
{
        CHECK(a->come == a->packet.attachments);
        return a->at;
}
