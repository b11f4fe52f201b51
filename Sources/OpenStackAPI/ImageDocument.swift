public import ForecacheModel

/// A Glance image that somebody saved as JSON, such as the answer to `GET /v2/images/ID`.
public enum ImageDocument {
    /// Throws `.permanent` where the text is not an image as Glance v2 has it; `file` names it in the message.
    public static func read(_ text: String, file: String) throws(Failure) -> ImageFacts {
        do {
            return try ImageRecord.read(Array(text.utf8)).facts
        } catch {
            throw Failure(.permanent, "\(file) is not an image as Glance's v2 API has it (GET /v2/images/ID): \(error.description)")
        }
    }
}
