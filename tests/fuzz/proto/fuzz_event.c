/*
 * Records as any producer may write them: five lines, topic, type, id, key and the value (all that is left). What
 * normalizing and the validator let through can be written again and is then read as the same event; what clients
 * would be shown of it is JSON.
 */
#include "proto/event.h"

#include "base/jsonscan.h"
#include "base/utf8.h"
#include <stdlib.h>

#define DEPTH_MAX 128

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice take_line(struct slice *rest)
{
        ptrdiff_t n = slice_find(*rest, '\n');
        struct slice line = slice_of(rest->p, n < 0 ? rest->n : (size_t)n);
        *rest = slice_from(*rest, n < 0 ? rest->n : (size_t)n + 1);
        return line;
}

static void same_again(const struct event_envelope *env, const struct event *e)
{
        struct buf value = BUF_EMPTY, twice = BUF_EMPTY, key = BUF_EMPTY, shown = BUF_EMPTY;
        struct event again;
        struct event_error err;
        event_encode(e, &value);
        CHECK(json_check(buf_slice(&value), DEPTH_MAX, JSON_NO_NUL));
        int r = event_parse(env->topic, env->type, env->id, env->key, buf_slice(&value), &again, &err);
        CHECK(r == 0);
        event_encode(&again, &twice);
        CHECK(slice_eq(buf_slice(&value), buf_slice(&twice)));
        event_key(e, &key);
        CHECK(key.n == 0 || event_key_fits(e, buf_slice(&key)));
        event_client_json(e, 1, 0, &shown);
        CHECK(shown.n == 0 || json_check(buf_slice(&shown), DEPTH_MAX, 0));
        event_done(&again);
        buf_done(&value);
        buf_done(&twice);
        buf_done(&key);
        buf_done(&shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *copy = malloc(size ? size : 1); /* exactly as long: a byte too far is seen */
        if (size)
                memcpy(copy, data, size);
        struct slice rest = slice_of(copy, size);
        struct event_envelope env = {.partition = 3, .offset = 7};
        env.topic = take_line(&rest);
        env.type = take_line(&rest);
        env.id = take_line(&rest);
        env.key = take_line(&rest);
        env.value = rest;
        struct buf scratch = BUF_EMPTY;
        struct event_error err = {0};
        struct event e;
        if (event_normalize(&env, &scratch, &err) == 0 &&
                event_parse(env.topic, env.type, env.id, env.key, env.value, &e, &err) == 0) {
                same_again(&env, &e);
                event_done(&e);
        } else {
                CHECK(err.fault != EVENT_OK && event_fault_name(err.fault)[0]);
        }
        buf_done(&scratch);
        free(copy);
        return 0;
}
