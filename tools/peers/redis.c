/* Redis: a stream with a consumer group; everything pipelined. Confirmed is what XADD has answered. */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>

#include "client.h"

static redisContext *redis;

static redisReply *answer(void) {
    void *reply;
    if (redisGetReply(redis, &reply) != REDIS_OK) fail("redis", redis->errstr);
    if (((redisReply *)reply)->type == REDIS_REPLY_ERROR) fail("redis", ((redisReply *)reply)->str);
    return reply;
}

static void add(const void *data) {
    const char *words[] = {"XADD", "bench", "*", "m", data};
    size_t sizes[] = {4, 5, 1, 1, (size_t)options.size};
    if (redisAppendCommandArgv(redis, 5, words, sizes) != REDIS_OK) fail("redis", redis->errstr);
}

static void flush(void) {
    int done = 0;
    while (!done)
        if (redisBufferWrite(redis, &done) != REDIS_OK) fail("redis", redis->errstr);
}

static void publish(void) {
    uint64_t began = monotonic();
    for (long sent = 0, confirmed = 0; confirmed < options.count;) {
        while (sent < options.count && sent - confirmed <= WINDOW - BATCH) {
            for (int i = 0; i < BATCH && sent < options.count; i++) add(payload(sent++));
            flush();
        }
        for (int i = 0; i < BATCH && confirmed < sent; i++, confirmed++) freeReplyObject(answer());
    }
    published(began);
}

static void pace(void) {
    uint64_t interval = 1000000000u / (uint64_t)options.rate, began = monotonic() + 10000000;
    for (long sent = 0, confirmed = 0; confirmed < options.count;) {
        uint64_t now = monotonic(), due = began + (uint64_t)sent * interval;
        if (sent < options.count && due <= now) {
            for (; sent < options.count && due <= now; due = began + (uint64_t)sent * interval) add(stamped(sent, due)), sent++;
            flush();
        }
        uint64_t left = sent == options.count ? PATIENCE_S * 1000000000ull : due > now ? due - now : 0;
        struct timespec timeout = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
        struct pollfd item = {redis->fd, POLLIN, 0};
        if (ppoll(&item, 1, &timeout, NULL) <= 0) continue;
        if (redisBufferRead(redis) != REDIS_OK) fail("redis", redis->errstr);
        for (void *reply;; confirmed++) {
            if (redisGetReplyFromReader(redis, &reply) != REDIS_OK) fail("redis", redis->errstr);
            if (!reply) break;
            if (((redisReply *)reply)->type == REDIS_REPLY_ERROR) fail("redis", ((redisReply *)reply)->str);
            freeReplyObject(reply);
        }
    }
    published(began);
}

static void ask(void) {
    if (redisAppendCommand(redis, "XREADGROUP GROUP g c COUNT %d BLOCK 30000 STREAMS bench >", BATCH) != REDIS_OK)
        fail("redis", redis->errstr);
}

/* One request is always on its way while the answer to the one before is worked on: its settlement follows in one command. */
static void consume(void) {
    freeReplyObject(redisCommand(redis, "XGROUP CREATE bench g 0 MKSTREAM"));
    ready();
    uint64_t last = 0;
    ask();
    ask();
    flush();
    /* Answers come in the order of the requests: two reads, then an XACK's and a read's in turn. */
    for (int reads = 0; seen < options.count; reads++) {
        if (reads >= 2) freeReplyObject(answer());
        redisReply *reply = answer();
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) fail("redis", "no message within 30 s");
        redisReply *entries = reply->element[0]->element[1];
        const char *words[BATCH + 3] = {"XACK", "bench", "g"};
        size_t sizes[BATCH + 3] = {4, 5, 1};
        for (size_t i = 0; i < entries->elements; i++) {
            redisReply *entry = entries->element[i];
            took(entry->element[1]->element[1]->str);
            words[i + 3] = entry->element[0]->str;
            sizes[i + 3] = entry->element[0]->len;
        }
        last = monotonic();
        redisAppendCommandArgv(redis, (int)entries->elements + 3, words, sizes);
        ask();
        flush();
        freeReplyObject(reply);
    }
    consumed(last);
}

int main(int count, char **arguments) {
    start(count, arguments);
    redis = redisConnect("127.0.0.1", options.port);
    if (!redis || redis->err) fail("redis", redis ? redis->errstr : "no memory");
    if (mode_is("consume")) return consume(), 0;
    ready();
    if (mode_is("pace")) pace();
    else publish();
    return 0;
}
