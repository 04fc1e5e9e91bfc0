/*
 * JSON: the validator, and looks into text whether it is valid or not. Valid text stays valid when
 * compacted, every look agrees with every other, and no bound of depth or flag makes a refused text
 * accepted.
 */
#include "base/jsonscan.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define JSON_DEPTH 32

/* Elements or members, however they are counted. */
static size_t count_children(struct slice v)
{
        struct slice rest = v, key, item;
        size_t n = 0;
        if (json_is_array(v))
                while (json_next(&rest, &item)) {
                        CHECK(item.p >= v.p && item.p + item.n <= v.p + v.n);
                        n++;
                }
        else
                while (json_next_member(&rest, &key, &item)) {
                        CHECK(key.p >= v.p && item.p + item.n <= v.p + v.n);
                        n++;
                }
        return n;
}

static void walk(struct slice v, bool valid)
{
        struct json_walk w = json_walk_of(v);
        struct json_step st;
        size_t depth = 0, top = 0;
        while (json_walk_next(&w, &st)) {
                CHECK(st.value.p >= v.p && st.value.p + st.value.n <= v.p + v.n);
                if (st.kind == JSON_STEP_CLOSE) {
                        if (depth > 0)
                                depth--;
                        continue;
                }
                if (depth == 1)
                        top++;
                if (st.kind == JSON_STEP_OPEN)
                        depth++;
                else if (valid)
                        CHECK(json_check(st.value, 0, 0));
        }
        if (!valid)
                return;
        CHECK(depth == 0);
        struct slice first = json_first(v);
        if (json_is_array(first) || json_is_object(first))
                CHECK(top == count_children(first));
}

static void look_at_valid(struct slice text)
{
        struct slice first = json_first(text);
        struct buf compact = BUF_EMPTY, twice = BUF_EMPTY;
        CHECK(json_check(first, JSON_DEPTH, 0));
        CHECK(json_check_prefix(text, JSON_DEPTH, 0) == (size_t)(first.p + first.n - text.p));
        json_compact(text, &compact);
        CHECK(json_check(buf_slice(&compact), JSON_DEPTH, 0));
        CHECK(slice_find(buf_slice(&compact), '\n') < 0 && compact.n <= text.n);
        json_compact(buf_slice(&compact), &twice);
        CHECK(slice_eq(buf_slice(&compact), buf_slice(&twice)));
        buf_reset(&twice);
        if (json_decode_string(first, &twice)) {
                CHECK(utf8_valid(buf_slice(&twice)));
                buf_reset(&compact);
                buf_add_json_str(&compact, buf_slice(&twice));
                CHECK(json_check(buf_slice(&compact), 0, JSON_NO_SURROGATES));
        }
        CHECK(utf8_valid(text));
        buf_done(&compact);
        buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct slice text = slice_of((const char *)data, size), v;
        bool valid = json_check(text, JSON_DEPTH, 0);
        if (json_check(text, JSON_DEPTH, JSON_NO_NUL | JSON_NO_SURROGATES) ||
                json_check(text, JSON_DEPTH / 2, 0))
                CHECK(valid);
        if (valid)
                look_at_valid(text);
        walk(text, valid);
        count_children(json_first(text));
        int64_t k;
        if (json_member(text, "a", &v) && json_int(v, -5, 5, &k))
                CHECK(k >= -5 && k <= 5);
        return 0;
}
