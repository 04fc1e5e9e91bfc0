#include "messaging/namespaces.h"

#include "auth/auth.h"
#include "base/config.h"

#include <stdio.h>

#define NAME_MAX_BYTES 255

/* As the event codec wants it (proto/event_packet.c): a comma ends a name in a packet. */
static bool is_valid(struct slice name)
{
        if (name.n > NAME_MAX_BYTES || name.p[0] != '/')
                return false;
        for (size_t i = 0; i < name.n; i++)
                if ((unsigned char)name.p[i] <= 0x20 || (unsigned char)name.p[i] >= 0x7f)
                        return false;
        return true;
}

static bool has(const struct namespaces *n, struct slice name)
{
        for (size_t i = 0; i < n->count; i++)
                if (slice_eq(n->names[i], name))
                        return true;
        return false;
}

void namespaces_read(struct namespaces *n, const char *list, struct buf *faults)
{
        bool root = false;
        *n = (struct namespaces){.count = 1, .names = {SLICE_LIT("/")}};
        struct slice rest = slice_str(list), item;
        while (config_list_next(&rest, &item)) {
                if (slice_is(item, "/")) {
                        root = true;
                } else if (!is_valid(item)) {
                        buf_printf(faults,
                                "TERN_NAMESPACES: %.*s is no namespace: / and then at most %d "
                                "visible ASCII characters\n",
                                SLICE_ARG(item), NAME_MAX_BYTES - 1);
                } else if (n->count == NAMESPACES_MAX) {
                        buf_printf(faults, "TERN_NAMESPACES has more than %d namespaces\n",
                                NAMESPACES_MAX);
                        return;
                } else if (!has(n, item)) {
                        n->names[n->count++] = item;
                }
        }
        if (!root)
                buf_add_str(faults, "TERN_NAMESPACES lacks /, in which chat's events live\n");
}

unsigned namespaces_index(const struct namespaces *n, struct slice name)
{
        for (unsigned i = 0; i < n->count; i++)
                if (slice_eq(n->names[i], name))
                        return i;
        CHECK(false);
        return 0;
}

bool namespaces_admit(const struct identity *id, struct slice name)
{
        char scope[NAME_MAX_BYTES + 8];
        if (slice_is(name, "/"))
                return true;
        snprintf(scope, sizeof(scope), "nsp:%.*s", SLICE_ARG(name));
        return identity_has_scope(id, scope) || identity_has_scope(id, "nsp:*");
}
