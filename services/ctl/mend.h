/*
 * mend - another value for a dead letter: by a jq filter, or by hand in $EDITOR.
 */
#ifndef TERN_CTL_MEND_H
#define TERN_CTL_MEND_H

#include "ctl/jq.h"

/* A value that is no JSON comes to the filter as a string. 0; -EINVAL with a sentence in fault. */
MUST_CHECK int mend_by_filter(
        struct jq_filter *f, struct slice value, struct buf *out, char fault[256]);
/* Opens $VISUAL, $EDITOR or vi on it and waits. A newline that the editor puts at the end is taken away. 0; -EINVAL with fault. */
MUST_CHECK int mend_by_hand(struct slice value, struct buf *out, char fault[256]);

#endif
