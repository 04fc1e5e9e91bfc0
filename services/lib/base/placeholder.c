#include "base/placeholder.h"

#include "base/jsonscan.h"

/* What is known of one open object or array. As in JavaScript the last of several members of one
 * name counts. */
struct level {
        bool object, marked, num_fits;
};

static void note_member(struct level *at, struct slice key, struct slice value, uint32_t count)
{
        int64_t k;
        if (json_key_is(key, "_placeholder"))
                at->marked = slice_is(value, "true");
        else if (json_key_is(key, "num"))
                at->num_fits = json_int(value, 0, (int64_t)count - 1, &k);
}

/* One pass whatever the nesting: an object's members are noted as they go by, and it is judged at
 * its end. */
bool placeholders_valid(struct slice json, uint32_t count)
{
        struct level levels[PLACEHOLDER_DEPTH_MAX];
        size_t depth = 0;
        struct json_walk w = json_walk_of(json);
        struct json_step step;
        while (json_walk_next(&w, &step)) {
                struct level *in = depth ? &levels[depth - 1] : NULL;
                if (in && in->object && step.kind != JSON_STEP_CLOSE)
                        note_member(in, step.key, step.value, count);
                if (step.kind == JSON_STEP_OPEN) {
                        if (depth == PLACEHOLDER_DEPTH_MAX)
                                return false;
                        levels[depth++] = (struct level){.object = step.value.p[0] == '{'};
                } else if (step.kind == JSON_STEP_CLOSE) {
                        if (!in || (in->marked && !in->num_fits))
                                return false;
                        depth--;
                }
        }
        return depth == 0;
}
