/*
 * list - the intrusive doubly linked list: membership costs no allocation, removal is O(1).
 *
 * A head is a node that points at itself when the list is empty; an element that is in no list
 * points at itself too, so list_remove() of an unlinked element is harmless.
 * No owner of its own: a list belongs to the thread of the struct that holds its head.
 */
#ifndef TERN_BASE_LIST_H
#define TERN_BASE_LIST_H

#include "base/check.h"
#include <stdbool.h>

struct list {
        struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
        l->next = l->prev = l;
}
static inline bool list_empty(const struct list *head)
{
        return head->next == head;
}
static inline bool list_linked(const struct list *node)
{
        return node->next != node;
}
static inline void list_insert_between(struct list *node, struct list *prev, struct list *next)
{
        node->prev = prev;
        node->next = next;
        prev->next = node;
        next->prev = node;
}
static inline void list_push_back(struct list *head, struct list *node)
{
        list_insert_between(node, head->prev, head);
}
static inline void list_push_front(struct list *head, struct list *node)
{
        list_insert_between(node, head, head->next);
}
static inline void list_remove(struct list *node)
{
        node->prev->next = node->next;
        node->next->prev = node->prev;
        list_init(node);
}
static inline struct list *list_first(const struct list *head)
{
        return list_empty(head) ? NULL : head->next;
}
static inline struct list *list_last(const struct list *head)
{
        return list_empty(head) ? NULL : head->prev;
}
static inline struct list *list_take(struct list *head)
{
        struct list *node = list_first(head);
        if (node)
                list_remove(node);
        return node;
}
/* Moves every element of from to the end of to, in order; from is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
        if (list_empty(from))
                return;
        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        list_init(from);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The element under the iterator may be removed (and freed) in the body. */
#define list_for_each_safe(it, head)                                                               \
        for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                  \
                it = it##_next, it##_next = it->next)

#endif
