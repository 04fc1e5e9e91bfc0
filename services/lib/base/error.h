/*
 * error - what to do about a failure, the only thing that adapters say about their libraries'
 * errors.
 */
#ifndef TERN_BASE_ERROR_H
#define TERN_BASE_ERROR_H

enum error_class {
        ERROR_NONE,
        ERROR_RETRY,  /* the other side is away or busy: the same again, later */
        ERROR_POISON, /* this input will never work: set it aside, go on with the rest */
        ERROR_FATAL,  /* a bug, or a setting that makes work impossible: stop and say so */
};

#endif
