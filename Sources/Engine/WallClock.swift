public import FoundationEssentials

/// A moment of the wall clock as a clock's instant, so that the engine can be run on `ManualClock` in tests and sleeps on the same time that it compares.
public struct WallInstant: InstantProtocol {
    public var date: Date

    public init(_ date: Date) { self.date = date }

    public func advanced(by duration: Duration) -> WallInstant { WallInstant(date.addingTimeInterval(duration.seconds)) }
    public func duration(to other: WallInstant) -> Duration { .seconds(other.date.timeIntervalSince(date)) }
    public static func < (left: Self, right: Self) -> Bool { left.date < right.date }
}

/// The system's wall clock.
public struct WallClock: Clock {
    public init() {}

    public var now: WallInstant { WallInstant(Date()) }
    public var minimumResolution: Duration { .milliseconds(1) }

    public func sleep(until deadline: WallInstant, tolerance: Duration?) async throws {
        try await Task.sleep(for: max(Duration.zero, now.duration(to: deadline)), tolerance: tolerance, clock: .continuous)
    }
}

extension Duration {
    /// Whole and fractional seconds.
    public var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}

extension Date {
    /// Whether less than `seconds`, 0 or more, have passed since. A moment that is yet to come was noted before the clock was set back, and counts as long ago.
    public func isYounger(than seconds: Double, at now: Date) -> Bool { (0..<seconds).contains(now.timeIntervalSince(self)) }
}
