/* RabbitMQ: a quorum queue with publisher confirms; the worker acknowledges all messages up to one with one frame. */
#include <amqp.h>
#include <amqp_tcp_socket.h>

#include "client.h"

static amqp_connection_state_t connection;

static void check_reply(amqp_rpc_reply_t reply, const char *what) {
    if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
    fail(what, reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION ? amqp_error_string2(reply.library_error)
                                                                   : "the server refused");
}

static void check(int status, const char *what) {
    if (status < 0) fail(what, amqp_error_string2(status));
}

static void connect_to(void) {
    connection = amqp_new_connection();
    amqp_socket_t *tcp = amqp_tcp_socket_new(connection);
    if (!tcp) fail("rabbitmq", "no socket");
    check(amqp_socket_open(tcp, "127.0.0.1", options.port), "rabbitmq connect");
    check_reply(amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"), "rabbitmq login");
    amqp_channel_open(connection, 1);
    check_reply(amqp_get_rpc_reply(connection), "rabbitmq channel");
    amqp_table_entry_t kind = {amqp_cstring_bytes("x-queue-type"), {AMQP_FIELD_KIND_UTF8, {0}}};
    kind.value.value.bytes = amqp_cstring_bytes("quorum");
    amqp_table_t table = {1, &kind};
    amqp_queue_declare(connection, 1, amqp_cstring_bytes("bench"), 0, 1, 0, 0, table);
    check_reply(amqp_get_rpc_reply(connection), "rabbitmq queue");
}

static void send_one(unsigned char *data) {
    amqp_basic_properties_t properties = {0};
    properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
    properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
    amqp_bytes_t body = {(size_t)options.size, data};
    check(amqp_basic_publish(connection, 1, amqp_empty_bytes, amqp_cstring_bytes("bench"), 0, 0, &properties, body),
          "rabbitmq publish");
}

/* How many are confirmed after waiting `timeout_ns` at most for one frame. */
static long confirm(uint64_t timeout_ns) {
    static long confirmed, lowest = 1;
    static char *single;
    if (!single && !(single = calloc((size_t)options.count + 1, 1))) fail("memory", "none");
    struct timeval timeout = {(time_t)(timeout_ns / 1000000000u), (suseconds_t)(timeout_ns % 1000000000u / 1000)};
    amqp_frame_t frame;
    amqp_maybe_release_buffers(connection);
    int status = amqp_simple_wait_frame_noblock(connection, &frame, &timeout);
    if (status == AMQP_STATUS_TIMEOUT) return confirmed;
    check(status, "rabbitmq confirm");
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
        fail("rabbitmq", "a publish was refused");
    amqp_basic_ack_t *ack = frame.payload.method.decoded;
    long tag = (long)ack->delivery_tag;
    if (tag < 1 || tag > options.count) fail("rabbitmq", "confirmed what was not published");
    /* `multiple` confirms every number up to its own; single ones may have come before, in any order. */
    if (!ack->multiple) {
        single[tag] = 1;
        return ++confirmed;
    }
    for (; lowest <= tag; lowest++) confirmed += !single[lowest];
    return confirmed;
}

static void publish(void) {
    uint64_t began = monotonic();
    for (long sent = 0, confirmed = 0; confirmed < options.count;) {
        for (int i = 0; i < BATCH && sent < options.count && sent - confirmed < WINDOW; i++) send_one(payload(sent++));
        int full = sent == options.count || sent - confirmed >= WINDOW;
        long before = confirmed;
        confirmed = confirm(full ? PATIENCE_S * 1000000000ull : 0);
        if (full && confirmed == before && sent == options.count) fail("rabbitmq", "no confirm within 30 s");
    }
    published(began);
}

static void pace(void) {
    uint64_t interval = 1000000000u / (uint64_t)options.rate, began = monotonic() + 10000000;
    for (long sent = 0, confirmed = 0; confirmed < options.count;) {
        uint64_t now = monotonic(), due = began + (uint64_t)sent * interval;
        for (; sent < options.count && due <= now; due = began + (uint64_t)sent * interval) send_one(stamped(sent, due)), sent++;
        confirmed = confirm(sent == options.count ? PATIENCE_S * 1000000000ull : due > now ? due - now : 0);
    }
    published(began);
}

static void consume(void) {
    amqp_basic_qos(connection, 1, 0, 2000, 0);
    amqp_basic_consume(connection, 1, amqp_cstring_bytes("bench"), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    check_reply(amqp_get_rpc_reply(connection), "rabbitmq consume");
    ready();
    struct timeval timeout = {PATIENCE_S, 0};
    uint64_t last = 0, tag = 0;
    for (long unsettled = 0; seen < options.count;) {
        amqp_envelope_t envelope;
        amqp_maybe_release_buffers(connection);
        check_reply(amqp_consume_message(connection, &envelope, &timeout, 0), "rabbitmq deliver");
        took(envelope.message.body.bytes);
        tag = envelope.delivery_tag;
        amqp_destroy_envelope(&envelope);
        if (seen == options.count) last = monotonic();
        int more = amqp_data_in_buffer(connection) || amqp_frames_enqueued(connection);
        if (++unsettled < 256 && more && seen < options.count) continue;
        check(amqp_basic_ack(connection, 1, tag, 1), "rabbitmq ack");
        unsettled = 0;
    }
    /* Answered after the acknowledgement before it was taken. */
    check_reply(amqp_channel_close(connection, 1, AMQP_REPLY_SUCCESS), "rabbitmq close");
    consumed(last);
}

int main(int count, char **arguments) {
    start(count, arguments);
    connect_to();
    if (mode_is("consume")) return consume(), 0;
    amqp_confirm_select(connection, 1);
    check_reply(amqp_get_rpc_reply(connection), "rabbitmq confirms");
    ready();
    if (mode_is("pace")) pace();
    else publish();
    return 0;
}
