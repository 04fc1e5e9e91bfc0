/*
 * Socket.IO packets from the wire. The input is a sequence as a connection delivers it: text and,
 * after a byte 0x00 or 0x01, attachments or further text. What is accepted must be writable again,
 * and be read the same.
 */
#include "base/jsonscan.h"
#include "base/utf8.h"
#include "wire/attachments.h"

#define SOCKETIO_BYTES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_event_again(const struct sio_packet *p)
{
        struct slice name, args;
        if (!sio_event_split(p->payload, &name, &args) || name.n == 0)
                return;
        struct buf text = BUF_EMPTY, decoded = BUF_EMPTY;
        if (!json_decode_string(name, &decoded))
                buf_add_slice(&decoded, name);
        CHECK(utf8_valid(buf_slice(&decoded)));
        CHECK(!sio_name_reserved(buf_slice(&decoded)));
        sio_encode_event(
                &text, p->nsp, buf_slice(&decoded), args, SLICE_NONE, p->attachments, p->ack_id);
        /* On polling a separator would cut the packet in two. */
        CHECK(slice_find(buf_slice(&text), '\x1e') < 0);
        struct sio_packet again;
        struct slice name_again, args_again;
        CHECK(sio_decode(slice_from(buf_slice(&text), 1), 10, &again));
        CHECK(sio_event_split(again.payload, &name_again, &args_again));
        CHECK(again.type == p->type && again.ack_id == p->ack_id &&
                again.attachments == p->attachments);
        CHECK(slice_eq(again.nsp, p->nsp) && slice_eq(args_again, args));
        buf_done(&text);
        buf_done(&decoded);
}

static struct sio_assembly *feed_text(struct sio_assembly *a, struct slice text)
{
        struct sio_packet p;
        if (a || !sio_decode(text, 10, &p))
                return sio_assembly_free(a);
        CHECK(p.nsp.n > 0 && p.nsp.p[0] == '/' && utf8_valid(p.nsp));
        CHECK(p.ack_id >= -1 && p.ack_id <= SIO_ACK_MAX);
        CHECK(p.payload.n == 0 || json_check(p.payload, SIO_DEPTH_MAX, 0));
        CHECK((p.attachments > 0) == (p.type == SIO_BINARY_EVENT || p.type == SIO_BINARY_ACK));
        if (p.type == SIO_EVENT || p.type == SIO_BINARY_EVENT)
                same_event_again(&p);
        if (p.attachments > 0 && sio_assembly_new(&p, SOCKETIO_BYTES_MAX, &a) < 0)
                return NULL;
        return a;
}

static struct sio_assembly *feed_binary(struct sio_assembly *a, struct slice bytes)
{
        if (!a)
                return NULL;
        int r = sio_assembly_add(a, bytes);
        if (r == 0)
                return a;
        if (r == 1) {
                const struct sio_packet *p = sio_assembly_packet(a);
                CHECK(json_check(p->payload, SIO_DEPTH_MAX, 0));
                size_t sum = p->nsp.n + p->payload.n;
                for (uint32_t i = 0; i < p->attachments; i++)
                        sum += sio_assembly_attachments(a)[i].n;
                CHECK(sum <= SOCKETIO_BYTES_MAX);
        }
        return sio_assembly_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sio_assembly *a = NULL;
        struct slice rest = slice_of((const char *)data, size);
        bool binary = false;
        while (rest.n > 0) {
                size_t n = 0;
                while (n < rest.n && rest.p[n] != 0 && rest.p[n] != 1)
                        n++;
                struct slice piece = slice_of(rest.p, n);
                a = binary ? feed_binary(a, piece) : feed_text(a, piece);
                if (n < rest.n)
                        binary = rest.p[n] == 0;
                rest = slice_from(rest, n + 1);
        }
        sio_assembly_free(a);
        return 0;
}
