/* Sockets that rest on a shard until their whole request head lies in the kernel's buffer:
 * looks, deadlines, hand-over. */
#include "net/intake_internal.h"

#include "base/hash.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGAIN_MS 5
/* Looks at once; a head in more pieces is looked at every AGAIN_MS, so that a dribble costs no CPU. */
#define LOOKS_FREE 8

static const char too_large[] = "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: "
                                "close\r\nContent-Length: 0\r\n\r\n";
static const char too_slow[] =
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

static uint16_t bucket_of(const uint8_t *addr, uint8_t addr_n)
{
        /* A household of IPv6 has a /64. */
        return (uint16_t)hash_key(slice_of((const char *)addr, addr_n == 16 ? 8 : addr_n));
}

static void move_bucket(struct resting *r)
{
        struct intake *in = r->porch->in;
        atomic_fetch_sub_explicit(&in->buckets[r->bucket], 1, memory_order_relaxed);
        r->bucket = bucket_of(r->addr, r->addr_n);
        atomic_fetch_add_explicit(&in->buckets[r->bucket], 1, memory_order_relaxed);
}

/* Out of all books; the memory goes at the end of the turn. The descriptor is the caller's. */
static void forget(struct resting *r)
{
        struct intake *in = r->porch->in;
        list_remove(&r->again);
        atomic_fetch_sub_explicit(&in->resting, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&in->buckets[r->bucket], 1, memory_order_relaxed);
        metrics_add(in->o.metrics, M_entries_used, ENTRIES_HEADS, -1);
        metrics_add(in->o.metrics, M_intake_waiting, 0, -1);
        shard_bury(r->porch->sh, &r->grave);
}

static void drop(struct resting *r)
{
        int fd = r->grave.watch.fd;
        forget(r);
        close(fd);
}

static void refuse(struct resting *r, const char *answer, size_t n)
{
        int fd = r->grave.watch.fd;
        struct shard *sh = r->porch->sh;
        bool watched = !r->whole;
        forget(r);
        (void)!send(fd, answer, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        linger_close(sh, fd, watched);
}

static void ask_again(struct resting *r)
{
        struct porch *p = r->porch;
        if (!list_linked(&r->again))
                list_push_back(&p->again, &r->again);
        if (p->again_timer.due_ms == 0)
                shard_timer_set(p->sh, &p->again_timer, AGAIN_MS);
}

/* False: no room, and it stands in the line of those that are tried again. */
static bool hand_over(struct resting *r)
{
        struct intake *in = r->porch->in;
        char text[CONN_ADDR_TEXT];
        addr_text(r->addr, r->addr_n, text);
        if (!in->o.feed(in->o.arg, r->grave.watch.fd, text)) {
                ask_again(r);
                return false;
        }
        forget(r);
        return true;
}

static void begin_head(struct resting *r)
{
        struct porch *p = r->porch;
        if (!r->idle)
                return;
        r->idle = false;
        r->due_ms = shard_now_ms(p->sh) + p->in->o.head_ms;
        list_remove(&r->grave.link);
        list_push_back(&p->heads, &r->grave.link);
        if (p->heads_timer.due_ms == 0)
                shard_timer_set(p->sh, &p->heads_timer, p->in->o.head_ms);
}

/* Empty lines before a request are legal, and civetweb's front skips two. */
static size_t blank_lines(const char *p, size_t n)
{
        size_t skip = 0;
        while (skip < 4 && skip + 2 <= n && p[skip] == '\r' && p[skip + 1] == '\n')
                skip += 2;
        return skip;
}

static bool is_whole(const struct resting *r, const char *p, size_t n)
{
        size_t from = blank_lines(p, n);
        if (r->seen > from + 3)
                from = r->seen - 3;
        return n > from && memmem(p + from, n - from, "\r\n\r\n", 4);
}

static bool claimed(struct resting *r, struct slice head)
{
        const struct intake_options *o = &r->porch->in->o;
        if (!o->claim || r->returned)
                return false;
        char text[CONN_ADDR_TEXT];
        addr_text(r->addr, r->addr_n, text);
        return o->claim(o->arg, r->porch->sh, r->grave.watch.fd, text, head);
}

static void whole_head(struct resting *r, const char *p, size_t n)
{
        struct porch *porch = r->porch;
        shard_unwatch(porch->sh, r->grave.watch.fd);
        r->whole = true;
        size_t blank = blank_lines(p, n);
        struct list *first = list_first(&porch->again);
        if (claimed(r, slice_of(p + blank, n - blank)))
                forget(r);
        else if (first && list_entry(first, struct resting, again)->whole && first != &r->again)
                ask_again(r); /* not before those whose head has been whole for longer */
        else
                (void)hand_over(r);
}

/* The line in front of the head. False: more of it has to come, or the socket is gone. */
static bool take_line(struct resting *r, const char *p, size_t n, bool ended)
{
        const struct intake_options *o = &r->porch->in->o;
        size_t most = n < o->line_max ? n : o->line_max;
        ptrdiff_t end = slice_find(slice_of(p, most), '\n');
        if (end < 0 && most < o->line_max && !ended)
                return false;
        size_t line_n = end < 0 ? most : (size_t)end + 1;
        char addr[CONN_ADDR_TEXT] = "";
        int fd = r->grave.watch.fd;
        if (!o->line(o->arg, r->porch->sh, slice_of(p, line_n), addr) ||
                recv(fd, r->porch->sh->read_buf, line_n, MSG_DONTWAIT) != (ssize_t)line_n) {
                drop(r);
                return false;
        }
        r->lined = true;
        r->looks = 0;
        r->addr_n = addr_parse(addr, r->addr);
        move_bucket(r);
        return true;
}

/* Looks into the kernel's buffer. ended: the peer will send nothing more. */
static void look(struct resting *r, bool ended)
{
        struct porch *p = r->porch;
        size_t max = p->in->o.head_bytes_max;
        ssize_t got;
        do {
                got = recv(r->grave.watch.fd, p->sh->read_buf, max, MSG_PEEK | MSG_DONTWAIT);
        } while (got < 0 && errno == EINTR);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
                if (ended)
                        drop(r);
                return;
        }
        if (got <= 0) {
                drop(r);
                return;
        }
        begin_head(r);
        size_t n = (size_t)got;
        if (!r->lined) {
                if (take_line(r, p->sh->read_buf, n, ended))
                        look(r, ended); /* at what stood behind it */
        } else if (is_whole(r, p->sh->read_buf, n)) {
                whole_head(r, p->sh->read_buf, n);
        } else if (n >= max) {
                intake_count(p->in, INTAKE_TOO_LARGE);
                refuse(r, too_large, sizeof(too_large) - 1);
        } else if (ended) {
                drop(r);
        } else {
                r->seen = (uint32_t)n;
        }
}

static void on_ready(struct shard *sh, struct watch *w, uint32_t events)
{
        UNUSED(sh);
        struct resting *r = container_of(w, struct resting, grave.watch);
        if (events & (EPOLLERR | EPOLLHUP)) {
                drop(r);
                return;
        }
        bool ended = events & EPOLLRDHUP;
        if (r->looks < LOOKS_FREE)
                r->looks++;
        else if (!ended) {
                ask_again(r);
                return;
        }
        look(r, ended);
}

/* A dribbler gets one look, a whole head one try; the first refusal ends the tries of this
 * round. */
static void on_again(struct shard *sh, struct shard_timer *t)
{
        struct porch *p = container_of(t, struct porch, again_timer);
        struct list now, *it;
        list_init(&now);
        list_splice(&now, &p->again);
        bool full = false;
        while ((it = list_take(&now))) {
                struct resting *r = list_entry(it, struct resting, again);
                if (!r->whole)
                        look(r, false);
                else if (full)
                        ask_again(r);
                else
                        full = !hand_over(r);
        }
        if (!list_empty(&p->again) && t->due_ms == 0)
                shard_timer_set(sh, t, AGAIN_MS);
}

static void expire(struct resting *r)
{
        struct intake *in = r->porch->in;
        intake_count(in, r->idle ? INTAKE_IDLE : r->whole ? INTAKE_FULL : INTAKE_HEAD);
        /* An answer is only for who has begun to ask. A head that found no worker is closed
         * without one: the network's failure is what every client comes back from. */
        if (r->seen > 0 && !r->whole)
                refuse(r, too_slow, sizeof(too_slow) - 1);
        else
                drop(r);
}

static void run_deadlines(struct shard *sh, struct shard_timer *t, struct list *all)
{
        struct list *it;
        while ((it = list_first(all))) {
                struct resting *r = list_entry(it, struct resting, grave.link);
                int64_t left = r->due_ms - shard_now_ms(sh);
                if (left > 0) {
                        shard_timer_set(sh, t, left);
                        return;
                }
                expire(r);
        }
}

static void on_heads(struct shard *sh, struct shard_timer *t)
{
        run_deadlines(sh, t, &container_of(t, struct porch, heads_timer)->heads);
}

static void on_idle(struct shard *sh, struct shard_timer *t)
{
        run_deadlines(sh, t, &container_of(t, struct porch, idle_timer)->idle);
}

static bool is_proxy(const struct intake *in, const uint8_t *addr, uint8_t addr_n)
{
        char text[CONN_ADDR_TEXT];
        addr_text(addr, addr_n, text);
        return networks_hold(in->o.proxies, slice_str(text));
}

/* Room for one more, or the reason why not. Who rests idle for longest gives way to who asks. */
static bool admit(struct porch *p, uint16_t bucket, const uint8_t *addr, uint8_t addr_n)
{
        struct intake *in = p->in;
        bool many = in->o.per_address_max &&
                    atomic_load_explicit(&in->buckets[bucket], memory_order_relaxed) >=
                            in->o.per_address_max;
        if (many && !is_proxy(in, addr, addr_n)) {
                intake_count(in, INTAKE_PER_ADDRESS);
                return false;
        }
        if (in->o.connections_max &&
                atomic_load_explicit(&in->resting, memory_order_relaxed) >= in->o.connections_max) {
                intake_count(in, INTAKE_FULL);
                struct list *oldest = list_first(&p->idle);
                if (!oldest)
                        return false;
                drop(list_entry(oldest, struct resting, grave.link));
        }
        return true;
}

void resting_new(
        struct porch *p, int fd, const uint8_t *addr, uint8_t addr_n, enum resting_from from)
{
        struct intake *in = p->in;
        bool idle = from == RESTING_KEPT;
        uint16_t bucket = bucket_of(addr, addr_n);
        if (p->shut || !admit(p, bucket, addr, addr_n)) {
                close(fd);
                return;
        }
        struct resting *r = xcalloc(1, sizeof(*r));
        r->grave.watch = (struct watch){.ready = on_ready, .fd = fd};
        list_init(&r->grave.link);
        list_init(&r->again);
        r->porch = p;
        r->idle = idle;
        r->lined = !in->o.line || from != RESTING_FRESH;
        r->returned = from == RESTING_RETURNED;
        r->bucket = bucket;
        r->addr_n = addr_n;
        memcpy(r->addr, addr, 16);
        if (shard_watch(p->sh, &r->grave.watch, EPOLLIN | EPOLLRDHUP | EPOLLET) < 0) {
                close(fd);
                free(r);
                return;
        }
        uint32_t wait_ms = idle ? in->o.idle_ms : in->o.head_ms;
        struct shard_timer *t = idle ? &p->idle_timer : &p->heads_timer;
        r->due_ms = shard_now_ms(p->sh) + wait_ms;
        list_push_back(idle ? &p->idle : &p->heads, &r->grave.link);
        if (t->due_ms == 0)
                shard_timer_set(p->sh, t, wait_ms);
        atomic_fetch_add_explicit(&in->resting, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&in->buckets[bucket], 1, memory_order_relaxed);
        metrics_add(in->o.metrics, M_entries_used, ENTRIES_HEADS, 1);
        metrics_add(in->o.metrics, M_intake_waiting, 0, 1);
}

void resting_init_porch(struct porch *p)
{
        list_init(&p->heads);
        list_init(&p->idle);
        list_init(&p->again);
        shard_timer_init(&p->heads_timer, on_heads);
        shard_timer_init(&p->idle_timer, on_idle);
        shard_timer_init(&p->again_timer, on_again);
}

void resting_clear(struct porch *p)
{
        struct list *lists[] = {&p->heads, &p->idle};
        for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
                struct list *it;
                while ((it = list_first(lists[i])))
                        drop(list_entry(it, struct resting, grave.link));
        }
        shard_timer_stop(p->sh, &p->heads_timer);
        shard_timer_stop(p->sh, &p->idle_timer);
        shard_timer_stop(p->sh, &p->again_timer);
}
