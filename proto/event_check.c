#include "proto/event.h"

#include "proto/event_tables.h"

#include "base/jsonscan.h"

/* The characters that an id may have besides letters and digits. */
static bool id_valid(struct slice id, const char *also, size_t max)
{
        if (id.n == 0 || id.n > max)
                return false;
        for (size_t i = 0; i < id.n; i++) {
                char c = id.p[i];
                bool alnum =
                        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
                if (!alnum && (c == '\0' || !strchr(also, c)))
                        return false;
        }
        return true;
}

bool event_conversation_id_valid(struct slice id)
{
        return id_valid(id, "._~-", CONVERSATION_ID_MAX);
}

bool event_user_id_valid(struct slice id)
{
        return id_valid(id, "._~@:|-", USER_ID_MAX);
}

bool event_json_valid(struct slice json, unsigned depth_max)
{
        return json_check(json, depth_max, JSON_NO_NUL | JSON_NO_SURROGATES);
}
