#include "auth/token.h"

#include "base/hash.h"
#include "base/jsonscan.h"
#include <errno.h>
#include <math.h>
#include <strings.h>

#define HEADER_BYTES_MAX 2048
#define MEMBERS_MAX 64
#define DEPTH_MAX 16
#define NUMBER_TEXT_MAX 32
#define DATE_MAX_S 253402300799.0 /* the last second of the year 9999 */
#define SUB_BYTES_MAX 128
#define SCOPE_BYTES_MAX 2048
#define TOPICS_BYTES_MAX 2048
#define NAME_BYTES_MAX 256

static int refuse(enum auth_failure why, enum auth_failure *ret)
{
        *ret = why;
        return -EACCES;
}

/* Decodes one part. The result is the caller's. */
static bool decode_part(struct slice part, size_t bytes_max, struct buf *ret)
{
        if (part.n == 0 || part.n > bytes_max)
                return false;
        size_t cap = part.n / 4 * 3 + 3;
        ptrdiff_t n = base64url_decode(part, buf_reserve(ret, cap), cap);
        if (n <= 0)
                return false;
        buf_commit(ret, (size_t)n);
        return true;
}

/* An object's members with decoded names. */
struct member {
        char name[64]; /* longer names are cut: nothing of ours is that long */
        struct slice value;
};

struct members {
        struct member list[MEMBERS_MAX];
        size_t n;
};

static bool same_key(struct slice a, struct slice b)
{
        struct buf x = BUF_EMPTY, y = BUF_EMPTY;
        bool same = json_decode_string(a, &x) && json_decode_string(b, &y) &&
                    slice_eq(buf_slice(&x), buf_slice(&y));
        buf_done(&x);
        buf_done(&y);
        return same;
}

static bool has_escape(struct slice key)
{
        return memchr(key.p, '\\', key.n) != NULL;
}

/* False if it is no object, holds too much, or a name twice, however it is spelled. */
static bool read_members(struct slice json, struct members *ret)
{
        struct slice keys[MEMBERS_MAX];
        ret->n = 0;
        if (!json_check(json, DEPTH_MAX, JSON_NO_NUL))
                return false;
        struct slice rest = json_first(json), key, value;
        if (!json_is_object(rest))
                return false;
        while (json_next_member(&rest, &key, &value)) {
                if (ret->n == MEMBERS_MAX)
                        return false;
                for (size_t i = 0; i < ret->n; i++)
                        if (slice_eq(keys[i], key) || ((has_escape(keys[i]) || has_escape(key)) &&
                                                              same_key(keys[i], key)))
                                return false;
                keys[ret->n] = key;
                struct member *m = &ret->list[ret->n++];
                struct buf name = BUF_EMPTY;
                if (!json_decode_string(key, &name))
                        return false;
                size_t n = name.n < sizeof(m->name) ? name.n : sizeof(m->name) - 1;
                if (n)
                        memcpy(m->name, name.p, n);
                m->name[n] = '\0';
                m->value = value;
                buf_done(&name);
        }
        return true;
}

static const struct slice *find(const struct members *ms, const char *name)
{
        for (size_t i = 0; i < ms->n; i++)
                if (strcmp(ms->list[i].name, name) == 0)
                        return &ms->list[i].value;
        return NULL;
}

/* A string of 1 to n - 1 bytes without NUL into dst[n]. */
static bool copy_text(struct slice value, char *dst, size_t n)
{
        struct buf b = BUF_EMPTY;
        bool ok = json_decode_string(value, &b) && b.n > 0 && !memchr(b.p, '\0', b.n) &&
                  slice_copy(buf_slice(&b), dst, n);
        buf_done(&b);
        return ok;
}

/* ---- the header ---- */

/* Members that ask the verifier to fetch or trust something, or to read the token in another way. */
static bool asks_too_much(const struct members *ms)
{
        static const char *const refused[] = {
                "jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc", "epk"};
        for (size_t i = 0; i < ARRAY_LEN(refused); i++)
                if (find(ms, refused[i]))
                        return true;
        return false;
}

static bool type_is_jwt(const struct members *ms)
{
        const struct slice *typ = find(ms, "typ");
        char text[32];
        if (!typ)
                return true;
        if (!copy_text(*typ, text, sizeof(text)))
                return false;
        const char *bare = strncasecmp(text, "application/", 12) == 0 ? text + 12 : text;
        return strcasecmp(bare, "JWT") == 0 || strcasecmp(bare, "at+jwt") == 0;
}

static int read_header(struct slice json, struct token_header *ret, enum auth_failure *ret_failure)
{
        struct members ms;
        char alg[16];
        ret->kid[0] = '\0';
        if (!read_members(json, &ms) || !type_is_jwt(&ms))
                return refuse(AUTH_MALFORMED, ret_failure);
        if (asks_too_much(&ms))
                return refuse(AUTH_KEY, ret_failure);
        const struct slice *value = find(&ms, "alg");
        if (!value || !copy_text(*value, alg, sizeof(alg)) ||
                !key_algorithm_of(slice_str(alg), &ret->alg))
                return refuse(AUTH_ALGORITHM, ret_failure);
        value = find(&ms, "kid");
        if (value && !copy_text(*value, ret->kid, sizeof(ret->kid)))
                return refuse(AUTH_KEY, ret_failure);
        return 0;
}

int token_open(struct slice token, struct token_header *ret, struct slice *ret_payload,
        enum auth_failure *ret_failure)
{
        if (token.n == 0)
                return refuse(AUTH_MISSING, ret_failure);
        if (token.n > TOKEN_BYTES_MAX)
                return refuse(AUTH_MALFORMED, ret_failure);
        ptrdiff_t first = slice_find(token, '.');
        struct slice rest = first < 0 ? SLICE_NONE : slice_from(token, (size_t)first + 1);
        ptrdiff_t second = slice_find(rest, '.');
        if (first < 0 || second < 0)
                return refuse(AUTH_MALFORMED, ret_failure);
        struct slice signature = slice_from(rest, (size_t)second + 1);
        struct buf json = BUF_EMPTY, bytes = BUF_EMPTY;
        int r = 0;
        if (!decode_part(slice_of(token.p, (size_t)first), HEADER_BYTES_MAX, &json))
                r = refuse(AUTH_MALFORMED, ret_failure);
        if (r == 0)
                r = read_header(buf_slice(&json), ret, ret_failure);
        if (r == 0 && !decode_part(signature, TOKEN_BYTES_MAX, &bytes))
                r = refuse(signature.n == 0 ? AUTH_SIGNATURE : AUTH_MALFORMED, ret_failure);
        *ret_payload = slice_of(rest.p, (size_t)second);
        buf_done(&bytes);
        buf_done(&json);
        return r;
}

/* ---- the claims ---- */

/* A NumericDate in ms. False for anything but a JSON number within the years 1970 to 9999: 1e400 is
 * infinite, "123" is no number. */
static bool read_date(const struct slice *value, int64_t *ret_ms)
{
        char text[NUMBER_TEXT_MAX];
        if (!value || value->n == 0 ||
                (value->p[0] != '-' && (value->p[0] < '0' || value->p[0] > '9')) ||
                !slice_copy(*value, text, sizeof(text)))
                return false;
        double s = strtod(text, NULL);
        if (!isfinite(s) || s < 0 || s > DATE_MAX_S)
                return false;
        *ret_ms = (int64_t)(s * 1000);
        return true;
}

static int check_times(const struct auth_settings *s, const struct members *ms, int64_t now_ms,
        struct identity *ret, enum auth_failure *ret_failure)
{
        const struct slice *nbf = find(ms, "nbf");
        int64_t not_before_ms = 0;
        if (!read_date(find(ms, "exp"), &ret->expires_ms) ||
                !read_date(find(ms, "iat"), &ret->issued_ms) ||
                (nbf && !read_date(nbf, &not_before_ms)))
                return refuse(AUTH_MALFORMED, ret_failure);
        if (now_ms >= ret->expires_ms + s->leeway_ms)
                return refuse(AUTH_EXPIRED, ret_failure);
        if (now_ms + s->leeway_ms < not_before_ms || now_ms + s->leeway_ms < ret->issued_ms)
                return refuse(AUTH_NOT_YET, ret_failure);
        return 0;
}

static bool text_equals(struct slice value, const char *want)
{
        struct buf b = BUF_EMPTY;
        bool same = json_decode_string(value, &b) && slice_is(buf_slice(&b), want);
        buf_done(&b);
        return same;
}

/* True if value is that string, or an array that holds it. */
static bool names(const struct slice *value, const char *want)
{
        if (!value)
                return false;
        if (!json_is_array(*value))
                return text_equals(*value, want);
        struct slice rest = *value, item;
        while (json_next(&rest, &item))
                if (text_equals(item, want))
                        return true;
        return false;
}

static int check_origin(const struct auth_settings *s, const struct members *ms,
        struct identity *ret, enum auth_failure *ret_failure)
{
        const struct slice *iss = find(ms, "iss"), *aud = find(ms, "aud");
        bool any = !s->audience || !s->audience[0];
        if (s->issuer && s->issuer[0] && (!iss || !text_equals(*iss, s->issuer)))
                return refuse(AUTH_ISSUER, ret_failure);
        bool ours = !any && names(aud, s->audience);
        ret->stream_only = !ours && names(aud, "stream");
        if (!ours && !ret->stream_only && !any)
                return refuse(AUTH_AUDIENCE, ret_failure);
        return 0;
}

/* A string, or an array of strings that are joined with blanks; "" if absent. Owned by the caller;
 * NULL if it is neither or too long. */
static char *read_words(const struct slice *value, size_t bytes_max)
{
        struct buf b = BUF_EMPTY;
        bool ok = true;
        if (value && json_is_array(*value)) {
                struct slice rest = *value, item;
                while (ok && json_next(&rest, &item)) {
                        if (b.n)
                                buf_add_char(&b, ' ');
                        ok = json_decode_string(item, &b);
                }
        } else if (value) {
                ok = json_decode_string(*value, &b);
        }
        if (!ok || b.n > bytes_max || (b.n && memchr(b.p, '\0', b.n))) {
                buf_done(&b);
                return NULL;
        }
        return buf_take(&b, NULL);
}

bool token_subject_valid(struct slice sub)
{
        if (sub.n == 0 || sub.n > SUB_BYTES_MAX)
                return false;
        for (size_t i = 0; i < sub.n; i++) {
                char c = sub.p[i];
                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                            (c && strchr("._~@:|-", c))))
                        return false;
        }
        return true;
}

static int read_person(
        const struct members *ms, struct identity *ret, enum auth_failure *ret_failure)
{
        const struct slice *sub = find(ms, "sub");
        if (!sub || !copy_text(*sub, ret->sub, sizeof(ret->sub)) ||
                !token_subject_valid(slice_str(ret->sub)))
                return refuse(AUTH_SUBJECT, ret_failure);
        ret->scope = read_words(find(ms, "scope"), SCOPE_BYTES_MAX);
        ret->topics = read_words(find(ms, "topics"), TOPICS_BYTES_MAX);
        ret->name = read_words(find(ms, "name"), NAME_BYTES_MAX);
        if (!ret->scope || !ret->topics)
                return refuse(AUTH_SCOPE, ret_failure);
        if (!ret->name)
                ret->name = xstrdup("");
        return 0;
}

int token_claims(const struct auth_settings *s, struct slice payload, int64_t now_wall_ms,
        struct identity *ret, enum auth_failure *ret_failure)
{
        struct buf json = BUF_EMPTY;
        struct members ms;
        struct identity id = {0};
        int r = 0;
        if (!decode_part(payload, TOKEN_BYTES_MAX, &json) || !read_members(buf_slice(&json), &ms))
                r = refuse(AUTH_MALFORMED, ret_failure);
        if (r == 0)
                r = check_times(s, &ms, now_wall_ms, &id, ret_failure);
        if (r == 0)
                r = check_origin(s, &ms, &id, ret_failure);
        if (r == 0)
                r = read_person(&ms, &id, ret_failure);
        buf_done(&json);
        if (r == 0)
                *ret = id;
        else
                identity_done(&id);
        return r;
}
