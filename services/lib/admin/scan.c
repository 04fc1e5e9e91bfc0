/*
 * scan - how a shard's lists are walked in slices, the same way for both gateways.
 */
#include "admin/admin.h"

#include "fanout/fanout.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <sys/socket.h>

#define SLICE_NODES 500
#define SLICE_ROOMS 1000

bool admin_scan_nodes(struct admin_scan *scan, struct list *scans, struct list *nodes,
        void (*offer)(struct admin_scan *scan, struct list *node))
{
        if (!scan->begun) {
                scan->begun = true;
                scan->at = nodes->next;
                list_push_back(scans, &scan->in_gateway);
        }
        for (unsigned i = 0; i < SLICE_NODES; i++) {
                struct list *at = scan->at;
                if (at == nodes)
                        return true;
                scan->at = at->next;
                offer(scan, at);
        }
        return scan->at == nodes;
}

void admin_scans_leave(const struct list *scans, const struct list *node)
{
        list_for_each(it, scans)
        {
                struct admin_scan *scan = list_entry(it, struct admin_scan, in_gateway);
                if (scan->at == node)
                        scan->at = node->next;
        }
}

static void offer_room(void *arg, struct slice key, size_t members)
{
        struct admin_scan *scan = arg;
        if (!scan->not_rooms || !slice_starts(key, scan->not_rooms))
                listing_put(&scan->listing, key, (int64_t)members, SLICE_NONE);
}

bool admin_scan_rooms(
        struct admin_scan *scan, const struct fanout *f, uint16_t topic, const char *not_rooms)
{
        struct fanout_walk w = {scan->slot, scan->table};
        scan->not_rooms = not_rooms;
        enum fanout_walked walked = fanout_walk(f, topic, &w, SLICE_ROOMS, offer_room, scan);
        scan->slot = w.at;
        scan->table = w.table;
        if (walked == FANOUT_WALK_AGAIN)
                listing_clear(&scan->listing);
        return walked == FANOUT_WALK_DONE;
}

void admin_row(struct buf *json, const struct admin_connection *c)
{
        static const char *const states[] = {[SUB_DETACHED] = "starting",
                [SUB_LIVE] = "live",
                [SUB_CATCHUP] = "catching up",
                [SUB_READING] = "catching up",
                [SUB_LAGGED] = "slow"};
        char address[INET6_ADDRSTRLEN] = "";
        uint8_t bytes[16] = {0};
        memcpy(bytes, c->address, c->address_n);
        if (c->address_n &&
                !inet_ntop(c->address_n == 4 ? AF_INET : AF_INET6, bytes, address, sizeof(address)))
                address[0] = '\0';
        buf_add_str(json, "{\"user\":");
        buf_add_json_str(json, c->user);
        buf_add_str(json, ",\"gateway\":");
        buf_add_json_str(json, slice_str(c->gateway));
        buf_printf(json,
                ",\"transport\":\"%s\",\"state\":\"%s\",\"rooms\":%u,\"since\":%" PRId64
                ",\"address\":\"%s%s\",\"about\":",
                c->transport, states[c->sub->state], c->rooms, c->since_ms, address,
                c->address_n > 4 ? "/64" : ""); /* of IPv6 the network is known */
        buf_add_json_str(json, c->about);
        buf_add_char(json, '}');
}
