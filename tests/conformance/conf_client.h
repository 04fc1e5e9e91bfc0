/*
 * conf_client - what the parts of conf-client share: the application of the clients' own test
 * servers, for runs of their suites from outside.
 *
 *     conf_client.c           the Socket.IO application and main
 *     conf_client_engine.c    the Engine.IO application
 *     conf_client_handshake.c a handshake as JSON, as the reference shows it to its applications
 *     conf_client_recovery.c  connection state recovery, in memory
 *
 * All of it lives on one shard, so nothing here is locked.
 */
#ifndef TERN_CONFORMANCE_CONF_CLIENT_H
#define TERN_CONFORMANCE_CONF_CLIENT_H

#include "conf_host.h"

#include "realtime/engine_server.h"
#include "realtime/socketio_server.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"

/* ---- conf_client_handshake.c ---- */
/* {"headers":…,"time":…,"address":…,"xdomain":…,"secure":…,"issued":…,"url":…,"query":…,"auth":…};
 * auth is the CONNECT payload, may be empty. Appends. */
void handshake_json(const struct sio_handshake *hs, struct slice auth, struct buf *out);
/* Decoded value of a parameter of a raw query, appended. False if it is not there. */
bool query_value(struct slice query, const char *name, struct buf *out);

/* ---- conf_client_recovery.c ---- */
#define RECOVERY_ID_TEXT 20
#define RECOVERY_OFFSET_TEXT 20

/* What was sent on one session, as far as it is kept; the reference's in-memory adapter. */
struct kept_session {
        struct list link; /* in recovery.away while its client is away */
        char sid[RECOVERY_ID_TEXT], pid[RECOVERY_ID_TEXT];
        uint8_t nsp_n;
        char nsp[64];
        struct kept_event *events; /* owned ring of the newest ones */
        size_t count, first;
        int64_t away_ms; /* since when, monotonic; 0 while connected */
};
struct recovery {
        struct map by_pid; /* of those that are away */
        struct list away;  /* the same, oldest first */
        uint64_t next;     /* offset of the next event */
};
void recovery_init(struct recovery *r);
void recovery_done(struct recovery *r);
struct kept_session *kept_session_new(struct slice nsp);
struct kept_session *kept_session_free(struct kept_session *k);
/* Takes k: its client may come back for it. */
void recovery_leave(struct recovery *r, struct kept_session *k, int64_t now_ms);
/* Gives back the session that the CONNECT payload names if its offset is one that was sent; *ret_at
 * counts the events up to that one. NULL: a new session is due. One restore for each leave. */
struct kept_session *recovery_return(struct recovery *r, struct slice nsp, struct slice payload,
        int64_t now_ms, size_t *ret_at);
/* The frame of the event with its offset as last argument, kept (one reference) and lent. */
struct msg *recovery_frame(struct recovery *r, struct kept_session *k, const char *event,
        struct slice args, const struct slice *attachments, size_t count);
size_t kept_count(const struct kept_session *k);
struct msg *kept_at(const struct kept_session *k, size_t i);

/* ---- conf_client_engine.c ---- */
/* The Engine.IO server on /engine.io/ with the application of engine.io-client's test server. */
struct engine_server *engine_app_new(struct conf_host *h);
/* Lets in who does not ask ?deny, after a moment, as a check elsewhere would take it. Both servers'
 * engine_options.allow. */
bool client_allowed(void *arg, const struct engine_handshake *hs);

#endif
