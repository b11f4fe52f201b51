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

    func waits() async {
        (working, waiting) = (working - 1, waiting + 1)
        await tellChange()
    }

    func proceeds() async {
        (working, waiting) = (working + 1, waiting - 1)
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
