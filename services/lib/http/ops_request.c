/*
 * ops_request - what the guest of the ops port sees of a request.
 */
#include "http/ops.h"

#include "http/ops_internal.h"

#include <civetweb.h>
#include <errno.h>

static const char *reason_of(int status)
{
        switch (status) {
        case 200:
                return "OK";
        case 202:
                return "Accepted";
        case 302:
                return "Found";
        case 400:
                return "Bad Request";
        case 401:
                return "Unauthorized";
        case 403:
                return "Forbidden";
        case 404:
                return "Not Found";
        case 405:
                return "Method Not Allowed";
        case 409:
                return "Conflict";
        case 413:
                return "Content Too Large";
        case 415:
                return "Unsupported Media Type";
        case 503:
                return "Service Unavailable";
        case 504:
                return "Gateway Timeout";
        default:
                return "Error";
        }
}

void ops_write(struct mg_connection *conn, int status, const char *type, const char *headers,
        struct slice body)
{
        bool head_only = strcmp(mg_get_request_info(conn)->request_method, "HEAD") == 0;
        struct buf b = BUF_EMPTY;
        buf_printf(&b,
                "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: "
                "no-store\r\n%sConnection: close\r\n\r\n",
                status, reason_of(status), type, body.n, headers);
        if (!head_only)
                buf_add_slice(&b, body);
        mg_write(conn, b.p, b.n);
        buf_done(&b);
}

struct slice ops_method(const struct ops_request *rq)
{
        return slice_str(mg_get_request_info(rq->conn)->request_method);
}

struct slice ops_path(const struct ops_request *rq)
{
        return slice_str(mg_get_request_info(rq->conn)->local_uri);
}

struct slice ops_header(const struct ops_request *rq, const char *name)
{
        return slice_str(mg_get_header(rq->conn, name));
}

bool ops_query(const struct ops_request *rq, const char *name, char *dst, size_t cap)
{
        const char *query = mg_get_request_info(rq->conn)->query_string;
        dst[0] = '\0';
        if (!query)
                return false;
        int n = mg_get_var(query, strlen(query), name, dst, cap);
        if (n < 0 || strlen(dst) != (size_t)n) {
                dst[0] = '\0';
                return false;
        }
        return true;
}

int ops_body(struct ops_request *rq, size_t bytes_max, struct buf *out)
{
        long long claimed = mg_get_request_info(rq->conn)->content_length;
        if (claimed > (long long)bytes_max)
                return -EMSGSIZE;
        size_t before = out->n;
        for (;;) {
                int n = mg_read(rq->conn, buf_reserve(out, 4096), 4096);
                if (n < 0)
                        return -ECONNRESET;
                if (n == 0)
                        break;
                buf_commit(out, (size_t)n);
                if (out->n - before > bytes_max)
                        return -EMSGSIZE;
        }
        return claimed >= 0 && out->n - before != (size_t)claimed ? -ECONNRESET : 0;
}

void ops_reply(struct ops_request *rq, int status, const char *content_type, const char *headers,
        struct slice body)
{
        CHECK(!rq->answered);
        rq->answered = true;
        ops_write(rq->conn, status, content_type, headers, body);
}
