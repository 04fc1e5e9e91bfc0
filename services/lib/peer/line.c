#include "peer/line.h"

#include "base/hash.h"
#include <arpa/inet.h>

#define MAGIC "TERN1 "
#define PURPOSE "line"
#define TIME_MAX INT64_C(253402300799999) /* the year 9999 */
#define NONCE_TEXT 22
#define MAC_TEXT 43

static bool is_sid(struct slice s)
{
        if (s.n == 0 || s.n > PEER_SID_MAX)
                return false;
        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];
                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                            c == '-' || c == '_'))
                        return false;
        }
        return true;
}

static bool is_address(struct slice s)
{
        char text[PEER_ADDR_MAX + 1];
        struct in6_addr any;
        return slice_copy(s, text, sizeof(text)) && !memchr(s.p, '\0', s.n) &&
               (inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1);
}

size_t peer_line_write(const struct peer_keys *keys, struct slice sid, struct slice client_addr,
        int64_t time_ms, char ret[PEER_LINE_MAX])
{
        uint8_t nonce[PEER_NONCE_BYTES], mac[PEER_MAC_BYTES];
        char nonce_text[base64_len(PEER_NONCE_BYTES)];
        if (!is_sid(sid) || (client_addr.n && !is_address(client_addr)) || time_ms < 0 ||
                time_ms > TIME_MAX)
                return 0;
        random_bytes(nonce, sizeof(nonce));
        size_t nonce_n = base64url_encode(nonce, sizeof(nonce), nonce_text);
        struct slice addr = client_addr.n ? client_addr : SLICE_LIT("-");
        int n = snprintf(ret, PEER_LINE_MAX, MAGIC "%.*s %.*s %lld %.*s", SLICE_ARG(sid),
                SLICE_ARG(addr), (long long)time_ms, (int)nonce_n, nonce_text);
        CHECK(n > 0 && (size_t)n + 1 + base64_len(PEER_MAC_BYTES) + 1 <= PEER_LINE_MAX);
        size_t at = (size_t)n;
        peer_mac(keys, 0, PURPOSE, slice_of(ret, at), mac);
        ret[at++] = ' ';
        at += base64url_encode(mac, sizeof(mac), ret + at);
        ret[at++] = '\n';
        return at;
}

/* The next field and the blank behind it. */
static struct slice next_field(struct slice *rest)
{
        ptrdiff_t blank = slice_find(*rest, ' ');
        struct slice field = slice_of(rest->p, blank < 0 ? rest->n : (size_t)blank);
        *rest = blank < 0 ? SLICE_NONE : slice_from(*rest, (size_t)blank + 1);
        return field;
}

static bool read_fields(struct slice text, struct peer_line *l, uint8_t mac[PEER_MAC_BYTES])
{
        if (!slice_starts(text, MAGIC))
                return false;
        struct slice rest = slice_from(text, sizeof(MAGIC) - 1);
        struct slice sid = next_field(&rest), addr = next_field(&rest), time = next_field(&rest),
                     nonce = next_field(&rest), code = next_field(&rest);
        uint64_t ms;
        bool padded = time.n > 1 && time.p[0] == '0';
        if (rest.p || padded || !is_sid(sid) || nonce.n != NONCE_TEXT || code.n != MAC_TEXT ||
                !slice_to_u64(time, (uint64_t)TIME_MAX, &ms) ||
                base64url_decode(nonce, l->nonce, PEER_NONCE_BYTES) != PEER_NONCE_BYTES ||
                base64url_decode(code, mac, PEER_MAC_BYTES) != PEER_MAC_BYTES)
                return false;
        l->time_ms = (int64_t)ms;
        if (slice_is(addr, "-"))
                addr = SLICE_NONE;
        else if (!is_address(addr))
                return false;
        return slice_copy(sid, l->sid, sizeof(l->sid)) &&
               slice_copy(addr, l->client_addr, sizeof(l->client_addr));
}

static bool signed_by_one(
        const struct peer_keys *keys, struct slice text, const uint8_t mac[PEER_MAC_BYTES])
{
        uint8_t own[PEER_MAC_BYTES];
        for (unsigned i = 0; i < keys->count; i++) {
                peer_mac(keys, i, PURPOSE, text, own);
                if (peer_mac_equal(own, mac, sizeof(own)))
                        return true;
        }
        return false;
}

enum peer_verdict peer_line_read(const struct peer_keys *keys, struct slice text, int64_t now_ms,
        uint32_t window_ms, struct peer_line *ret)
{
        struct peer_line l;
        uint8_t mac[PEER_MAC_BYTES];
        if (text.n && text.p[text.n - 1] == '\n')
                text.n--;
        if (text.n >= PEER_LINE_MAX || !read_fields(text, &l, mac))
                return PEER_MALFORMED;
        if (!signed_by_one(keys, slice_of(text.p, text.n - 1 - MAC_TEXT), mac))
                return PEER_WRONG_KEY;
        if (l.time_ms > now_ms + (int64_t)window_ms || l.time_ms < now_ms - (int64_t)window_ms)
                return PEER_STALE;
        *ret = l;
        return PEER_ACCEPTED;
}
