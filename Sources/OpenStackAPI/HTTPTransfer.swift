import CCurl
import ForecacheModel
import Foundation

/// One request under way. Belongs to the loop's thread, as does every pointer in it.
final class HTTPTransfer {
    let request: HTTPRequest
    let answer: CheckedContinuation<Result<HTTPResponse, Failure>, Never>
    /// Owned; freed by `free`, first of the three and after the multi handle let go of it.
    let easy: UnsafeMutableRawPointer
    /// Owned; the easy handle reads it, so it is freed second.
    private var headerList: UnsafeMutablePointer<curl_slist>?
    /// Owned; the easy handle writes here until it is freed, so it goes last.
    private let errorText: UnsafeMutablePointer<CChar>
    private let deadlines: HTTPDeadlines
    private var headers: [String: String] = [:]
    private var headerBytes = 0
    private var body: [UInt8] = []
    private var isTooLarge = false
    private var isCutOff = false

    /// More header than any server of OpenStack sends: tokens are at most 8 KiB.
    private static let mostHeaderBytes = 256 << 10

    /// Nil where there is no memory.
    init?(_ order: HTTPOrder, tls: TLSOptions, deadlines: HTTPDeadlines) {
        guard let easy = curl_easy_init() else { return nil }
        self.easy = easy
        self.deadlines = deadlines
        request = order.request
        answer = order.answer
        errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        setRequest()
        setBounds(deadlines)
        setTLS(tls)
        // Unretained: the loop holds this object until the easy handle is freed, and callbacks come on its thread, inside of its calls.
        let user = Unmanaged.passUnretained(self).toOpaque()
        ccurl_set_pointer(easy, CURLOPT_WRITEDATA, user)
        ccurl_set_receive(easy, CURLOPT_WRITEFUNCTION, receiveBody)
        ccurl_set_pointer(easy, CURLOPT_HEADERDATA, user)
        ccurl_set_receive(easy, CURLOPT_HEADERFUNCTION, receiveHeader)
    }

    /// Called once, after the multi handle let go of the easy handle.
    func free() {
        curl_easy_cleanup(easy)
        curl_slist_free_all(headerList)
        errorText.deallocate()
    }

    /// The answer, or why there is none.
    func result(_ code: CURLcode) -> Result<HTTPResponse, Failure> {
        guard code == CURLE_OK || isCutOff else { return .failure(failure(code)) }
        var status = 0
        ccurl_get_long(easy, CURLINFO_RESPONSE_CODE, &status)
        return .success(HTTPResponse(status: status, headers: headers, body: body))
    }

    static func cancelled(_ request: HTTPRequest) -> Failure { Failure(.cancelled, "\(request.name): told to stop") }

    private func setRequest() {
        ccurl_set_text(easy, CURLOPT_URL, request.url)
        ccurl_set_web_only(easy)
        // Redirects are judged one by one in `HTTPClient`; a .netrc must not add credentials.
        ccurl_set_long(easy, CURLOPT_FOLLOWLOCATION, 0)
        ccurl_set_long(easy, CURLOPT_NETRC, 0)
        ccurl_set_text(easy, CURLOPT_USERAGENT, "forecache")
        if let body = request.body {
            ccurl_set_size(easy, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count))
            body.withUnsafeBytes { bytes in
                bytes.withMemoryRebound(to: CChar.self) { _ = ccurl_set_text(easy, CURLOPT_COPYPOSTFIELDS, $0.baseAddress) }
            }
            if body.isEmpty { ccurl_set_text(easy, CURLOPT_COPYPOSTFIELDS, "") }
            // No waiting for "100 Continue": the WSGI servers of OpenStack do not send it.
            append(header: "Expect:")
        }
        if request.body != nil || request.method != .get { ccurl_set_text(easy, CURLOPT_CUSTOMREQUEST, request.method.rawValue) }
        for header in request.headers { append(header: "\(header.name): \(header.value.reveal())") }
        if let headerList { ccurl_set_list(easy, CURLOPT_HTTPHEADER, headerList) }
    }

    private func append(header: String) {
        if let longer = curl_slist_append(headerList, header) { headerList = longer }
    }

    private func setBounds(_ deadlines: HTTPDeadlines) {
        ccurl_set_pointer(easy, CURLOPT_ERRORBUFFER, errorText)
        ccurl_set_long(easy, CURLOPT_NOSIGNAL, 1)
        ccurl_set_quick_exit(easy)
        ccurl_set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, deadlines.connectMilliseconds)
        ccurl_set_long(easy, CURLOPT_TIMEOUT_MS, deadlines.totalMilliseconds)
        ccurl_set_long(easy, CURLOPT_LOW_SPEED_LIMIT, 1)
        ccurl_set_long(easy, CURLOPT_LOW_SPEED_TIME, deadlines.stallSeconds)
        // By the length that is announced, before anything comes.
        if !request.isBeginningEnough { ccurl_set_size(easy, CURLOPT_MAXFILESIZE_LARGE, curl_off_t(request.mostAnswerBytes)) }
        ccurl_set_long(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        ccurl_set_long(easy, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        ccurl_set_long(easy, CURLOPT_TCP_KEEPALIVE, 1)
    }

    private func setTLS(_ tls: TLSOptions) {
        ccurl_set_long(easy, CURLOPT_SSL_VERIFYPEER, tls.isInsecure ? 0 : 1)
        ccurl_set_long(easy, CURLOPT_SSL_VERIFYHOST, tls.isInsecure ? 0 : 2)
        ccurl_set_long(easy, CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        if let file = tls.caFile { ccurl_set_text(easy, CURLOPT_CAINFO, file) }
        if let file = tls.certificateFile { ccurl_set_text(easy, CURLOPT_SSLCERT, file) }
        if let file = tls.keyFile { ccurl_set_text(easy, CURLOPT_SSLKEY, file) }
    }

    // MARK: - Callbacks' halves

    fileprivate func receive(body bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard body.count + bytes.count <= request.mostAnswerBytes else {
            isCutOff = request.isBeginningEnough
            isTooLarge = !isCutOff
            if isCutOff { body.append(contentsOf: bytes.prefix(request.mostAnswerBytes - body.count)) }
            return false
        }
        // Part of an image: grown by doubling it would take twice its size.
        if body.isEmpty, request.isBeginningEnough { body.reserveCapacity(request.mostAnswerBytes) }
        body.append(contentsOf: bytes)
        return true
    }

    fileprivate func receive(header bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        headerBytes += bytes.count
        guard headerBytes <= Self.mostHeaderBytes else {
            isTooLarge = true
            return false
        }
        let line = String(decoding: bytes, as: UTF8.self)
        // A new status line begins a new answer: what came before was "100 Continue".
        if line.hasPrefix("HTTP/") { headers = [:] }
        guard let colon = line.firstIndex(of: ":") else { return true }
        headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespacesAndNewlines)
        return true
    }

    // MARK: - What went wrong

    private func failure(_ code: CURLcode) -> Failure {
        let place = ServiceURL.origin(of: request.url) ?? ServiceURL.withoutQuery(request.url)
        let service = "\(request.service) at \(place)"
        let detail = errorText.pointee == 0 ? String(cString: curl_easy_strerror(code)) : String(cString: errorText)
        let cause = "\(request.name): \(Printable.text(Array(detail.utf8), limit: 200)) (curl \(code.rawValue))"
        if isTooLarge || code == CURLE_FILESIZE_EXCEEDED {
            let what = "\(service) sent more than \(request.mostAnswerBytes) bytes"
            let isBody = headerBytes <= Self.mostHeaderBytes
            return Failure(.permanent, "\(what); is it really \(request.service)?", cause: cause, about: isBody ? .answer : nil)
        }
        switch code {
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR:
            let what = "the certificate of \(service) is not trusted"
            return Failure(.permanent, "\(what); check OS_CACERT (`cacert` in clouds.yaml) and the host name", cause: cause)
        case CURLE_SSL_CERTPROBLEM:
            return Failure(.permanent, "our client certificate for \(service) is not usable; check OS_CERT and OS_KEY", cause: cause)
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL:
            return Failure(.permanent, "\(request.service)'s URL cannot be used; check the endpoint", cause: cause)
        case CURLE_SSL_CONNECT_ERROR:
            return Failure(.retriable, "no TLS with \(service); is it https there, and is \(request.service) up?", cause: cause)
        case CURLE_OPERATION_TIMEDOUT:
            return Failure(.retriable, "\(service) did not answer in time; is \(request.service) up, and not overloaded?", cause: cause)
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT:
            return Failure(.retriable, "\(service) is not reachable; is \(request.service) up, and the address right?", cause: cause)
        default:
            return Failure(.retriable, "\(service) broke off; is \(request.service) up?", cause: cause)
        }
    }
}

private nonisolated func receiveBody(
    _ bytes: UnsafeMutablePointer<CChar>?, _ one: Int, _ count: Int, _ user: UnsafeMutableRawPointer?
) -> Int {
    receive(bytes, count, user) { $0.receive(body: $1) }
}

private nonisolated func receiveHeader(
    _ bytes: UnsafeMutablePointer<CChar>?, _ one: Int, _ count: Int, _ user: UnsafeMutableRawPointer?
) -> Int {
    receive(bytes, count, user) { $0.receive(header: $1) }
}

/// Answers `count` for "taken"; anything else makes libcurl end the transfer.
private nonisolated func receive(
    _ bytes: UnsafeMutablePointer<CChar>?, _ count: Int, _ user: UnsafeMutableRawPointer?,
    take: (HTTPTransfer, UnsafeBufferPointer<UInt8>) -> Bool
) -> Int {
    guard count > 0 else { return 0 }
    guard let bytes, let user else { return -1 }
    let transfer = Unmanaged<HTTPTransfer>.fromOpaque(user).takeUnretainedValue()
    return bytes.withMemoryRebound(to: UInt8.self, capacity: count) {
        take(transfer, UnsafeBufferPointer(start: $0, count: count)) ? count : -1
    }
}
