#include "notification/ask.h"

#include <stdlib.h>

#define ASK_DEADLINE_MS 10500
#define ASK_WAIT_MS 12000

static void ask_release(struct rest_call *rc)
{
        struct ask *a = container_of(rc, struct ask, rest);
        free(a->user);
        free(a->id);
        free(a);
}

struct ask *ask_new(struct app *app, struct slice user, void (*operation)(struct ask *a))
{
        struct ask *a = xcalloc(1, sizeof(*a));
        rest_init(&a->rest, ask_release);
        a->gw = app->gateways[gateway_shard_of(app, user)];
        a->operation = operation;
        a->user = slice_dup(user);
        a->before = a->seq = -1;
        list_init(&a->in_gateway);
        list_init(&a->wait.link);
        return a;
}

static void start(struct mail *m)
{
        struct ask *a = container_of(m, struct ask, rest.mail);
        a->open = true;
        a->deadline_ms = gateway_now(a->gw) + ASK_DEADLINE_MS;
        list_push_back(&a->gw->asks, &a->in_gateway);
        a->operation(a);
}

void ask_run(struct ask *a, struct http_request *rq)
{
        trace_copy(http_header(rq, "traceparent"), a->trace);
        rest_ask(&a->rest, shard_mailbox(a->gw->shard), start, ASK_WAIT_MS, rq);
}

void ask_answer(struct ask *a, int status, struct slice json)
{
        if (!a->open)
                return;
        a->open = false;
        list_remove(&a->in_gateway);
        if (a->barrier)
                feed_barrier_cancel(a->barrier);
        if (a->query)
                feed_query_cancel(a->query);
        fanout_wait_cancel(&a->wait);
        a->barrier = NULL;
        a->query = NULL;
        rest_answer(&a->rest, status, json);
}

void ask_fail(struct ask *a, enum error_code code, const char *message)
{
        struct buf json = BUF_EMPTY;
        buf_printf(&json, "{\"error\":{\"code\":\"%s\",\"message\":", error_code_name(code));
        buf_add_json_str(&json, slice_str(message));
        buf_add_str(&json, "}}");
        ask_answer(a, error_code_http(code), buf_slice(&json));
        buf_done(&json);
}

void asks_expire(struct gateway *gw, int64_t now_ms)
{
        struct list *it;
        while ((it = list_first(&gw->asks))) {
                struct ask *a = list_entry(it, struct ask, in_gateway);
                if (a->deadline_ms > now_ms)
                        return;
                ask_fail(a, a->sending ? ERR_UNKNOWN : ERR_UNAVAILABLE,
                        "no answer from what is needed in time");
        }
}
