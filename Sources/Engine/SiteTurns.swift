/// Which sites of one plan are worked on, and which wait for their turn.
actor SiteTurns {
    private var working: Int
    private var waiting = 0
    private var isWaiting = false
    private let tell: @Sendable (Bool) async -> Void

    init(sites: Int, tell: @escaping @Sendable (Bool) async -> Void) {
        working = sites
        self.tell = tell
    }

    /// One of the sites stands in a line, or no longer does.
    func stands(_ isInLine: Bool) async {
        let change = isInLine ? 1 : -1
        (working, waiting) = (working - change, waiting + change)
        await tellChange()
    }

    func ended() async {
        working -= 1
        await tellChange()
    }

    private func tellChange() async {
        let areAllWaiting = working == 0 && waiting > 0
        guard areAllWaiting != isWaiting else { return }
        isWaiting = areAllWaiting
        await tell(areAllWaiting)
    }
}
