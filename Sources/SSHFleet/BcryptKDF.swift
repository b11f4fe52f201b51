import Crypto

/// bcrypt_pbkdf, by which OpenSSH makes the key of an encrypted private key from its passphrase (OpenBSD, lib/libutil/bcrypt_pbkdf.c).
enum BcryptKDF {
    static func derive(_ passphrase: [UInt8], salt: [UInt8], rounds: Int, count: Int) -> [UInt8] {
        precondition((1...1024).contains(count), "a cipher's key and IV are some tens of bytes")
        let stride = (count + 31) / 32
        let perBlock = (count + stride - 1) / stride
        let secret = Array(SHA512.hash(data: passphrase))
        var key = [UInt8](repeating: 0, count: count)
        for block in 1...stride {
            var last = hash(secret, Array(SHA512.hash(data: salt + Wire.number(UInt32(block)))))
            var sum = last
            for _ in 1..<max(rounds, 1) {
                last = hash(secret, Array(SHA512.hash(data: last)))
                for index in 0..<32 { sum[index] ^= last[index] }
            }
            // The bytes of all blocks are interleaved, so that half a key takes the whole work.
            for index in 0..<perBlock where index * stride + block - 1 < count { key[index * stride + block - 1] = sum[index] }
        }
        return key
    }

    private static func hash(_ secret: [UInt8], _ salt: [UInt8]) -> [UInt8] {
        var cipher = Blowfish()
        let secretWords = words(secret)
        let saltWords = words(salt)
        cipher.expand(key: secretWords, salt: saltWords)
        for _ in 0..<64 {
            cipher.expand(key: saltWords, salt: nil)
            cipher.expand(key: secretWords, salt: nil)
        }
        var text = words(Array("OxychromaticBlowfishSwatDynamite".utf8))
        for _ in 0..<64 {
            for pair in stride(from: 0, to: 8, by: 2) { (text[pair], text[pair + 1]) = cipher.encrypt(text[pair], text[pair + 1]) }
        }
        // Little-endian, unlike all the rest.
        return text.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    }

    private static func words(_ bytes: [UInt8]) -> [UInt32] {
        stride(from: 0, to: bytes.count, by: 4).map { at in bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    }
}

/// Schneier's Blowfish, with bcrypt's salted key schedule.
private struct Blowfish {
    /// 18 subkeys, then the four boxes of 256.
    private var table = Self.initial

    /// The fraction of pi, 32 bits a word.
    private static let initial = pi(words: 18 + 4 * 256)

    /// Keys and salts here are 64 bytes, so words never straddle their end.
    mutating func expand(key: [UInt32], salt: [UInt32]?) {
        for index in 0..<18 { table[index] ^= key[index % key.count] }
        table.withUnsafeMutableBufferPointer { table in
            var (left, right): (UInt32, UInt32) = (0, 0)
            for index in stride(from: 0, to: table.count, by: 2) {
                if let salt {
                    left ^= salt[index % salt.count]
                    right ^= salt[(index + 1) % salt.count]
                }
                (left, right) = Self.encrypt(left, right, UnsafeBufferPointer(table))
                table[index] = left
                table[index + 1] = right
            }
        }
    }

    func encrypt(_ left: UInt32, _ right: UInt32) -> (UInt32, UInt32) {
        table.withUnsafeBufferPointer { Self.encrypt(left, right, $0) }
    }

    private static func encrypt(_ left: UInt32, _ right: UInt32, _ table: UnsafeBufferPointer<UInt32>) -> (UInt32, UInt32) {
        var (left, right) = (left ^ table[0], right)
        for round in 1...16 {
            let sum = table[18 + Int(left >> 24)] &+ table[274 + Int(left >> 16 & 255)]
            right ^= ((sum ^ table[530 + Int(left >> 8 & 255)]) &+ table[786 + Int(left & 255)]) ^ table[round]
            (left, right) = (right, left)
        }
        return (right ^ table[17], left)
    }

    /// Machin: pi = 16 arctan(1/5) - 4 arctan(1/239). The whole part is cut off.
    private static func pi(words count: Int) -> [UInt32] {
        // Two more words take the errors of some ten thousand roundings.
        let size = count + 3
        var sum = [UInt32](repeating: 0, count: size)
        for (factor, base, isNegative) in [(UInt32(16), UInt64(5), false), (4, 239, true)] {
            var power = [UInt32](repeating: 0, count: size)
            power[0] = factor
            divide(&power, by: base)
            var (odd, subtracts) = (UInt64(1), isNegative)
            while power.contains(where: { $0 != 0 }) {
                var term = power
                divide(&term, by: odd)
                add(&sum, term, negative: subtracts)
                divide(&power, by: base * base)
                odd += 2
                subtracts.toggle()
            }
        }
        return Array(sum[1...count])
    }

    private static func divide(_ number: inout [UInt32], by divisor: UInt64) {
        number.withUnsafeMutableBufferPointer { number in
            var rest: UInt64 = 0
            for index in number.indices {
                let value = rest << 32 | UInt64(number[index])
                number[index] = UInt32(truncatingIfNeeded: value / divisor)
                rest = value % divisor
            }
        }
    }

    private static func add(_ sum: inout [UInt32], _ term: [UInt32], negative: Bool) {
        sum.withUnsafeMutableBufferPointer { sum in
            var carry: Int64 = 0
            for index in sum.indices.reversed() {
                let value = Int64(sum[index]) + (negative ? -Int64(term[index]) : Int64(term[index])) + carry
                sum[index] = UInt32(truncatingIfNeeded: value)
                carry = value >> 32
            }
        }
    }
}
