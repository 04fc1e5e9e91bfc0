/* Event-stream blocks: nothing escapes from its field. The fuzzer reads them back with a parser. */
#include "wire/eventstream.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void is(struct buf *b, const char *want)
{
        assert_string_equal(buf_cstr(b), want);
        buf_reset(b);
}

static void blocks_are_written_field_by_field(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        eventstream_block(&b, SLICE_NONE, SLICE_NONE, SLICE_LIT("{\"a\":1}"));
        is(&b, "data: {\"a\":1}\n\n");
        eventstream_block(&b, SLICE_LIT("gap"), SLICE_LIT("1.1.5.1.9"), SLICE_LIT("x"));
        is(&b, "event: gap\nid: 1.1.5.1.9\ndata: x\n\n");
        eventstream_block(&b, SLICE_NONE, SLICE_LIT("7"), SLICE_NONE);
        is(&b, "id: 7\n\n");
        eventstream_block(&b, SLICE_NONE, SLICE_NONE, SLICE_LIT(""));
        is(&b, "data: \n\n");
        eventstream_comment(&b, "hb");
        is(&b, ": hb\n\n");
        eventstream_retry(&b, 3210);
        is(&b, "retry: 3210\n\n");
        buf_done(&b);
}

static void data_is_split_at_every_kind_of_line_end(void **state)
{
        UNUSED(state);
        static const struct {
                const char *data, *want;
        } rows[] = {
                {"a\nb", "data: a\ndata: b\n\n"},
                {"a\rb", "data: a\ndata: b\n\n"},
                {"a\r\nb", "data: a\ndata: b\n\n"},
                {"a\n\rb", "data: a\ndata: \ndata: b\n\n"},
                {"a\n\nb", "data: a\ndata: \ndata: b\n\n"},
                {"a\n", "data: a\ndata: \n\n"},
                {"a\r", "data: a\ndata: \n\n"},
                {"a\r\n", "data: a\ndata: \n\n"},
                {"\n", "data: \ndata: \n\n"},
                {" a", "data:  a\n\n"},
                {"a\n\nid: 9\nevent: evil\n\n",
                        "data: a\ndata: \ndata: id: 9\ndata: event: evil\ndata: \ndata: \n\n"},
        };
        struct buf b = BUF_EMPTY;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                eventstream_block(&b, SLICE_NONE, SLICE_NONE, slice_str(rows[i].data));
                is(&b, rows[i].want);
        }
        buf_done(&b);
}

static void nothing_in_a_name_or_id_ends_its_line(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        eventstream_block(
                &b, SLICE_LIT("a\nid: 9"), SLICE_LIT("1\r\n\r\ndata: x\0"), SLICE_LIT("d"));
        is(&b, "event: aid: 9\nid: 1data: x\ndata: d\n\n");
        buf_done(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(blocks_are_written_field_by_field),
                cmocka_unit_test(data_is_split_at_every_kind_of_line_end),
                cmocka_unit_test(nothing_in_a_name_or_id_ends_its_line),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
