#include "base/hash.h"

#include "base/check.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

/* ---- murmur2, as Kafka's Java client computes it ---- */

uint32_t hash_murmur2(struct slice key)
{
        const uint32_t m = 0x5bd1e995;
        uint32_t h = 0x9747b28c ^ (uint32_t)key.n;
        const unsigned char *p = (const unsigned char *)key.p;
        size_t words = key.n / 4;
        for (size_t i = 0; i < words; i++, p += 4) {
                uint32_t k = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                             (uint32_t)p[3] << 24;
                k *= m;
                k ^= k >> 24;
                k *= m;
                h *= m;
                h ^= k;
        }
        switch (key.n & 3) {
        case 3:
                h ^= (uint32_t)p[2] << 16;
                /* fall through */
        case 2:
                h ^= (uint32_t)p[1] << 8;
                /* fall through */
        case 1:
                h ^= p[0];
                h *= m;
                break;
        default:
                break;
        }
        h ^= h >> 13;
        h *= m;
        h ^= h >> 15;
        return h;
}

uint32_t partition_of(struct slice key, uint32_t count)
{
        CHECK(count > 0);
        return (hash_murmur2(key) & 0x7fffffff) % count;
}

/* ---- SipHash-1-3 ---- */

static uint64_t sip_key[2];
static pthread_once_t sip_once = PTHREAD_ONCE_INIT;

static void sip_draw(void)
{
        random_bytes(sip_key, sizeof(sip_key));
}

static inline uint64_t rotl(uint64_t x, int b)
{
        return x << b | x >> (64 - b);
}

static inline void sip_round(uint64_t v[4])
{
        v[0] += v[1];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[0] = rotl(v[0], 32);
        v[2] += v[3];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[2] = rotl(v[2], 32);
}

uint64_t hash_siphash13(const uint64_t secret[2], struct slice key)
{
        uint64_t v[4] = {
                secret[0] ^ 0x736f6d6570736575ULL,
                secret[1] ^ 0x646f72616e646f6dULL,
                secret[0] ^ 0x6c7967656e657261ULL,
                secret[1] ^ 0x7465646279746573ULL,
        };
        size_t whole = key.n / 8 * 8;
        for (size_t i = 0; i < whole; i += 8) {
                uint64_t w;
                memcpy(&w, key.p + i, 8);
                v[3] ^= w;
                sip_round(v);
                v[0] ^= w;
        }
        uint64_t last = (uint64_t)key.n << 56;
        for (size_t i = whole; i < key.n; i++)
                last |= (uint64_t)(unsigned char)key.p[i] << (8 * (i - whole));
        v[3] ^= last;
        sip_round(v);
        v[0] ^= last;
        v[2] ^= 0xff;
        for (int i = 0; i < 3; i++)
                sip_round(v);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_key(struct slice key)
{
        pthread_once(&sip_once, sip_draw);
        return hash_siphash13(sip_key, key);
}

/* ---- randomness ---- */

static void draw(void *p, size_t n)
{
        char *at = p;
        while (n > 0) {
                ssize_t got = getrandom(at, n, 0);
                if (got < 0 && errno == EINTR)
                        continue;
                CHECK(got > 0);
                at += got;
                n -= (size_t)got;
        }
}

/*
 * The kernel is asked for a thread's next ids at once: a call for each would be two of ten system calls of
 * a message. What was given out is wiped, so a later look at the memory does not tell it. No process of
 * ours forks without exec.
 */
void random_bytes(void *p, size_t n)
{
        static _Thread_local struct {
                uint8_t bytes[512];
                size_t left;
        } pool;
        if (n > sizeof(pool.bytes) / 4) {
                draw(p, n);
                return;
        }
        if (pool.left < n) {
                draw(pool.bytes, sizeof(pool.bytes));
                pool.left = sizeof(pool.bytes);
        }
        pool.left -= n;
        memcpy(p, pool.bytes + pool.left, n);
        memset(pool.bytes + pool.left, 0, n);
}

uint64_t random_u64(void)
{
        uint64_t v;
        random_bytes(&v, sizeof(v));
        return v;
}

/* ---- base64 ---- */

static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t encode(const void *p, size_t n, char *dst, const char *alphabet, bool pad)
{
        const unsigned char *in = p;
        size_t at = 0;
        for (size_t i = 0; i < n; i += 3) {
                uint32_t w = (uint32_t)in[i] << 16;
                if (i + 1 < n)
                        w |= (uint32_t)in[i + 1] << 8;
                if (i + 2 < n)
                        w |= in[i + 2];
                size_t chars = n - i >= 3 ? 4 : n - i + 1;
                for (size_t k = 0; k < chars; k++)
                        dst[at++] = alphabet[w >> (18 - 6 * k) & 63];
                for (size_t k = chars; pad && k < 4; k++)
                        dst[at++] = '=';
        }
        return at;
}

size_t base64_encode(const void *p, size_t n, char *dst)
{
        return encode(p, n, dst, plain, true);
}

size_t base64url_encode(const void *p, size_t n, char *dst)
{
        return encode(p, n, dst, url, false);
}

static int digit_of(char c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        if (c == '+' || c == '-')
                return 62;
        if (c == '/' || c == '_')
                return 63;
        return -1;
}

size_t base64_decode_lenient(struct slice s, void *dst)
{
        unsigned char *out = dst;
        size_t at = 0;
        uint32_t w = 0;
        unsigned bits = 0;
        for (size_t i = 0; i < s.n && s.p[i] != '='; i++) {
                int d = digit_of(s.p[i]);
                if (d < 0)
                        continue;
                w = w << 6 | (uint32_t)d;
                bits += 6;
                if (bits >= 8) {
                        bits -= 8;
                        out[at++] = (unsigned char)(w >> bits);
                }
        }
        return at;
}

ptrdiff_t base64url_decode(struct slice s, void *dst, size_t cap)
{
        unsigned char *out = dst;
        size_t at = 0;
        uint32_t w = 0;
        unsigned bits = 0;
        if (s.n % 4 == 1)
                return -1;
        for (size_t i = 0; i < s.n; i++) {
                int d = s.p[i] == '+' || s.p[i] == '/' ? -1 : digit_of(s.p[i]);
                if (d < 0)
                        return -1;
                w = w << 6 | (uint32_t)d;
                bits += 6;
                if (bits >= 8) {
                        bits -= 8;
                        if (at == cap)
                                return -1;
                        out[at++] = (unsigned char)(w >> bits);
                }
        }
        /* Left-over bits must be zero, so that one value has one text. */
        if (w & ((1u << bits) - 1))
                return -1;
        return (ptrdiff_t)at;
}

/* ---- UUIDs ---- */

static void uuid_text(const uint8_t b[16], char ret[UUID_TEXT])
{
        static const char hex[] = "0123456789abcdef";
        char *at = ret;
        for (int i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *at++ = '-';
                *at++ = hex[b[i] >> 4];
                *at++ = hex[b[i] & 15];
        }
        *at = '\0';
}

void uuid_v7(int64_t now_ms, char ret[UUID_TEXT])
{
        uint8_t b[16];
        random_bytes(b, sizeof(b));
        for (int i = 0; i < 6; i++)
                b[i] = (uint8_t)((uint64_t)now_ms >> (40 - 8 * i));
        b[6] = (uint8_t)((b[6] & 0x0f) | 0x70);
        b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
        uuid_text(b, ret);
}

void uuid_from_digest(const uint8_t digest[16], char ret[UUID_TEXT])
{
        uint8_t b[16];
        memcpy(b, digest, sizeof(b));
        b[6] = (uint8_t)((b[6] & 0x0f) | 0x80);
        b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
        uuid_text(b, ret);
}

bool uuid_valid(struct slice s)
{
        if (s.n != 36)
                return false;
        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];
                bool dash = i == 8 || i == 13 || i == 18 || i == 23;
                bool hex =
                        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
                if (dash ? c != '-' : !hex)
                        return false;
        }
        return true;
}
