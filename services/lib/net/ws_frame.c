/* What a server sends: headers and control frames, unmasked and never fragmented. */
#include "net/ws.h"

#define CONTROL_PAYLOAD_MAX 125

size_t ws_frame_header(enum ws_opcode op, uint64_t n, char out[WS_HEADER_MAX])
{
        out[0] = (char)(0x80 | (unsigned)op);
        if (n < 126) {
                out[1] = (char)n;
                return 2;
        }
        unsigned bytes = n < 65536 ? 2 : 8;
        out[1] = bytes == 2 ? 126 : 127;
        for (unsigned i = 0; i < bytes; i++)
                out[2 + i] = (char)(n >> (8 * (bytes - 1 - i)));
        return 2 + bytes;
}

size_t ws_control_frame(enum ws_opcode op, struct slice payload, char out[WS_CONTROL_MAX])
{
        CHECK(op >= WS_OP_CLOSE);
        size_t n = payload.n < CONTROL_PAYLOAD_MAX ? payload.n : CONTROL_PAYLOAD_MAX;
        char header[WS_HEADER_MAX];
        size_t header_n = ws_frame_header(op, n, header);
        memcpy(out, header, header_n);
        if (n)
                memcpy(out + header_n, payload.p, n);
        return header_n + n;
}

size_t ws_close_frame(int code, struct slice reason, char out[WS_CONTROL_MAX])
{
        if (code == 0 || code == 1005)
                return ws_control_frame(WS_OP_CLOSE, SLICE_NONE, out);
        char payload[CONTROL_PAYLOAD_MAX] = {(char)(code >> 8), (char)code};
        size_t n = reason.n < CONTROL_PAYLOAD_MAX - 2 ? reason.n : CONTROL_PAYLOAD_MAX - 2;
        if (n)
                memcpy(payload + 2, reason.p, n);
        return ws_control_frame(WS_OP_CLOSE, slice_of(payload, 2 + n), out);
}
