/*
 * fiber - the simulated machine: processes, their threads, and time.
 *
 * The services' threads run unchanged as fibers of one real thread. The linker sends what they ask of the
 * operating system here (see sim.cmake: pthread_create, condition variables, clock_gettime, sleep, getrandom): a
 * thread that would wait gives its turn away, and a seeded generator picks who goes on. So every order in
 * which the threads of all processes may meet is reached by some seed, and by the same seed always.
 *
 * A process is what dies together: process_kill() leaves its fibers where they are for ever. A fiber that is not
 * of any process belongs to the world.
 */
#ifndef TERN_SIM_FIBER_H
#define TERN_SIM_FIBER_H

#include "base/check.h"

#include <stdbool.h>
#include <stdint.h>

struct process {
        const char *name;
        bool dead;
        int64_t paused_until_ms;        /* SIGSTOP: none of its fibers runs before that */
        int64_t wall_skew_ms;           /* its wall clock, against the world's */
        bool kafka_away, postgres_away; /* its network is cut */
        unsigned signals;               /* SIGTERMs it sent itself */
};

/* A world that starts anew: time, random numbers, no fibers. */
void machine_begin(uint64_t seed);
/* Forgets what is left of the fibers. */
void machine_end(void);

/* ---- time ---- */
int64_t machine_now_ms(void); /* since the world began; monotonic */
int64_t machine_wall_ms(void);

/* ---- chance ---- */
uint64_t draw(void);
/* 0 … n - 1 */
uint32_t draw_below(uint32_t n);
bool chance(double percent);
int64_t draw_between(int64_t low, int64_t high); /* both inclusive */

/* ---- fibers ---- */
struct fiber;
/* Runs fn(arg) as a thread of p; p NULL: of the world. */
struct fiber *fiber_start(struct process *p, const char *name, void (*fn)(void *arg), void *arg);
/* Gives the turn away; the fiber goes on when it is picked again. */
void fiber_yield(void);
/* Goes on at that time of machine_now_ms() at the earliest; before, if what is not NULL and fiber_wake(what) is called. True if it was
 * woken. */
bool fiber_wait(const void *what, int64_t until_ms);
void fiber_wake(const void *what);
/* The process whose fiber runs; NULL: the world's. */
struct process *process_here(void);
void process_kill(struct process *p);
/* Runs until done() or until_ms. False if every fiber waits for ever. */
bool machine_run(bool (*done)(void *arg), void *arg, int64_t until_ms);
/* Turns that were given so far: what a trace is ordered by. */
uint64_t machine_turns(void);

/* ---- what was made by eventfd() ---- */
/* Somebody has written to it and nobody has read it since; false for -1. */
bool event_readable(int fd);

#define NEVER INT64_MAX

#endif
