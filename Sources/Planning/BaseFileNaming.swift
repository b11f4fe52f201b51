import Crypto
public import ForecacheModel

extension BaseFileName {
    /// The name under which Nova looks for an image: sha1 of the UUID's lower-case text (nova/virt/libvirt/imagecache.py, `get_cache_fname`).
    public init(of image: ImageID) {
        let digest = Insecure.SHA1.hash(data: Array(image.text.utf8))
        guard let name = BaseFileName(Hexadecimal.text(digest)) else { preconditionFailure("a SHA-1 digest has 40 hexadecimal digits") }
        self = name
    }
}
