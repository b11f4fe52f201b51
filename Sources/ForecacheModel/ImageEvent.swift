/// A notification that names an image to look at again. Nothing else in it is believed.
public struct ImageEvent: Hashable, Sendable {
    public var image: ImageID
    /// `image.update`, `image.activate`, …
    public var type: String
    /// oslo's `message_id` or `_unique_id`; two events with the same one are the same event.
    public var messageID: String?
    /// Who sent it: `events` prints it.
    public var publisher: String?

    public init(image: ImageID, type: String, messageID: String? = nil, publisher: String? = nil) {
        self.image = image
        self.type = type
        self.messageID = messageID
        self.publisher = publisher
    }
}
