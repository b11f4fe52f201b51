import Notifications
import Testing

@Suite struct RecentMessagesTests {
    @Test func anIdIsNewOnceWithinTheWindow() {
        var recent = RecentMessages(capacity: 3)
        var answers: [Bool] = []
        // "d" pushes "a" out, "a" then "b", and "b" then "c".
        for id in ["a", "b", "c", "a", "c", "d", "a", "c", "d", "b", "c"] { answers.append(recent.isNew(id)) }
        #expect(answers == [true, true, true, false, false, true, true, false, false, true, true])
    }

    @Test func theWindowIsExact() {
        var recent = RecentMessages(capacity: 100)
        let first = (0..<1000).map { recent.isNew("\($0)") }
        #expect(first.allSatisfy { $0 })
        let again = (900..<1000).map { recent.isNew("\($0)") }
        #expect(again.allSatisfy { !$0 })
        let older = recent.isNew("899")
        #expect(older)
    }
}
