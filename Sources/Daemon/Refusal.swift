public import ForecacheModel
public import StrictYAML

/// Why a command ends without having done its work, with the exit code that scripts rely on.
public enum Refusal: Error, Sendable {
    /// The call's words are off.
    case usage(String)
    /// A service that the command needs is not reachable; named, with its address.
    case unreachable(Failure)
    /// Configuration, rules or inventory are invalid: all problems at once.
    case invalid(Problems)
    /// Credentials are missing or contradict each other: configuration, but of no file of ours.
    case misconfigured(Failure)
    case failed(Failure)
    /// Hosts failed (1: all, 2: some); what there is to say was said.
    case incomplete(Int32)

    public var exitCode: Int32 {
        switch self {
        case .usage: 64
        case .unreachable: 69
        case .invalid, .misconfigured: 78
        case .failed: 1
        case .incomplete(let code): code
        }
    }

    /// Nil where everything was said already.
    public var message: String? {
        switch self {
        case .incomplete: nil
        case .usage(let text): text
        case .unreachable(let failure), .misconfigured(let failure), .failed(let failure): failure.description
        case .invalid(let problems): problems.description
        }
    }

    /// A failure at a port, told as its exit code: what may heal by itself means "not reachable now".
    public init(_ failure: Failure) { self = failure.kind == .retriable ? .unreachable(failure) : .failed(failure) }
}

/// How the outcomes of a command add up.
public enum ExitStatus {
    /// As below; a command that was told to stop before its end has not done all, whatever it did. Nor has one whose hosts wait for a window: by hand nobody
    /// tries them again.
    public static func code(_ outcomes: [Outcome], wasStopped: Bool) -> Int32 {
        let failed = outcomes.count { $0.kind == .failed || $0.againAt != nil }
        let done = outcomes.count { $0.kind == .cached || $0.kind == .existing }
        if wasStopped { return done == 0 ? 1 : 2 }
        return code(failed: failed, of: outcomes.count)
    }

    /// 0: all done, 1: every host failed, 2: some did.
    public static func code(failed: Int, of all: Int) -> Int32 {
        if failed == 0 { return 0 }
        return failed == all ? 1 : 2
    }
}
