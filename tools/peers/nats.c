/* NATS JetStream: a file-backed stream and a durable consumer with explicit acknowledgement. Confirmed is what the stream has
   answered to asynchronous publishes. */
#include <nats/nats.h>

#include "client.h"

static natsConnection *connection;
static jsCtx *stream;

static void check(natsStatus status, const char *what) {
    if (status != NATS_OK) fail(what, natsStatus_GetText(status));
}

static void refused(jsCtx *context, jsPubAckErr *error, void *closure) { fail("nats publish", error->ErrText); }

static void connect_to(int at_once) {
    char url[64];
    snprintf(url, sizeof url, "nats://127.0.0.1:%d", options.port);
    natsOptions *settings;
    check(natsOptions_Create(&settings), "nats options");
    check(natsOptions_SetURL(settings, url), "nats url");
    if (at_once) check(natsOptions_SetSendAsap(settings, true), "nats options");
    check(natsConnection_Connect(&connection, settings), "nats connect");
    natsOptions_Destroy(settings);
    jsOptions js;
    jsOptions_Init(&js);
    js.PublishAsync.MaxPending = WINDOW;
    js.PublishAsync.StallWait = PATIENCE_S * 1000;
    js.PublishAsync.ErrHandler = refused;
    check(natsConnection_JetStream(&stream, connection, &js), "nats jetstream");
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    const char *subjects[] = {"bench.x"};
    config.Name = "bench";
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = js_FileStorage;
    jsErrCode code = 0;
    check(js_AddStream(NULL, stream, &config, NULL, &code), "nats stream");
}

static void send_one(const void *data) {
    check(js_PublishAsync(stream, "bench.x", data, (int)options.size, NULL), "nats publish");
}

static void finish(uint64_t began) {
    jsPubOptions wait;
    jsPubOptions_Init(&wait);
    wait.MaxWait = PATIENCE_S * 1000;
    check(js_PublishAsyncComplete(stream, &wait), "nats confirms");
    published(began);
}

static void publish(void) {
    uint64_t began = monotonic();
    for (long sent = 0; sent < options.count; sent++) send_one(payload(sent));
    finish(began);
}

static void pace(void) {
    uint64_t interval = 1000000000u / (uint64_t)options.rate, began = monotonic() + 10000000;
    for (long sent = 0; sent < options.count; sent++) {
        uint64_t due = began + (uint64_t)sent * interval;
        struct timespec until = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
        if (due > monotonic()) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        send_one(stamped(sent, due));
    }
    finish(began);
}

static void consume(void) {
    jsSubOptions settings;
    jsSubOptions_Init(&settings);
    settings.ManualAck = true;
    settings.Config.Durable = "worker";
    settings.Config.AckPolicy = js_AckExplicit;
    settings.Config.MaxAckPending = WINDOW;
    natsSubscription *subscription;
    jsErrCode code = 0;
    check(js_SubscribeSync(&subscription, stream, "bench.x", NULL, &settings, &code), "nats subscribe");
    check(natsSubscription_SetPendingLimits(subscription, -1, -1), "nats limits");
    ready();
    uint64_t last = 0;
    while (seen < options.count) {
        natsMsg *message;
        check(natsSubscription_NextMsg(&message, subscription, PATIENCE_S * 1000), "nats next message");
        took(natsMsg_GetData(message));
        if (seen == options.count) last = monotonic();
        check(natsMsg_Ack(message, NULL), "nats ack");
        natsMsg_Destroy(message);
    }
    check(natsConnection_FlushTimeout(connection, PATIENCE_S * 1000), "nats flush");
    consumed(last);
}

int main(int count, char **arguments) {
    start(count, arguments);
    connect_to(mode_is("pace"));
    if (mode_is("consume")) return consume(), 0;
    ready();
    if (mode_is("pace")) pace();
    else publish();
    return 0;
}
