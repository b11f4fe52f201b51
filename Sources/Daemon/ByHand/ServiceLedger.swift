public import Engine
import ForecacheModel
import Rules
import SQLiteLedger

/// The service's ledger as work by hand sees it: read, never written.
extension Setup {
    /// Nil where there is none; throws where that cannot be told, or where it cannot be read.
    func serviceLedger() throws(Failure) -> (any Ledger)? {
        if OperatorFiles.isAbsent(configuration.state) { return nil }
        return try SQLiteLedger.reading(path: configuration.state)
    }

    /// Who knows since when rules with `for:` match; nil where no rule asks for it, and where nobody knows: `note` then says that each match counts from now.
    public func matchTimes(note: (String) -> Void) -> (any Ledger)? {
        guard rules.lasts else { return nil }
        let consequence = "what rules keep 'for' a time counts from now"
        do throws(Failure) {
            if let ledger = try serviceLedger() { return ledger }
            note("\(consequence): there is no ledger at \(configuration.state)")
        } catch {
            note("\(consequence): \(error)")
        }
        return nil
    }
}
