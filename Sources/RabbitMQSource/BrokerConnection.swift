import CRabbitMQ
import Engine
import ForecacheModel

/// One connection to one broker. Its calls block, each with a deadline; it is not thread safe and not `Sendable`: it lives and dies on the thread, or in the
/// actor, that made it.
final class BrokerConnection {
    /// The channel that is consumed or published on.
    static let main: amqp_channel_t = 1
    /// Opened for one question and closed again: a "no" closes a channel.
    static let probe: amqp_channel_t = 2

    /// Deadline of the way to the broker, TLS included, in milliseconds: three lost SYNs.
    private static let connectMilliseconds: Int32 = 8000
    /// Deadline of the log-in and of each question, in milliseconds: a busy broker takes seconds to declare a queue.
    private static let answerMilliseconds: Int32 = 10_000
    /// Deadline of the farewell, in milliseconds: cancellation must be seen through within 500 ms.
    private static let farewellMilliseconds: Int32 = 250

    let host: BrokerHost
    /// Ours from `init` to `deinit`, which frees it on the owner's thread; that also closes the socket and frees the `amqp_socket_t` inside.
    private let state: amqp_connection_state_t
    /// Bytes of one message that are kept.
    private let bodyBytes: Int
    /// The message whose frames are coming in.
    private var assembly: Assembly?

    /// Connects and logs in.
    /// - Parameter bodyBytes: a message is cut off behind so many bytes, so that no publisher can fill our memory.
    init(to host: BrokerHost, of access: BrokerAccess, named name: String, bodyBytes: Int) throws(BrokerProblem) {
        guard let state = amqp_new_connection() else { throw BrokerProblem(status: AMQP_STATUS_NO_MEMORY.rawValue) }
        self.host = host
        self.state = state
        self.bodyBytes = bodyBytes
        try open(access.tls)
        try logIn(access, named: name)
        try openChannel(Self.main)
    }

    deinit {
        _ = amqp_destroy_connection(state)
    }

    // MARK: - Opening

    private func open(_ tls: BrokerTLS?) throws(BrokerProblem) {
        crabbitmq_clear_tls_errors()
        crabbitmq_set_deadlines(state, Self.answerMilliseconds)
        // Freed with the state.
        let socket = if let tls { try tlsSocket(tls) } else { amqp_tcp_socket_new(state) }
        guard let socket else { throw BrokerProblem(status: AMQP_STATUS_NO_MEMORY.rawValue) }
        try check(crabbitmq_connect(socket, host.host, Int32(host.port), Self.connectMilliseconds))
    }

    private func tlsSocket(_ tls: BrokerTLS) throws(BrokerProblem) -> OpaquePointer? {
        guard let socket = amqp_ssl_socket_new(state) else { return nil }
        try check(amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST))
        if let file = tls.caFile {
            try check(amqp_ssl_socket_set_cacert(socket, file))
        } else if crabbitmq_use_system_authorities(socket) != 1 {
            throw BrokerProblem(status: AMQP_STATUS_SSL_ERROR.rawValue)
        }
        if let certificate = tls.clientCertificateFile, let key = tls.clientKeyFile {
            try check(amqp_ssl_socket_set_key(socket, certificate, key))
        }
        amqp_ssl_socket_set_verify_peer(socket, tls.isVerified ? 1 : 0)
        let isAddress = tls.isVerified && crabbitmq_expect_address(socket, host.host) == 1
        amqp_ssl_socket_set_verify_hostname(socket, tls.isVerified && !isAddress ? 1 : 0)
        return socket
    }

    private func logIn(_ access: BrokerAccess, named name: String) throws(BrokerProblem) {
        let reply = crabbitmq_login(
            state, access.virtualHost, 16, AMQP_DEFAULT_FRAME_SIZE, Int32(access.heartbeatSeconds), name, host.user, host.password.reveal())
        if let problem = BrokerProblem(reply) { throw problem }
    }

    // MARK: - Questions

    func openChannel(_ channel: amqp_channel_t) throws(BrokerProblem) {
        _ = amqp_channel_open(state, channel)
        try checkReply(on: channel)
    }

    func closeChannel(_ channel: amqp_channel_t) throws(BrokerProblem) {
        if let problem = BrokerProblem(amqp_channel_close(state, channel, AMQP_REPLY_SUCCESS)) { throw problem }
    }

    func declareQueue(_ name: String, isTemporary: Bool) throws(BrokerProblem) {
        withBytes(name) { name in
            let temporary: Int32 = isTemporary ? 1 : 0
            // A temporary queue is exclusive and goes with its consumer.
            _ = amqp_queue_declare(state, Self.main, name, 0, 1 - temporary, temporary, temporary, crabbitmq_empty_table())
        }
        try checkReply(on: Self.main)
    }

    /// Throws where the exchange does not exist; it is never created.
    func checkExchange(_ name: String, on channel: amqp_channel_t) throws(BrokerProblem) {
        withBytes(name) { name in
            withBytes("topic") { type in
                // Passive: type and flags do not count.
                _ = amqp_exchange_declare(state, channel, name, type, 1, 0, 0, 0, crabbitmq_empty_table())
            }
        }
        try checkReply(on: channel)
    }

    func declareExchange(_ name: String, isDurable: Bool) throws(BrokerProblem) {
        withBytes(name) { name in
            withBytes("topic") { type in
                _ = amqp_exchange_declare(state, Self.main, name, type, 0, isDurable ? 1 : 0, 0, 0, crabbitmq_empty_table())
            }
        }
        try checkReply(on: Self.main)
    }

    /// Binds a queue to an exchange by the keys that oslo sends notifications of these topics with. On a channel of its own: the broker closes the channel on
    /// which it says no.
    func bind(_ queue: String, to exchange: String, topics: [String]) throws(BrokerProblem) {
        try openChannel(Self.probe)
        try checkExchange(exchange, on: Self.probe)
        for topic in topics {
            for priority in ["info", "error"] {
                try bind(queue, to: exchange, routingKey: "\(topic).\(priority)", on: Self.probe)
            }
        }
        try closeChannel(Self.probe)
    }

    private func bind(_ queue: String, to exchange: String, routingKey: String, on channel: amqp_channel_t) throws(BrokerProblem) {
        withBytes(queue) { queue in
            withBytes(exchange) { exchange in
                withBytes(routingKey) { key in
                    _ = amqp_queue_bind(state, channel, queue, exchange, key, crabbitmq_empty_table())
                }
            }
        }
        try checkReply(on: channel)
    }

    /// Messages that wait in a queue and consumers that it has; throws where it does not exist.
    func depth(of queue: String, on channel: amqp_channel_t) throws(BrokerProblem) -> (messages: Int, consumers: Int) {
        // The answer is librabbitmq's memory, good until its buffers are released.
        let depth = withBytes(queue) { queue in
            amqp_queue_declare(state, channel, queue, 1, 0, 0, 0, crabbitmq_empty_table()).map {
                (messages: Int($0.pointee.message_count), consumers: Int($0.pointee.consumer_count))
            }
        }
        try checkReply(on: channel)
        return depth ?? (0, 0)
    }

    func deleteQueue(_ name: String) throws(BrokerProblem) {
        withBytes(name) { _ = amqp_queue_delete(state, Self.main, $0, 0, 0) }
        try checkReply(on: Self.main)
    }

    func deleteExchange(_ name: String) throws(BrokerProblem) {
        withBytes(name) { _ = amqp_exchange_delete(state, Self.main, $0, 0) }
        try checkReply(on: Self.main)
    }

    func consume(_ queue: String, prefetch: Int) throws(BrokerProblem) {
        _ = amqp_basic_qos(state, Self.main, 0, UInt16(prefetch), 0)
        try checkReply(on: Self.main)
        withBytes(queue) { queue in
            withBytes("") { tag in _ = amqp_basic_consume(state, Self.main, queue, tag, 0, 0, 0, crabbitmq_empty_table()) }
        }
        try checkReply(on: Self.main)
    }

    func confirmPublishes() throws(BrokerProblem) {
        _ = amqp_confirm_select(state, Self.main)
        try checkReply(on: Self.main)
    }

    // MARK: - Sending

    func publish(_ body: [UInt8], to exchange: String, routingKey: String) throws(BrokerProblem) {
        let status = withBytes(exchange) { exchange in
            withBytes(routingKey) { key in
                body.withUnsafeBytes { body in
                    var properties = crabbitmq_persistent_json()
                    return amqp_basic_publish(state, Self.main, exchange, key, 0, 0, &properties, Self.bytes(body))
                }
            }
        }
        try check(status)
    }

    /// Acknowledges all deliveries up to and with `tag`.
    func acknowledge(upTo tag: UInt64) throws(BrokerProblem) { try check(amqp_basic_ack(state, Self.main, tag, 1)) }

    /// Says good-bye and waits a quarter of a second for the answer: unacknowledged messages go back to the queue at once.
    func close() {
        crabbitmq_set_deadlines(state, Self.farewellMilliseconds)
        // Whether the broker answered or not, `deinit` closes the socket.
        _ = amqp_connection_close(state, AMQP_REPLY_SUCCESS)
    }

    // MARK: - Receiving

    enum Incoming {
        /// No frame is here.
        case nothing
        /// A frame that is not the end of anything.
        case part
        case delivery(tag: UInt64, Delivery)
        /// The broker took our consumer away: the queue was deleted or its node went.
        case consumerCancelled
        case confirmed(tag: UInt64, isMultiple: Bool, isTaken: Bool)
    }

    /// Reads one frame without waiting; sends and checks heartbeats. To be called at least four times in a heartbeat interval.
    func receive() throws(BrokerProblem) -> Incoming {
        // Frees what the frames before pointed into; we have copied it.
        amqp_maybe_release_buffers(state)
        var frame = amqp_frame_t()
        let status = crabbitmq_next_frame(state, &frame)
        if status == AMQP_STATUS_TIMEOUT.rawValue { return .nothing }
        try check(status)
        switch Int32(frame.frame_type) {
        case AMQP_FRAME_METHOD: return try method(frame.payload.method)
        case AMQP_FRAME_HEADER:
            assembly?.begin(bytes: frame.payload.properties.body_size)
            return assembled()
        case AMQP_FRAME_BODY:
            let fragment = frame.payload.body_fragment
            assembly?.append(UnsafeRawBufferPointer(start: fragment.bytes, count: fragment.len), keeping: bodyBytes)
            return assembled()
        default: return .part
        }
    }

    private func method(_ method: amqp_method_t) throws(BrokerProblem) -> Incoming {
        switch Int(method.id) {
        case CRABBITMQ_BASIC_DELIVER:
            let deliver = method.decoded.load(as: amqp_basic_deliver_t.self)
            let head = Delivery(
                body: [], exchange: Self.text(deliver.exchange), routingKey: Self.text(deliver.routing_key),
                isRedelivered: deliver.redelivered != 0)
            assembly = Assembly(tag: deliver.delivery_tag, delivery: head)
            return .part
        case CRABBITMQ_BASIC_CANCEL: return .consumerCancelled
        case CRABBITMQ_BASIC_ACK:
            let ack = method.decoded.load(as: amqp_basic_ack_t.self)
            return .confirmed(tag: ack.delivery_tag, isMultiple: ack.multiple != 0, isTaken: true)
        case CRABBITMQ_BASIC_NACK:
            let nack = method.decoded.load(as: amqp_basic_nack_t.self)
            return .confirmed(tag: nack.delivery_tag, isMultiple: nack.multiple != 0, isTaken: false)
        default: throw BrokerProblem(method: method)
        }
    }

    private func assembled() -> Incoming {
        guard let done = assembly, done.isComplete else { return .part }
        assembly = nil
        return .delivery(tag: done.tag, done.delivery)
    }

    /// Sleeps until the broker sent something, `wakeup` (an eventfd; negative: none) is readable, or the time is over.
    func wait(orFor wakeup: Int32, milliseconds: Int32) {
        if amqp_frames_enqueued(state) != 0 || amqp_data_in_buffer(state) != 0 { return }
        crabbitmq_wait(amqp_get_sockfd(state), wakeup, milliseconds)
    }

    // MARK: - Answers

    private func check(_ status: Int32) throws(BrokerProblem) {
        if status != AMQP_STATUS_OK.rawValue { throw BrokerProblem(status: status) }
    }

    private func checkReply(on channel: amqp_channel_t) throws(BrokerProblem) {
        guard let problem = BrokerProblem(amqp_get_rpc_reply(state)) else { return }
        if problem.reach == .channel {
            // The broker waits for it before the number can be used again.
            var answer = amqp_channel_close_ok_t()
            _ = amqp_send_method(state, channel, amqp_method_number_t(CRABBITMQ_CHANNEL_CLOSE_OK), &answer)
        }
        throw problem
    }

    // MARK: - Text

    private static func bytes(_ buffer: UnsafeRawBufferPointer) -> amqp_bytes_t {
        amqp_bytes_t(len: buffer.count, bytes: UnsafeMutableRawPointer(mutating: buffer.baseAddress))
    }

    private static func text(_ bytes: amqp_bytes_t) -> String {
        String(decoding: UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.len), as: UTF8.self)
    }

    /// Lends the text for the length of the call; librabbitmq copies it into the frame that it sends.
    private func withBytes<Result>(_ text: String, _ body: (amqp_bytes_t) -> Result) -> Result {
        var text = text
        return text.withUTF8 { body(Self.bytes(UnsafeRawBufferPointer($0))) }
    }
}

/// One message between its method frame and its last body frame.
private struct Assembly {
    var tag: UInt64
    var delivery: Delivery
    /// Body bytes still to come; nil before the header.
    private var missingBytes: UInt64?

    init(tag: UInt64, delivery: Delivery) {
        self.tag = tag
        self.delivery = delivery
    }

    var isComplete: Bool { missingBytes == 0 }

    mutating func begin(bytes: UInt64) { missingBytes = bytes }

    mutating func append(_ fragment: UnsafeRawBufferPointer, keeping limit: Int) {
        delivery.body.append(contentsOf: fragment.prefix(max(0, limit - delivery.body.count)))
        missingBytes = missingBytes.map { $0 - min($0, UInt64(fragment.count)) }
    }
}
