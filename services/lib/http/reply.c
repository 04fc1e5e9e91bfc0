#include "http/internal.h"

#include "base/clock.h"
#include <errno.h>

struct status_row {
        int status;
        const char *reason, *code;
};

/* Codes are proto's; only those that the router itself answers with need one. */
static const struct status_row statuses[] = {
        {200, "OK", ""},
        {201, "Created", ""},
        {202, "Accepted", ""},
        {204, "No Content", ""},
        {301, "Moved Permanently", ""},
        {302, "Found", ""},
        {304, "Not Modified", ""},
        {400, "Bad Request", "invalid"},
        {401, "Unauthorized", "forbidden"},
        {403, "Forbidden", "forbidden"},
        {404, "Not Found", "not_found"},
        {405, "Method Not Allowed", "invalid"},
        {408, "Request Timeout", "invalid"},
        {409, "Conflict", "invalid"},
        {413, "Payload Too Large", "invalid"},
        {414, "URI Too Long", "invalid"},
        {415, "Unsupported Media Type", "invalid"},
        {417, "Expectation Failed", "invalid"},
        {422, "Unprocessable Entity", "invalid"},
        {426, "Upgrade Required", "invalid"},
        {429, "Too Many Requests", "rate_limited"},
        {431, "Request Header Fields Too Large", "invalid"},
        {500, "Internal Server Error", "failed"},
        {501, "Not Implemented", "invalid"},
        {502, "Bad Gateway", "unavailable"},
        {503, "Service Unavailable", "busy"},
        {504, "Gateway Timeout", "unknown"},
        {505, "HTTP Version Not Supported", "invalid"},
};

static const struct status_row *status_find(int status)
{
        for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
                if (statuses[i].status == status)
                        return &statuses[i];
        return NULL;
}

const char *reply_code(int status)
{
        const struct status_row *row = status_find(status);
        return row && row->code[0] ? row->code : "failed";
}

static void add_date(struct buf *out)
{
        time_t now = (time_t)(clock_wall_ms() / 1000);
        struct tm tm;
        char text[64];
        if (gmtime_r(&now, &tm) &&
                strftime(text, sizeof(text), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm) > 0)
                buf_add_str(out, text);
}

static bool may_keep(struct http_conn *hc)
{
        if (hc->refused || !hc->head.keep_alive || hc->head.websocket ||
                atomic_load_explicit(&hc->srv->stopping, memory_order_relaxed))
                return false;
        body_discard(hc);
        return hc->body_done;
}

void reply_write(struct http_conn *hc, int status, const char *content_type,
        struct slice extra_headers, struct slice body)
{
        CHECK(status >= 200 && status < 600);
        if (hc->answered || hc->fd < 0)
                return;
        hc->keep = may_keep(hc);
        hc->answered = true;
        const struct status_row *row = status_find(status);
        bool bodiless = status == 304 || slice_is(hc->head.method, "HEAD");
        struct buf head = BUF_EMPTY;
        buf_printf(&head, "HTTP/1.1 %d %s\r\n", status, row ? row->reason : "Status");
        add_date(&head);
        if (content_type && content_type[0])
                buf_printf(&head, "Content-Type: %s\r\n", content_type);
        if (status != 304)
                buf_printf(&head, "Content-Length: %zu\r\n", status == 204 ? 0 : body.n);
        buf_add_str(&head, hc->keep ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
        cors_headers(hc, &head);
        buf_add_slice(&head, extra_headers);
        buf_add_str(&head, "\r\n");
        conn_write(hc, buf_slice(&head), bodiless || status == 204 ? SLICE_NONE : body);
        buf_done(&head);
        metrics_add(hc->srv->metrics, M_http_requests, (unsigned)status / 100 - 1, 1);
}

void reply_error(struct http_conn *hc, int status, const char *code, const char *message,
        struct slice extra_headers)
{
        struct buf json = BUF_EMPTY, headers = BUF_EMPTY;
        buf_add_str(&json, "{\"error\":{\"code\":");
        buf_add_json_str(&json, slice_str(code));
        buf_add_str(&json, ",\"message\":");
        buf_add_json_str(&json, slice_str(message));
        buf_add_str(&json, "}}");
        buf_add_str(&headers, "Cache-Control: no-store\r\n");
        buf_add_slice(&headers, extra_headers);
        reply_write(hc, status, "application/json", buf_slice(&headers), buf_slice(&json));
        buf_done(&headers);
        buf_done(&json);
}

void http_reply(struct http_request *rq, int status, const char *content_type,
        struct slice extra_headers, struct slice body)
{
        reply_write(rq->hc, status, content_type, extra_headers, body);
}

void http_reply_json(struct http_request *rq, int status, struct slice json)
{
        reply_write(
                rq->hc, status, "application/json", SLICE_LIT("Cache-Control: no-store\r\n"), json);
}

void http_reply_error(struct http_request *rq, int status, const char *code, const char *message)
{
        reply_error(rq->hc, status, code, message, SLICE_NONE);
}

bool http_body_or_reply(struct http_request *rq, size_t bytes_max, struct slice *ret)
{
        int r = http_body(rq, bytes_max, ret);
        if (r == 0)
                return true;
        if (r == -EMSGSIZE)
                http_reply_error(rq, 413, "invalid", "the body is too long");
        else if (r == -ETIMEDOUT)
                http_reply_error(rq, 408, "invalid", "the body did not come in time");
        else if (r == -EBUSY)
                http_reply_error(
                        rq, 503, "busy", "too many requests are sending their bodies slowly");
        else if (r == -EINVAL)
                http_reply_error(rq, 400, "invalid", "malformed chunked body");
        return false; /* else the client is gone: nobody to tell */
}
