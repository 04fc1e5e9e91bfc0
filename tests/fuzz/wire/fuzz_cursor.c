/* Cursors from clients: the first byte gives the number of slots, 0 an event stream's id. What is
 * accepted has no other text. */
#include "wire/cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_vector(struct slice text, size_t slots)
{
        uint32_t epoch;
        int64_t vector[CURSOR_SLOTS_MAX];
        char again[CURSOR_TEXT_MAX];
        if (cursor_parse(text, slots, &epoch, vector) < 0)
                return;
        CHECK(epoch >= 1 && epoch <= CURSOR_EPOCH_MAX);
        for (size_t i = 0; i < slots; i++)
                CHECK(vector[i] >= 0 && vector[i] <= CURSOR_OFFSET_MAX);
        size_t n = cursor_encode(epoch, vector, slots, again);
        CHECK(slice_eq(slice_of(again, n), text));
}

static void read_pair(struct slice text)
{
        uint32_t epoch[2];
        int64_t offset[2];
        char again[128];
        if (cursor_sse_parse(text, epoch, offset) < 0)
                return;
        for (int i = 0; i < 2; i++)
                CHECK(epoch[i] >= 1 && epoch[i] <= CURSOR_EPOCH_MAX && offset[i] >= 0 &&
                        offset[i] <= CURSOR_OFFSET_MAX);
        size_t n = cursor_sse_encode(epoch, offset, again);
        CHECK(slice_eq(slice_of(again, n), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size == 0)
                return 0;
        struct slice text = slice_of((const char *)data + 1, size - 1);
        if (data[0] == 0)
                read_pair(text);
        else
                read_vector(text, data[0] % (CURSOR_SLOTS_MAX + 1));
        return 0;
}
