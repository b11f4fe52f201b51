import Engine
import ForecacheModel
import FoundationEssentials
import OpenStackAPI

/// Images of a file instead of Glance's: for plans where Glance is not to be asked.
struct SavedCatalog: ImageCatalog {
    let saved: SavedImages
    private let file: String

    /// Throws `.failed` where the file cannot be read as images.
    init(file: String, environment: [String: String]) throws(Refusal) {
        let files = OperatorFiles(environment: environment)
        let path = files.absolute(file, from: ".")
        switch files.text(path) {
        case .failure(let failure): throw .failed(failure)
        case .success(let text):
            do throws(Failure) { saved = try SavedImages.read(text, file: file) } catch { throw .failed(error) }
        }
        self.file = file
    }

    func image(_ id: ImageID) async throws(Failure) -> ImageFacts? { saved.images.first { $0.id == id } }

    func images(named name: String?) async throws(Failure) -> [ImageFacts] { saved.images.filter { name == nil || $0.name == name } }

    func download(of id: ImageID, endpoint: String?, refused: Secret?) async throws(Failure) -> DownloadGrant { throw withoutBytes }

    func bytes(of id: ImageID, in range: Range<Int64>) async throws(Failure) -> [UInt8] { throw withoutBytes }

    private var withoutBytes: Failure { Failure(.permanent, "\(file) has no image's bytes; ask Glance") }
}
