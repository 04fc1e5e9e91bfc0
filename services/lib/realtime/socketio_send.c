#include "realtime/socketio_internal.h"

#include "realtime/frames.h"

static struct msg *event_frame(struct slice nsp, struct slice name, struct slice args,
        struct slice cursor, const struct slice *attachments, size_t count, int64_t ack_id)
{
        struct buf text = BUF_EMPTY;
        sio_encode_event(&text, nsp, name, args, cursor, count, ack_id);
        struct msg *m = frame_packet(buf_slice(&text), attachments, count);
        if (cursor.n) { /* the text, with which the polling form begins, ends in `"<cursor>"]` */
                m->cursor_at = (uint32_t)(m->poll_at + text.n - 2 - cursor.n);
                m->cursor_n = (uint32_t)cursor.n;
        }
        buf_done(&text);
        return m;
}

struct msg *sio_frame(struct slice nsp, struct slice name, struct slice args_json,
        struct slice cursor, const struct slice *attachments, size_t attachment_count)
{
        return event_frame(nsp, name, args_json, cursor, attachments, attachment_count, -1);
}

void sio_emit(struct sio_socket *s, const char *event, struct slice args_json)
{
        if (sio_connected(s))
                engine_send(sio_session(s->conn), event_frame(sio_nsp(s), slice_str(event),
                                                          args_json, SLICE_NONE, NULL, 0, -1));
}

int64_t sio_emit_ack(struct sio_socket *s, const char *event, struct slice args_json,
        const struct slice *attachments, size_t count)
{
        int64_t id = s->conn->ss->next_ack++;
        if (sio_connected(s))
                engine_send(
                        sio_session(s->conn), event_frame(sio_nsp(s), slice_str(event), args_json,
                                                      SLICE_NONE, attachments, count, id));
        return id;
}

void sio_ack_binary(struct sio_socket *s, int64_t ack_id, struct slice args_json,
        const struct slice *attachments, size_t count)
{
        if (!sio_connected(s) || ack_id < 0)
                return;
        struct buf text = BUF_EMPTY;
        sio_encode_ack(&text, sio_nsp(s), ack_id, args_json, count);
        engine_send(sio_session(s->conn), frame_packet(buf_slice(&text), attachments, count));
        buf_done(&text);
}

void sio_ack(struct sio_socket *s, int64_t ack_id, struct slice args_json)
{
        sio_ack_binary(s, ack_id, args_json, NULL, 0);
}

int sio_push(struct sio_socket *s, struct msg *m, bool catchup)
{
        if (s->state != SOCKET_CONNECTED)
                return 0;
        return engine_push(sio_session(s->conn), m, catchup);
}

int sio_push_early(struct sio_socket *s, struct msg *m)
{
        if (s->state != SOCKET_NEW)
                return 0;
        return engine_push(sio_session(s->conn), m, false);
}

void sio_flush(struct sio_socket *s)
{
        engine_flush(sio_session(s->conn));
}
