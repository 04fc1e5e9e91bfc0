/*
 * progress - how far something is: a bar that redraws itself on a terminal, plain lines now and then elsewhere; a program that
 * asked for JSON gets a JSON object a line. On stderr.
 */
#ifndef TERN_CTL_PROGRESS_H
#define TERN_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
        const char *verb;  /* "copied" */
        uint64_t total;    /* to be read; 0: not known */
        uint64_t at_start; /* read before this run */
        int64_t started_ms, shown_ms;
        bool as_json, bar, drawn;
};

void progress_start(
        struct progress *p, const char *verb, uint64_t total, uint64_t already, bool as_json);
/* Shows it if it is time to. */
void progress_show(struct progress *p, uint64_t read, uint64_t done);
/* Removes the bar, so that the next line starts at the left. */
void progress_end(struct progress *p);

#endif
