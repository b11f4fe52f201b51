import Engine
import ForecacheModel
import Inspection

/// What one base file is, from a few of its bytes: the same look that an image gets before any host has it (OSSA-2024-001, OSSA-2024-002), for what lies
/// there already and came by other ways.
struct BaseFileScan: Sendable {
    let hosts: any HostOperations

    /// `image`: as Glance has it; nil where it has none whose base file would have this name.
    func row(_ file: BaseFile, of image: ImageFacts?, on host: Host, forcesRaw: Bool) async -> ScanReport.File {
        var row = ScanReport.File(file, image: image)
        do throws(Failure) {
            switch try await look(at: file, on: host) {
            case .refused(let refusal): (row.verdict, row.reason) = (.unsafe, refusal.description)
            case .safe(let format, _):
                row.format = format.rawValue
                (row.verdict, row.reason) = Self.verdict(on: format, file, image, forcesRaw: forcesRaw)
            }
        } catch {
            (row.verdict, row.reason) = (.unreadable, error.description)
        }
        return row
    }

    private func look(at file: BaseFile, on host: Host) async throws(Failure) -> Verdict {
        var inspector = Inspector(declaredFormat: nil, sizeBytes: file.bytes)
        while true {
            switch inspector.next() {
            case .done(let verdict): return verdict
            case .need(let ranges):
                let parts = try await hosts.read(ranges, of: file.name, on: host)
                for (range, bytes) in zip(ranges, parts) { inspector.received(bytes, at: range) }
            }
        }
    }

    /// On what is safe in itself: whether it is what Glance declares, and what Nova on that host would have made.
    static func verdict(
        on format: DetectedFormat, _ file: BaseFile, _ image: ImageFacts?, forcesRaw: Bool
    ) -> (ScanReport.Verdict, String?) {
        let isRaw = format == .raw || format == .gpt
        let declared = image?.diskFormat
        let isDeclaredRaw = declared.map(ImageFacts.rawDiskFormats.contains) ?? false
        if isDeclaredRaw, !isRaw {
            return (.unsafe, "Glance declares \(declared ?? "") and it is \(format.rawValue): whoever made it may lead QEMU elsewhere")
        }
        if forcesRaw {
            // Nova leaves an ISO as it is.
            guard isRaw || format == .iso else {
                return (
                    .odd, "it is \(format.rawValue), but this host's Nova takes every base file for raw: instances would not boot from it"
                )
            }
        } else if let declared, !isDeclaredRaw, declared != format.rawValue {
            return (.odd, "Glance declares \(declared), and it is \(format.rawValue)")
        }
        // The image's own bytes are as many as Glance has; a raw file that was made of them has a size of its own.
        if isDeclaredRaw || !forcesRaw, let size = image?.sizeBytes, size != file.bytes {
            return (.odd, "it has \(file.bytes) bytes, the image has \(size)")
        }
        return (.safe, nil)
    }
}
