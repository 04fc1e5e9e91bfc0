/*
 * internal - what the files of this library share and nobody else sees.
 *
 *   routes.c    a request: who asks, what for, is it allowed
 *   acts.c      what a request becomes as a command line of ternctl
 *   admin.c     the admin thread: its loop, and what gateways say to each other
 *   survey.c    one page of a list, asked of shards and gateways
 *   job.c       ternctl as a child process
 *
 * A worker's question is a struct question: it embeds rest_call, is posted to the admin thread, and whoever
 * there has the answer gives it. All else here belongs to the admin thread.
 */
#ifndef TERN_ADMIN_INTERNAL_H
#define TERN_ADMIN_INTERNAL_H

#include "admin/admin.h"

#include "base/hash.h"
#include "fleet/fleet.h"
#include "http/rest.h"
#include "proto/event.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define INSTANCE_TEXT 65
#define OPERATOR_TEXT 200
#define SURVEYS_MAX 16      /* under way at once, other gateways' included */
#define SURVEY_MS 2000      /* who has not answered by then is missing from the page */
#define HEARD_MAX 1000      /* other gateways' records that wait for the admin thread */
#define JOBS_RUNNING_MAX 2  /* replays and redrives at once */
#define READS_RUNNING_MAX 3 /* commands whose answer a request waits for */
#define JOBS_KEPT_MAX 20
#define JOB_ARGS_MAX 160
#define JOB_OUT_MAX 2097152
#define READ_MS 20000 /* such a command is ended by then; below the worker's patience */
#define ANSWER_MS 25000

struct question;

/* ---- survey.c ---- */

struct survey {
        struct list link; /* admin.surveys */
        uint64_t number;
        enum admin_list what;
        struct listing local, page; /* of this gateway; of all */
        unsigned shards_left;
        char id[UUID_TEXT];           /* under which others answer */
        char (*asked)[INSTANCE_TEXT]; /* owned: who has not answered yet */
        size_t asked_count;
        int64_t until_ms;
        /* Who gets it: a worker, or another gateway. */
        struct question *question;
        char from[INSTANCE_TEXT], from_ask[65];
};

/* gateway "": of all that have such a list. */
void survey_ask(struct admin *a, struct question *q);
/* Another gateway's tern.ask, its tern.answer. */
void survey_asked(struct admin *a, const struct event *e);
void survey_answered(struct admin *a, const struct event *e);
void surveys_expire(struct admin *a, int64_t now_ms);
const char *survey_list_name(enum admin_list what);

/* ---- job.c ---- */

struct job {
        struct list link; /* admin.jobs */
        char id[UUID_TEXT];
        char kind[16]; /* "replay" */
        char *what;    /* owned: JSON object, what was asked for */
        char operator[OPERATOR_TEXT];
        struct question *question; /* who waits for its end; NULL: it is kept and listed */
        pid_t pid;                 /* 0 once it has ended */
        int ended_fd, out_fd, err_fd;
        struct buf out, line;
        bool cut; /* out was longer than it may be */
        bool stopping;
        char *progress;  /* owned: its newest line of progress, a JSON object; NULL = none yet */
        struct buf said; /* the end of its stderr */
        int code;        /* exit code; 128 and more: a signal */
        int64_t started_ms, ended_ms; /* wall */
        int64_t until_ms;             /* monotonic; 0 = none: it is told to stop then */
};

/* What a command line is made of; its words are owned. */
struct job_order {
        const char *kind; /* static */
        bool listed;      /* it is kept, and the request gets its id at once */
        char *args[JOB_ARGS_MAX];
        size_t count;
        char *what;
};
void job_order_add(struct job_order *o, const char *fmt, ...) PRINTF_LIKE(2, 3);
void job_order_done(struct job_order *o);

void job_start(struct admin *a, struct question *q);
void jobs_list(struct admin *a, struct question *q);
void job_stop(struct admin *a, struct question *q);
#define JOB_FDS 3
/* Fills in up to JOB_FDS for each job that runs. */
size_t jobs_poll(struct admin *a, struct pollfd *fds, size_t cap);
/* Reads what came, and ends what has ended. */
void jobs_run(struct admin *a, int64_t now_ms);
/* Ends all, waits for them. */
void jobs_end(struct admin *a);

/* ---- a worker's question ---- */

struct question {
        struct rest_call rest;
        struct admin *admin;
        void (*run)(struct admin *a, struct question *q);
        char operator[OPERATOR_TEXT];
        enum admin_list what;
        char gateway[INSTANCE_TEXT];
        struct listing page; /* of a list: prefix, after, limit */
        struct job_order order;
        char job[UUID_TEXT];
};
/* On the admin thread, once: json is the answer. */
void question_answer(struct question *q, int status, struct slice json);
void question_refuse(struct question *q, int status, const char *code, const char *message);

/* ---- acts.c: command lines ---- */

/* 0, or -EINVAL with a sentence in fault. body: a valid JSON object. */
MUST_CHECK int act_kick(struct slice body, struct job_order *o, char fault[160]);
MUST_CHECK int act_redrive(struct slice body, struct job_order *o, char fault[160]);
MUST_CHECK int act_replay(struct slice body, struct job_order *o, char fault[160]);
/* "chat.events/3/1200/1" */
bool act_place_valid(struct slice place);
bool act_topic_valid(struct slice topic);

/* ---- files of the page, made at build time from services/lib/admin/page ---- */

struct admin_file {
        const char *name, *type;
        const unsigned char *bytes;
        size_t n;
};
extern const struct admin_file admin_files[];
extern const size_t admin_file_count;

/* ---- admin.c ---- */

struct admin {
        struct admin_options o;
        struct mailbox *mailbox;
        struct mailbox **shards; /* owned array; borrowed from the shards */
        void **gateways;         /* the same of the gateways */
        int wake_fd;
        pthread_t thread;
        atomic_bool closing;
        atomic_uint serving, heard; /* requests being served; records in the mailbox */
        /* The admin thread's. */
        struct list surveys, jobs; /* newest job last */
        unsigned survey_count;
        uint64_t surveys_made;
        bool over; /* of who stops it */
};

/* One volatile record of `control` for a gateway: tern.ask or tern.answer. */
void admin_say(struct admin *a, enum event_type type, const char *to_instance, const char *ask,
        const char *data_json);

#endif
