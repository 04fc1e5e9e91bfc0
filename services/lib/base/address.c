#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

struct network {
        uint8_t bytes[16], n, bits;
};

struct networks {
        size_t count;
        struct network list[];
};

size_t address_bytes(struct slice text, uint8_t ret[16])
{
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
        char copy[ADDRESS_TEXT];
        memset(ret, 0, 16);
        if (text.n == 0 || !slice_copy(text, copy, sizeof(copy)) || strlen(copy) != text.n)
                return 0;
        if (inet_pton(AF_INET, copy, ret) == 1)
                return 4;
        if (inet_pton(AF_INET6, copy, ret) != 1) {
                memset(ret, 0, 16);
                return 0;
        }
        if (memcmp(ret, mapped, sizeof(mapped)) != 0)
                return 16;
        memmove(ret, ret + 12, 4);
        memset(ret + 4, 0, 12);
        return 4;
}

size_t address_key(struct slice text, uint8_t ret[16])
{
        size_t n = address_bytes(text, ret);
        return n == 16 ? 8 : n;
}

static bool parse_network(struct slice item, struct network *ret)
{
        ptrdiff_t slash = slice_find(item, '/');
        uint64_t bits;
        size_t n = address_bytes(slice_of(item.p, slash < 0 ? item.n : (size_t)slash), ret->bytes);
        if (n == 0)
                return false;
        bits = n * 8;
        if (slash >= 0 && !slice_to_u64(slice_from(item, (size_t)slash + 1), n * 8, &bits))
                return false;
        ret->n = (uint8_t)n;
        ret->bits = (uint8_t)bits;
        return true;
}

static bool next_item(struct slice *rest, struct slice *ret)
{
        while (rest->n) {
                ptrdiff_t comma = slice_find(*rest, ',');
                *ret = slice_of(rest->p, comma < 0 ? rest->n : (size_t)comma);
                *rest = slice_from(*rest, comma < 0 ? rest->n : (size_t)comma + 1);
                while (ret->n && ret->p[0] == ' ')
                        *ret = slice_from(*ret, 1);
                while (ret->n && ret->p[ret->n - 1] == ' ')
                        ret->n--;
                if (ret->n)
                        return true;
        }
        return false;
}

int networks_new(const char *list, struct networks **ret, struct slice *ret_bad)
{
        struct slice rest = slice_str(list), item;
        size_t most = 0;
        while (next_item(&rest, &item))
                most++;
        struct networks *n = xcalloc(1, sizeof(*n) + most * sizeof(n->list[0]));
        rest = slice_str(list);
        while (next_item(&rest, &item)) {
                if (!parse_network(item, &n->list[n->count])) {
                        *ret_bad = item;
                        free(n);
                        return -EINVAL;
                }
                n->count++;
        }
        *ret = n;
        return 0;
}

struct networks *networks_free(struct networks *n)
{
        free(n);
        return NULL;
}

static bool holds(const struct network *net, const uint8_t *bytes, size_t n)
{
        size_t whole = net->bits / 8, rest = net->bits % 8;
        if (net->n != n || memcmp(net->bytes, bytes, whole) != 0)
                return false;
        return rest == 0 || (net->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0;
}

bool networks_hold(const struct networks *n, struct slice address)
{
        uint8_t bytes[16];
        if (!n || n->count == 0)
                return false;
        size_t len = address_bytes(address, bytes);
        for (size_t i = 0; len && i < n->count; i++)
                if (holds(&n->list[i], bytes, len))
                        return true;
        return false;
}

/* The last item of a list, which is cut off it. */
static struct slice take_last(struct slice *list)
{
        size_t from = list->n;
        while (from > 0 && list->p[from - 1] != ',')
                from--;
        struct slice item = slice_from(*list, from);
        list->n = from > 0 ? from - 1 : 0;
        while (item.n && item.p[0] == ' ')
                item = slice_from(item, 1);
        while (item.n && item.p[item.n - 1] == ' ')
                item.n--;
        return item;
}

struct slice address_behind(
        const struct networks *trusted, struct slice peer, struct slice forwarded)
{
        struct slice at = peer;
        while (forwarded.n && networks_hold(trusted, at)) {
                uint8_t bytes[16];
                struct slice before = take_last(&forwarded);
                if (address_bytes(before, bytes) == 0)
                        break;
                at = before;
        }
        return at;
}
