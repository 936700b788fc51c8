#include "showing.h"

#include "shard/value/sorted.h"
#include "server/commands/shared/values.h"

void showing_head(const struct showing *showing, uint64_t count) {
    reply_array(showing->reply, showing->has_scores && showing->reply->protocol == 2 ? count * 2 : count);
}

bool showing_one(void *context, const struct packed_text *member, double score) {
    const struct showing *showing = context;
    if (showing->has_scores && showing->reply->protocol == 3) reply_array(showing->reply, 2);
    reply_element(showing->reply, member);
    if (showing->has_scores) reply_double(showing->reply, score);
    return true;
}

void reply_sorted(const void *value, bool has_scores, struct reply *reply) {
    struct showing showing = {.reply = reply, .has_scores = has_scores};
    showing_head(&showing, value == NULL ? 0 : sorted_count(value));
    if (value != NULL) sorted_each(value, 0, UINT64_MAX, false, showing_one, &showing);
}
