/*
 * publish - POST /notifications, for backends without a Kafka client: each user's record, or one for a
 * topic, and the answer when Kafka has confirmed all of them.
 *
 * Runs on a civetweb worker, which waits for the delivery reports.
 */
#ifndef TERN_NOTIFICATION_PUBLISH_H
#define TERN_NOTIFICATION_PUBLISH_H

#include "notification/app.h"

/* body has passed the JSON check. Always replies. */
void publish(struct app *app, struct http_request *rq, struct slice body);

#endif
