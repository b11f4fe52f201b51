/// The bounds that an operator may want to change, under `limits:`, and those that rooms share, each with its unit and its reason.
public struct Limits: Hashable, Sendable {
    /// Hosts that work at once, in all sites: so many for transfers, as many for surveys and sweeps, and as many for touches, which take seconds and wait for
    /// no transfer.
    public var forks = 50
    /// Hosts of one site that work at once: Ansible's own default, so that nobody's Glance or proxy is loaded more than before.
    public var forksPerSite = 5
    /// Hosts of one site that work at once under relay: one of them fetches, so Glance is loaded no more, and a tree of that size is done in one wave.
    public var relayForksPerSite = 32
    /// How long a host that did not answer is believed to be away, in seconds: one time-out for all the images that want it, and soon asked again.
    public var awaySeconds = 30
    /// Images that are looked at, surveyed and planned at once: bounds Glance's API load.
    public var imagesAtOnce = 8
    /// Images that are planned, wait for a site or are on their way at once: bounds memory, and is far more than a few slow sites can hold up.
    public var imagesInFlight = 64
    /// Images whose bytes go to one site at once: more make none of them arrive sooner over the same link.
    public var imagesPerSite = 4
    /// How long a survey of a host counts, in seconds: the node program checks again before it moves a byte, so this only saves log-ins.
    public var surveyMaxAgeSeconds = 600
    /// First wait after a failed round, in seconds; doubled each time, with jitter.
    public var backoffSeconds = 5
    /// Longest wait between rounds, in seconds: tried for as long as it is wanted, but no oftener.
    public var backoffMaxSeconds = 3600
    /// Times that Glance is asked before an answer counts as missing; waits of about a second between, so a round is not lost to one restarting worker.
    public var catalogTries = 3
    /// A download or copy that moves no byte for so long is given up, in seconds.
    public var stallSeconds = 60
    /// Deadline of a survey, touch or sweep, in seconds: these are quick unless the node is ill.
    public var commandSeconds = 60
    /// Deadline of digest, fsync and link of one base file, in seconds: a spinning disk reads 50 GiB in about ten minutes.
    public var publishSeconds = 3600
    /// A pre-caching request to Nova on which no host reports for so long is over, in seconds: Nova itself gives a host up after 1800 s (`long_rpc_timeout`).
    public var precacheSilenceSeconds = 1860
    /// Longest line that a node may send, in bytes: our own program's lines are far shorter.
    public var nodeLineBytes = 16384
    /// Largest notification that is parsed, in bytes: image payloads are a few KiB.
    public var messageBytes = 1 << 20
    /// Notifications that may wait in memory while others are being written down, in bytes: thousands as they really are, and sixteen of the largest.
    public var waitingMessageBytes = 16 << 20
    /// Messages kept for a look because they could not be understood.
    public var oddMessages = 200
    /// Outcomes kept as history in the ledger.
    public var history = 100_000
    /// Touches sent to one host in one command: keeps a line of standard input short and progress visible.
    public var touchesPerCommand = 500
    /// Temporaries older than this are swept, in seconds: longer than any back-off, so that a resumed download finds its bytes.
    public var temporarySeconds = 2 * 86400
    /// Drain on SIGTERM, in seconds: systemd's default stop timeout is 90.
    public var drainSeconds = 15
    /// Server-sent event clients at once.
    public var statusClients = 32

    public init() {}

    /// The longest pause between two tries to refresh a placement, in seconds: a host that comes back is noticed within so long. Whoever waits for something else
    /// is looked at again as soon, and not sooner.
    public static let longestRetrySeconds: Double = 600
    /// Waits after failed rounds are multiplied with a random one of these, so that a site that comes back is not met by everything at once.
    public static let backoffJitter = 0.75...1.25
    /// No work is put off for longer, in seconds.
    public var longestBackoffSeconds: Double { Double(backoffMaxSeconds) * Self.backoffJitter.upperBound }
}
