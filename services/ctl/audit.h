/*
 * audit - what operators did, in the topic `audit`: a record when it begins and one when it is over, both with the same run.
 *
 * CloudEvents of type tern.audit, keyed by the operator:
 *     {"run","state":"begun|done|partly|failed","command","operator","at", … what the command adds}
 * Nothing is written anywhere before the first of them stands in the log. The topic is made if it is missing.
 */
#ifndef TERN_CTL_AUDIT_H
#define TERN_CTL_AUDIT_H

#include "ctl/ctl.h"

struct audit {
        struct ctl *ctl;     /* borrowed; NULL: nothing was begun */
        const char *command; /* borrowed */
        char run[40], operator[200];
};

/* what: members of a JSON object without brackets, "\"topic\":\"x\""; "" for none. EXIT_DONE, or the exit code after having said why. */
MUST_CHECK int audit_begin(
        struct audit *au, struct ctl *ctl, const char *command, const char *what);
/* code: EXIT_DONE, EXIT_PARTLY or EXIT_FAILED, which is returned; a failure to write it is said, and makes EXIT_DONE EXIT_PARTLY. Harmless
 * when nothing was begun. */
int audit_end(struct audit *au, int code, const char *what);

#endif
