extension Int64 {
    /// Sizes come from outside: a sum that overflows is as large as it gets.
    public func saturating(plus other: Int64) -> Int64 {
        let (sum, overflows) = addingReportingOverflow(other)
        return overflows ? .max : sum
    }

    public func saturating(minus other: Int64) -> Int64 {
        let (rest, overflows) = subtractingReportingOverflow(other)
        return overflows ? .min : rest
    }
}
