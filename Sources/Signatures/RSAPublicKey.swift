import ForecacheModel
import SwiftASN1

/// RSA's public half, and the check of RSASSA-PSS with the longest salt that the key has room for: OpenStack signs so, and swift-crypto takes salts of a digest's
/// length only. Everything in here is public, so nothing has to take the same time for all values.
struct RSAPublicKey {
    /// Largest modulus that is taken, in bits: more would cost whole seconds.
    private static let bits = 2048...8192

    /// Most significant byte first, without leading zeros.
    private let modulus: [UInt8]
    private let exponent: [UInt8]

    /// PKCS#1's RSAPublicKey (RFC 8017, A.1.1).
    init(der: [UInt8]) throws {
        (modulus, exponent) = try DER.sequence(DER.parse(der), identifier: .sequence) { fields in
            let modulus = Array(try ArraySlice<UInt8>(derEncoded: &fields).drop { $0 == 0 })
            return (modulus, Array(try ArraySlice<UInt8>(derEncoded: &fields).drop { $0 == 0 }))
        }
        guard Self.bits.contains(modulusBits) else {
            throw SignatureRefusal("its RSA key has \(modulusBits) bits; \(Self.bits.lowerBound) to \(Self.bits.upperBound) are taken")
        }
        guard modulus[modulus.count - 1] & 1 == 1, (1...4).contains(exponent.count), exponent[exponent.count - 1] & 1 == 1 else {
            throw SignatureRefusal("its RSA key is not one")
        }
    }

    private var modulusBits: Int { modulus.first.map { modulus.count * 8 - $0.leadingZeroBitCount } ?? 0 }

    /// RFC 8017, 8.1.2 and 9.1.2, with MGF1 over the digest's own hash.
    func isValidPSS(_ signature: [UInt8], of digest: Digest) -> Bool {
        guard signature.count == modulus.count, Natural(signature) < Natural(modulus) else { return false }
        let message = Natural(signature).power(exponent, modulo: Natural(modulus))
        let bits = modulusBits - 1
        let encoded = message.bytes(count: (bits + 7) / 8)
        // The message is below the modulus but may be longer than the encoding by the one bit that must be clear.
        guard let encoded else { return false }
        let hashed = digest.bytes
        let saltLength = encoded.count - hashed.count - 2
        guard saltLength >= 0, encoded.last == 0xBC else { return false }
        let masked = encoded[..<(encoded.count - hashed.count - 1)]
        let check = Array(encoded[masked.count..<(encoded.count - 1)])
        let clear = encoded.count * 8 - bits
        guard masked[0] >> UInt8(8 - clear) == 0 || clear == 0 else { return false }
        var block = zip(masked, Self.mask(check, count: masked.count, digest.algorithm)).map { $0 ^ $1 }
        if clear > 0 { block[0] &= 0xFF >> UInt8(clear) }
        // The salt takes all the room, so nothing but the one stands before it.
        guard block[0] == 1 else { return false }
        return digest.algorithm.hash(Array(repeating: 0, count: 8) + hashed + block[1...]) == check
    }

    /// MGF1 (RFC 8017, B.2.1).
    private static func mask(_ seed: [UInt8], count: Int, _ algorithm: DigestAlgorithm) -> [UInt8] {
        var mask: [UInt8] = []
        var counter: UInt32 = 0
        while mask.count < count {
            mask += algorithm.hash(seed + withUnsafeBytes(of: counter.bigEndian) { Array($0) })
            counter += 1
        }
        return Array(mask.prefix(count))
    }
}

/// A natural number as limbs, least significant first; as many as its bytes filled.
private struct Natural: Comparable {
    private var limbs: [UInt64]

    init(_ bytes: [UInt8]) {
        limbs = stride(from: bytes.count, to: 0, by: -8).map { end in
            bytes[max(0, end - 8)..<end].reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    private init(zeroLike other: Natural) { limbs = Array(repeating: 0, count: other.limbs.count) }

    /// Nil where it is longer.
    func bytes(count: Int) -> [UInt8]? {
        let all = limbs.reversed().flatMap { limb in (0..<8).map { UInt8(truncatingIfNeeded: limb >> UInt64(56 - 8 * $0)) } }
        let extra = all.count - count
        guard extra > 0 else { return Array(repeating: 0, count: -extra) + all }
        return all[..<extra].allSatisfy { $0 == 0 } ? Array(all[extra...]) : nil
    }

    /// Square and multiply. `self` is below the modulus and has as many limbs.
    func power(_ exponent: [UInt8], modulo modulus: Natural) -> Natural {
        var result: Natural?
        for byte in exponent {
            for bit in stride(from: 7, through: 0, by: -1) {
                if let square = result { result = square.times(square, modulo: modulus) }
                guard byte >> UInt8(bit) & 1 == 1 else { continue }
                result = result.map { $0.times(self, modulo: modulus) } ?? self
            }
        }
        return result ?? self
    }

    /// Double and add: slow beside a library's, and short. An exponent of 65537 takes 17 of these, some milliseconds each.
    private func times(_ other: Natural, modulo modulus: Natural) -> Natural {
        var result = Natural(zeroLike: modulus)
        for limb in other.limbs.reversed() {
            for bit in stride(from: 63, through: 0, by: -1) {
                result.add(result, modulo: modulus)
                if limb >> UInt64(bit) & 1 == 1 { result.add(self, modulo: modulus) }
            }
        }
        return result
    }

    /// Both are below the modulus, so the sum is below twice the modulus.
    private mutating func add(_ other: Natural, modulo modulus: Natural) {
        var carry: UInt64 = 0
        for index in limbs.indices {
            let (first, overflow) = limbs[index].addingReportingOverflow(other.limbs[index])
            let (sum, more) = first.addingReportingOverflow(carry)
            limbs[index] = sum
            carry = overflow || more ? 1 : 0
        }
        if carry == 1 || !(self < modulus) { subtract(modulus) }
    }

    private mutating func subtract(_ other: Natural) {
        var borrow: UInt64 = 0
        for index in limbs.indices {
            let (first, underflow) = limbs[index].subtractingReportingOverflow(other.limbs[index])
            let (difference, more) = first.subtractingReportingOverflow(borrow)
            limbs[index] = difference
            borrow = underflow || more ? 1 : 0
        }
    }

    static func < (left: Natural, right: Natural) -> Bool {
        for index in left.limbs.indices.reversed() where left.limbs[index] != right.limbs[index] {
            return left.limbs[index] < right.limbs[index]
        }
        return false
    }
}
