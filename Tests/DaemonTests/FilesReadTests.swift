import Foundation
import Testing

@testable import Daemon

@Suite struct FilesReadTests {
    private let folder: Folder
    private let path: String
    private let link: String

    init() throws {
        folder = try Folder()
        path = try folder.write("rules/golden.yaml", "one")
        link = folder.path + "/current.yaml"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
    }

    /// Read through a link, as files of a container's configuration are.
    private func isSeen(_ change: () throws -> Void) throws -> Bool {
        let read = FilesRead()
        read.willRead(link)
        guard read.stampsNow() == read.stamps else { return false }
        try change()
        return read.stampsNow() != read.stamps
    }

    @Test func whatIsLeftAloneIsUnchanged() throws { #expect(try !isSeen {}) }

    @Test func aFileWrittenInPlaceIsSeen() throws {
        #expect(try isSeen { try folder.write("rules/golden.yaml", "longer") })
        #expect(
            try isSeen {
                let file = try FileHandle(forWritingTo: URL(filePath: path))
                try file.write(contentsOf: Data("LONGER".utf8))
                try file.close()
            })
    }

    @Test func aFileThatTakesItsPlaceIsSeenHoweverAlike() throws {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        let other = try folder.write("rules/other", "two")
        try FileManager.default.setAttributes([.modificationDate: try #require(attributes[.modificationDate])], ofItemAtPath: other)
        #expect(try isSeen { _ = rename(other, path) })
        #expect(try String(contentsOfFile: link, encoding: .utf8) == "two")
    }

    @Test func aFileThatGoesAndComesIsSeen() throws {
        #expect(try isSeen { try FileManager.default.removeItem(atPath: path) })
        #expect(try isSeen { try folder.write("rules/golden.yaml", "one") })
    }
}
