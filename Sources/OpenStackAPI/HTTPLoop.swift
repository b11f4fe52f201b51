import CCurl
import ForecacheModel
import Foundation

/// The thread that owns every libcurl handle: it creates, drives and frees them, and nobody else touches one.
final class HTTPLoop {
    private let inbox: HTTPInbox
    private let tls: TLSOptions
    private let deadlines: HTTPDeadlines
    /// Owned: made in `init`, freed at the end of `run` after the last easy handle was removed, all on this thread.
    private let multi: UnsafeMutableRawPointer
    private var transfers: [UInt64: HTTPTransfer] = [:]

    /// Starts the thread; it ends after `inbox.stop()` and is to be joined by the caller.
    static func start(inbox: HTTPInbox, tls: TLSOptions, deadlines: HTTPDeadlines) throws(Failure) -> pthread_t {
        guard curlGlobal == CURLE_OK else { throw Failure(.fatal, "libcurl cannot be initialised (code \(curlGlobal.rawValue))") }
        let start = Unmanaged.passRetained(HTTPLoopStart(inbox: inbox, tls: tls, deadlines: deadlines))
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, runLoop, start.toOpaque())
        guard code == 0 else {
            start.release()
            throw Failure(.fatal, "no thread for HTTP: \(String(cString: strerror(code)))")
        }
        return thread
    }

    fileprivate init?(_ start: HTTPLoopStart) {
        guard let multi = curl_multi_init() else { return nil }
        self.multi = multi
        inbox = start.inbox
        tls = start.tls
        deadlines = start.deadlines
        // A token that Glance has not seen yet costs Keystone one validation for each request that comes before the first is answered. 24 requests with
        // a fresh token, slowest one, twice each on a busy two-core lab: 3 s by four at once, 8 s by eight, 21 and 38 s by sixteen.
        _ = ccurl_multi_set_long(multi, CURLMOPT_MAX_HOST_CONNECTIONS, 4)
        inbox.lend(UInt(bitPattern: multi))
    }

    fileprivate func run() {
        while true {
            let letters = inbox.take()
            for order in letters.orders { start(order) }
            for id in letters.cancelled { end(id) { .failure(HTTPTransfer.cancelled($0.request)) } }
            if letters.isStopping { break }
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
            collectFinished()
            // Woken by the inbox, by sockets and by libcurl's own timers; the bound only limits the cost of a wake-up that got lost.
            curl_multi_poll(multi, nil, 0, 1000, nil)
        }
        for id in Array(transfers.keys) { end(id) { .failure(HTTPTransfer.cancelled($0.request)) } }
        inbox.lend(0)
        curl_multi_cleanup(multi)
    }

    private func start(_ order: HTTPOrder) {
        guard let transfer = HTTPTransfer(order, tls: tls, deadlines: deadlines) else {
            order.answer.resume(returning: .failure(Failure(.retriable, "\(order.request.name): no memory for the request")))
            return
        }
        transfers[order.id] = transfer
        let code = curl_multi_add_handle(multi, transfer.easy)
        if code != CURLM_OK {
            end(order.id) { .failure(Failure(.retriable, "\($0.request.name): \(String(cString: curl_multi_strerror(code)))")) }
        }
    }

    private func collectFinished() {
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle else { continue }
            // The message dies with the handle, so its result is read before.
            let code = ccurl_message_result(message)
            if let id = transfers.first(where: { $0.value.easy == easy })?.key { end(id) { $0.result(code) } }
        }
    }

    private func end(_ id: UInt64, with result: (HTTPTransfer) -> Result<HTTPResponse, Failure>) {
        guard let transfer = transfers.removeValue(forKey: id) else { return }
        curl_multi_remove_handle(multi, transfer.easy)
        transfer.answer.resume(returning: result(transfer))
        transfer.free()
    }
}

/// What the new thread is handed, once.
private final class HTTPLoopStart: Sendable {
    let inbox: HTTPInbox
    let tls: TLSOptions
    let deadlines: HTTPDeadlines

    init(inbox: HTTPInbox, tls: TLSOptions, deadlines: HTTPDeadlines) {
        self.inbox = inbox
        self.tls = tls
        self.deadlines = deadlines
    }
}

/// Once a process, before the first thread that uses libcurl.
private let curlGlobal = ccurl_global_init()

/// The thread's main function. It takes over the reference that `start` retained.
private nonisolated func runLoop(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    let start = Unmanaged<HTTPLoopStart>.fromOpaque(argument).takeRetainedValue()
    // Signals belong to the main thread; and OpenSSL's writes to a closed socket must not raise SIGPIPE here.
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, nil)
    if let loop = HTTPLoop(start) { loop.run() } else { refuseAll(start.inbox) }
    return nil
}

/// Without a multi handle (no memory) nothing can be sent, but every order still gets its answer.
private func refuseAll(_ inbox: HTTPInbox) {
    while true {
        let letters = inbox.take()
        for order in letters.orders {
            order.answer.resume(returning: .failure(Failure(.fatal, "\(order.request.name): libcurl has no memory")))
        }
        if letters.isStopping { return }
        poll(nil, 0, 100)  // this thread is the loop's own: nobody else waits
    }
}
