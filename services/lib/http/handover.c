#include "http/handover.h"

#include <stdlib.h>
#include <unistd.h>

void http_handover_done(struct http_handover *ho)
{
        if (ho->fd >= 0)
                close(ho->fd);
        free(ho->rest);
        *ho = (struct http_handover){.fd = -1};
}
