import CRabbitMQ
import ForecacheModel

/// What the broker or the way to it answered instead of what was asked.
struct BrokerProblem: Error {
    enum Reach {
        /// The broker closed the channel; the connection lives.
        case channel
        case connection
    }

    var reach: Reach
    /// AMQP's reply code, where the broker sent one.
    var replyCode: Int?
    /// librabbitmq's status, where the broker sent none.
    var status: Int?
    var text: String
    /// What to do about it, where that is known better than by the code alone.
    private var advice: String?

    /// The account may not do that; a thing that does not exist is 404.
    var isRefusal: Bool { replyCode == 403 }

    func advised(_ advice: String) -> BrokerProblem {
        var problem = self
        problem.advice = advice
        return problem
    }

    /// No broker was heard at all: nobody has refused us.
    var isOutOfReach: Bool {
        let codes = [AMQP_STATUS_SOCKET_ERROR, AMQP_STATUS_TIMEOUT, AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED, AMQP_STATUS_TCP_ERROR]
        return codes.contains { $0.rawValue == status.map(Int32.init) }
    }

    /// The broker's own words, or librabbitmq's.
    init?(_ reply: amqp_rpc_reply_t) {
        switch reply.reply_type {
        case AMQP_RESPONSE_NORMAL: return nil
        case AMQP_RESPONSE_LIBRARY_EXCEPTION: self.init(status: reply.library_error)
        case AMQP_RESPONSE_SERVER_EXCEPTION: self.init(method: reply.reply)
        default: self.init(reach: .connection, text: "the broker closed the connection without a word")
        }
    }

    /// - Parameter status: one of librabbitmq's `AMQP_STATUS_…`, negative.
    init(status: Int32) {
        var text = amqp_error_string2(status).map { String(cString: $0) } ?? "librabbitmq status \(status)"
        if (-0x2FF...(-0x200)).contains(status), let reason = crabbitmq_tls_error() { text += " (\(String(cString: reason)))" }
        self.init(reach: .connection, status: Int(status), text: text)
    }

    /// A close of the channel or of the connection.
    init(method: amqp_method_t) {
        // Each id has its own struct in amqp_framing.h; the memory is librabbitmq's and lives until its buffers are released.
        switch Int(method.id) {
        case CRABBITMQ_CHANNEL_CLOSE:
            let close = method.decoded.load(as: amqp_channel_close_t.self)
            self.init(reach: .channel, replyCode: Int(close.reply_code), text: Self.plain(close.reply_text))
        case CRABBITMQ_CONNECTION_CLOSE:
            let close = method.decoded.load(as: amqp_connection_close_t.self)
            self.init(reach: .connection, replyCode: Int(close.reply_code), text: Self.plain(close.reply_text))
        default:
            self.init(reach: .connection, text: "an unexpected AMQP method 0x\(String(method.id, radix: 16))")
        }
    }

    init(reach: Reach, replyCode: Int? = nil, status: Int? = nil, text: String) {
        self.reach = reach
        self.replyCode = replyCode
        self.status = status
        self.text = text
    }

    /// - Parameter tried: begins the sentence: what we did, on which broker.
    func failure(_ tried: String) -> Failure { Failure(kind, "\(tried): \(text)\(remedy.map { " — \($0)" } ?? "")") }

    /// All of it is tried again for ever; the kind says whether somebody has to act first.
    private var kind: Failure.Kind { remedy == nil ? .retriable : .permanent }

    private var remedy: String? {
        if let advice { return advice }
        switch replyCode {
        case 403: return "check user, password and the user's permissions on the virtual host (rabbitmqctl list_permissions -p VHOST)"
        case 405: return "the queue belongs to another connection: give every forecache its own queue name"
        case 406: return "the queue exists with other properties: choose another queue name, or delete that queue when it is empty"
        case 530: return "check the virtual host of the transport URL (rabbitmqctl list_vhosts)"
        case .some: return nil
        case nil: return statusRemedy
        }
    }

    private var statusRemedy: String? {
        switch status.map(Int32.init) {
        case AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED.rawValue:
            "the broker's certificate is not made out to the host in the transport URL: use the name that is in the certificate"
        case AMQP_STATUS_SSL_PEER_VERIFY_FAILED.rawValue:
            "check that ssl_ca_file holds the authority of the broker's certificate and, where the transport URL has an address, that the certificate has it too"
        case AMQP_STATUS_SSL_CONNECTION_FAILED.rawValue:
            "check that the port speaks TLS 1.2 or later, and whether the broker wants a client certificate (ssl_cert_file, ssl_key_file)"
        case AMQP_STATUS_SSL_ERROR.rawValue: "check that the TLS files exist, are PEM and can be read by this user"
        case AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED.rawValue: "check the host name in the transport URL and the resolver"
        case AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD.rawValue: "the broker must offer the PLAIN mechanism"
        default: nil
        }
    }

    /// One line of bearable length, whatever the other side sent.
    private static func plain(_ bytes: amqp_bytes_t) -> String {
        let text = String(decoding: UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.len).prefix(300), as: UTF8.self)
        return String(text.map { $0.isNewline || $0.unicodeScalars.contains { $0.value < 0x20 } ? " " : $0 })
    }
}
