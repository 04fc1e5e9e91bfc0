/*
 * page - the demo page: plain files, read once from the page folder, served from memory.
 *
 * TERN_PAGE_DIR names the folder; without it the gateway looks beside its binary
 * (../share/tern/page) and serves nothing if there is none.
 */
#ifndef TERN_MESSAGING_PAGE_H
#define TERN_MESSAGING_PAGE_H

#include "messaging/app.h"

struct page;

/* Reads the files and adds their routes to app->http. NULL if there are none. */
struct page *page_new(struct app *app);
struct page *page_free(struct page *p);

#endif
