public import ForecacheModel
public import FoundationEssentials

// The engine's doors to the world. Each has a real shell on floor 4; `ForecacheTestSupport` has the simulated one and the conformance suite.

// MARK: - Notifications in

/// One message as the broker delivered it, not yet understood.
public struct Delivery: Hashable, Sendable {
    public var body: [UInt8]
    public var exchange: String
    public var routingKey: String
    public var isRedelivered: Bool

    public init(body: [UInt8], exchange: String, routingKey: String, isRedelivered: Bool = false) {
        self.body = body
        self.exchange = exchange
        self.routingKey = routingKey
        self.isRedelivered = isRedelivered
    }
}

public enum NotificationSourceEvent: Sendable {
    /// Bound and consuming, for the first time or again: events may have been missed before, so a resync is due.
    case subscribed
    /// All messages that were ready, oldest first, at most `prefetch`. They are acknowledged when the handler returns, and not before.
    case deliveries([Delivery])
    /// The subscription is gone; the source keeps trying by itself.
    case lost(Failure)
}

/// Our own durable queue of OpenStack notifications.
public protocol NotificationSource: Sendable {
    /// Subscribes and calls `handle` one event after the other, reconnecting for ever; returns soon after cancellation. Throws only what can never heal,
    /// and what `handle` threw (whose deliveries stay unacknowledged).
    func run(handle: @escaping @Sendable (NotificationSourceEvent) async throws(Failure) -> Void) async throws(Failure)
}

// MARK: - Glance

/// What a host needs to download one image.
public struct DownloadGrant: Sendable {
    public var url: String
    public var token: Secret
    /// True where the operator switched verification off (`insecure` in clouds.yaml).
    public var isInsecure: Bool

    public init(url: String, token: Secret, isInsecure: Bool = false) {
        self.url = url
        self.token = token
        self.isInsecure = isInsecure
    }
}

/// Glance's records.
public protocol ImageCatalog: Sendable {
    /// The image as Glance has it now; nil where it does not exist (any longer).
    func image(_ id: ImageID) async throws(Failure) -> ImageFacts?
    /// All images that we may see, or those of exactly one name, all pages. Hidden ones are included.
    func images(named name: String?) async throws(Failure) -> [ImageFacts]
    /// A token that lives long enough to start a download and is not `refused`, the one that a host came back with; and the URL on the given endpoint (nil: the
    /// catalog's).
    func download(of id: ImageID, endpoint: String?, refused: Secret?) async throws(Failure) -> DownloadGrant
    /// Exactly the bytes of a range, which is not empty and lies inside the image: for a look before anything is moved.
    func bytes(of id: ImageID, in range: Range<Int64>) async throws(Failure) -> [UInt8]
}

/// Where the certificates of images' signers are kept.
public protocol SignatureCertificates: Sendable {
    /// PEM or DER; nil where there is none of that UUID.
    func certificate(_ id: String) async throws(Failure) -> [UInt8]?
}

// MARK: - Nova

/// A host aggregate as Nova has it.
public struct HostAggregate: Hashable, Sendable {
    public var id: Int64
    /// What its notifications name it by.
    public var uuid: String
    public var name: String
    /// By Nova's own names (`[DEFAULT] host`), mostly fully qualified.
    public var hosts: [String]

    public init(id: Int64, uuid: String, name: String, hosts: [String]) {
        self.id = id
        self.uuid = uuid
        self.name = name
        self.hosts = hosts
    }
}

/// Nova's own pre-caching, microversion 2.81.
public protocol ImagePreCaching: Sendable {
    /// Throws `.permanent` where there is none of that name, and where Nova is older than the API.
    func aggregate(named name: String) async throws(Failure) -> HostAggregate
    /// Asks all hosts of the aggregate to have the image: a base file that is there is touched, else fetched. Nova has only taken note when this returns; how it
    /// ends comes as notifications with the id that is returned (nil where Nova gives none).
    func cache(_ image: ImageID, in aggregate: HostAggregate) async throws(Failure) -> String?
}

// MARK: - Compute nodes

/// How a base file comes into being on a host: the same value for fetch, copy and publish, so that all three name the same temporary.
public struct BaseFileRequest: Hashable, Sendable {
    public var image: ImageID
    /// Exact size of the image's bytes.
    public var bytes: Int64
    public var digest: Digest
    /// Bytes to leave free on the host's file system.
    public var keepFreeBytes: Int64
    /// Bytes a second that may come from Glance; nil: as fast as they come. Copies stay inside the site and are not held to it.
    public var rateLimit: Int64?
    /// Downloads of ranges side by side; nil: up to four, as far as more of them bring more.
    public var streams: Int?
    /// Bytes that nobody may publish unless they are those which were looked at; nil where nobody looked.
    public var proof: RangeProof?
    /// Nil: the base file is the image's bytes as they are. A conversion needs the proof.
    public var conversion: Conversion?
    /// Publishing a converted base file leaves the image's own bytes in the temporary, for other hosts to copy, until `release`.
    public var keepsOriginal = false
    /// For a copy: the source's base file is a converted one, so its temporary is what is copied.
    public var sourceIsConverted = false
    /// For a copy: the source is still receiving, so its temporary is followed; its base file is taken once that is gone.
    public var sourceIsReceiving = false

    /// How the raw file is made of the image's bytes.
    public struct Conversion: Hashable, Sendable {
        /// What `qemu-img -f` calls them.
        public var qemuFormat: String
        /// Exact size of the raw file, up to QEMU's rounding to sectors.
        public var rawBytes: Int64

        public init(qemuFormat: String, rawBytes: Int64) {
            self.qemuFormat = qemuFormat
            self.rawBytes = rawBytes
        }
    }

    public init(image: ImageID, bytes: Int64, digest: Digest, keepFreeBytes: Int64 = 0, rateLimit: Int64? = nil) {
        self.image = image
        self.bytes = bytes
        self.digest = digest
        self.keepFreeBytes = keepFreeBytes
        self.rateLimit = rateLimit
    }
}

/// How a fetch or copy ended on the host.
public struct Transfer: Hashable, Sendable {
    /// Bytes moved now.
    public var bytes: Int64
    /// Bytes that lay there from an earlier try.
    public var resumedFrom: Int64
    /// The base file was there already: nothing was moved, nothing is to be published.
    public var isExisting: Bool

    public init(bytes: Int64, resumedFrom: Int64 = 0, isExisting: Bool = false) {
        self.bytes = bytes
        self.resumedFrom = resumedFrom
        self.isExisting = isExisting
    }
}

/// Answer to one touch.
public enum Touch: Hashable, Sendable {
    /// Its age is 0 now; `bytes` as it lies there.
    case touched(bytes: Int64)
    case missing
}

public typealias Progress = @Sendable (_ bytesOnHost: Int64) -> Void

/// Exactly the bytes of a range of an image.
public typealias ByteSource = @Sendable (_ range: Range<Int64>) async throws(Failure) -> [UInt8]

/// What the engine can do on a compute node. Every operation is idempotent and may be cancelled; a cancelled one leaves nothing but a temporary.
public protocol HostOperations: Sendable {
    func survey(_ host: Host) async throws(Failure) -> HostSurvey
    /// Brings the bytes from Glance into the host's temporary, resuming where an earlier try ended.
    func fetch(_ request: BaseFileRequest, with grant: DownloadGrant, on host: Host, progress: @escaping Progress) async throws(Failure)
        -> Transfer
    /// Sends the bytes into the host's temporary, from the offset on that lies there: `source` is asked for one range after the other, as fast as the host takes
    /// them. For hosts without a way to Glance, and for hosts that shall see no token.
    func receive(_ request: BaseFileRequest, from source: @escaping ByteSource, on host: Host, progress: @escaping Progress)
        async throws(Failure) -> Transfer
    /// Brings the bytes of `source`'s finished base file, or of its growing temporary, into the host's temporary, resuming likewise.
    func copy(_ request: BaseFileRequest, from source: Host, on host: Host, progress: @escaping Progress) async throws(Failure) -> Transfer
    /// Verifies size, digest and proof, converts where that is asked for, then makes the result the base file, never overwriting one. True where one was there
    /// already (then touched).
    func publish(_ request: BaseFileRequest, on host: Host) async throws(Failure) -> Bool
    /// Drops the temporary that `publish` kept for others.
    func release(_ request: BaseFileRequest, on host: Host) async throws(Failure)
    /// Sets the mtime of base files to the node's now; answers for each name.
    func touch(_ names: [BaseFileName], on host: Host) async throws(Failure) -> [BaseFileName: Touch]
    /// Removes our own temporaries older than the age; bytes freed.
    func sweep(olderThanSeconds: Int, on host: Host) async throws(Failure) -> Int64
    /// The bytes of ranges of a base file, 4 MiB in all at most: for a look at what lies there. Changes nothing.
    func read(_ ranges: [Range<Int64>], of name: BaseFileName, on host: Host) async throws(Failure) -> [[UInt8]]
}

extension HostOperations {
    /// For hosts that are made up and have no bytes.
    public func read(_ ranges: [Range<Int64>], of name: BaseFileName, on host: Host) async throws(Failure) -> [[UInt8]] {
        throw Failure(.permanent, "base files on \(host.name) cannot be read")
    }
}

// MARK: - Ledger

/// What is known and intended, on disk. Every method is one transaction: it is committed when the method returns, or nothing of it is.
public protocol Ledger: Sendable {
    // Work
    /// Commits intents, one row an image: a repeated request raises the row's generation, resets its attempts and makes it due at `now`, except for
    /// `.resync`, which leaves a row that already waits as it is, unless it is due later than anything is put off. `.refresh` asks for some hosts only, the others
    /// for all: it leaves a waiting row's cause, and any other replaces it.
    /// Returns the rows that it made or renewed, in no order.
    @discardableResult
    func request(_ images: [ImageID], cause: WorkCause, at now: Date) async throws(Failure) -> [WorkRow]
    /// Rows of the images that wait are due at `now`. Their attempts stay, so what fails again is put off as long as if it had waited. A power cut may take it back.
    func bringForward(_ images: [ImageID], at now: Date) async throws(Failure)
    /// Rows due at `now`, oldest first, without those of generations up to what `excluding` has for their images.
    func dueWork(at now: Date, excluding: [ImageID: Int64], limit: Int) async throws(Failure) -> [WorkRow]
    /// When the earliest waiting row is due; nil where there is none.
    func nextWorkDue() async throws(Failure) -> Date?
    /// Deletes the rows, except where a row's generation is newer than in `rows`. A power cut may bring the last finished rows back: they are then looked at once more.
    func finish(_ rows: [WorkRow]) async throws(Failure)
    /// Keeps the row for another round at `dueAt` with one more attempt and a new generation, so that no other round of the image that ends well takes it away.
    /// `row.generation`: the newest that any round of the image has taken. A row that is newer has been asked for or put off since: it stays as it is, but due at
    /// `dueAt` where that is sooner. One that another round has finished meanwhile comes back.
    /// The cause becomes `.retry`, but a `.refresh` stays one.
    /// `isFailure: false` leaves the attempts as they are: the row only waits.
    func postpone(_ row: WorkRow, until dueAt: Date, reason: String, isFailure: Bool) async throws(Failure)
    func workCount() async throws(Failure) -> Int

    // Placements
    /// Makes the image's wanted placements exactly `decision.placements` that are enforced: new ones pending, kept ones updated (rule, role, priority, ttl), others
    /// unwanted (nothing is deleted). `ttlSeconds` gives the TTL that counts on each host. Also stores the image's facts (name, digest, size); `refreshAt` is recomputed
    /// by the ledger's `RefreshSchedule` where the TTL changed. Verdicts with a `began` are remembered, the others of the image forgotten.
    func record(_ decision: Decision, ttlSeconds: [HostName: Int], at now: Date) async throws(Failure)
    /// Since when rules with `for:` match the image, by rule name: as `record` was told by the verdicts of its last decision.
    func matchesBegan(_ image: ImageID) async throws(Failure) -> [String: Date]
    /// The image is gone from Glance: all its placements are unwanted.
    func recordGone(_ image: ImageID, at now: Date) async throws(Failure)
    /// Marks placements as being worked on; the mark is cleared by their outcome, and by `open` after a crash.
    func recordStarted(_ image: ImageID, on hosts: [HostName], at now: Date) async throws(Failure)
    /// Stores how far transfers are, of those placements that are being worked on; a power cut may take it back.
    func recordProgress(_ image: ImageID, _ progress: [HostName: TransferProgress]) async throws(Failure)
    /// Stores outcomes with their history, and the next refresh of what is there. An outcome never makes a file older than it is known to be: `existing` may
    /// speak of a survey that was taken before the last touch.
    func record(_ outcomes: [Outcome], at now: Date) async throws(Failure)
    /// Stores what a survey saw: host facts; for placements of that host the age of base files that are there, and "not there" for those that are not. Refreshes
    /// that were put off because the host did not answer are due again as the schedule has them.
    /// Returns, where the host could not be surveyed the time before, the images that are wanted there and not there or past their expiry, in order.
    @discardableResult
    func record(_ survey: HostSurvey, at now: Date) async throws(Failure) -> [ImageID]
    /// Stores that a host could not be surveyed.
    func recordUnreachable(_ host: HostName, reason: String, at now: Date) async throws(Failure)

    func placements(of image: ImageID) async throws(Failure) -> [PlacementRecord]
    /// Sites of the image's wanted placements that are not there, or past their expiry.
    func sitesInNeed(of image: ImageID, at now: Date) async throws(Failure) -> Set<SiteName>
    /// Image ids in order, after the given one: pages for `status`.
    func images(after image: ImageID?, limit: Int) async throws(Failure) -> [LedgerImage]
    /// Number of placements by state.
    func placementCounts(at now: Date) async throws(Failure) -> [PlacementState: Int]

    // Refresh
    /// Hosts with wanted placements that are due for a refresh, soonest expiry first.
    func hostsDue(at now: Date, limit: Int) async throws(Failure) -> [DueHost]
    /// One host's wanted placements that are due, and those that come due so soon that the same log-in serves them (see `RefreshSchedule`); soonest expiry first.
    func dueRefreshes(on host: HostName, at now: Date, limit: Int) async throws(Failure) -> [DueRefresh]
    /// When the next wanted placement is due for a refresh; nil where there is none.
    func nextRefresh() async throws(Failure) -> Date?
    /// Stores that base files of a host were touched at `moment`: they are as good as new. No history is kept of what goes well for ever.
    func recordTouched(_ images: [ImageID], on host: HostName, at moment: Date) async throws(Failure)
    /// Stores that base files were looked for and are not there: a failure, and nothing to refresh until they are there again.
    func recordMissing(_ images: [ImageID], on host: HostName, reason: String, at now: Date) async throws(Failure)
    /// Puts off refreshes that failed: they come again at `dueAt`.
    func postponeRefresh(_ images: [ImageID], on host: HostName, until dueAt: Date, reason: String, at now: Date) async throws(Failure)
    /// Number of placements for which `PlacementRecord.isAtRisk` holds.
    func atRiskCount(at now: Date) async throws(Failure) -> Int

    // Messages
    func keep(_ message: OddMessage) async throws(Failure)
    func oddMessages(limit: Int) async throws(Failure) -> [OddMessage]
}

extension Ledger {
    /// After a round that failed.
    public func postpone(_ row: WorkRow, until dueAt: Date, reason: String) async throws(Failure) {
        try await postpone(row, until: dueAt, reason: reason, isFailure: true)
    }
}

/// A host with placements that are due for a refresh.
public struct DueHost: Hashable, Sendable {
    public var host: HostName
    /// The soonest expiry of those that are due.
    public var expiresAt: Date
    /// Since when the first of them is due.
    public var dueAt: Date

    public init(host: HostName, expiresAt: Date, dueAt: Date) {
        self.host = host
        self.expiresAt = expiresAt
        self.dueAt = dueAt
    }
}

/// A wanted placement whose base file is to be touched: as much of its record as that needs, because they come by the million.
public struct DueRefresh: Hashable, Sendable {
    public var image: ImageID
    public var baseFile: BaseFileName
    public var site: SiteName
    /// The rule that wants it.
    public var rule: String
    public var expiresAt: Date

    public init(image: ImageID, baseFile: BaseFileName, site: SiteName, rule: String, expiresAt: Date) {
        self.image = image
        self.baseFile = baseFile
        self.site = site
        self.rule = rule
        self.expiresAt = expiresAt
    }
}

/// An image as the ledger last saw it.
public struct LedgerImage: Hashable, Sendable {
    public var id: ImageID
    public var name: String

    public init(id: ImageID, name: String) {
        self.id = id
        self.name = name
    }
}
