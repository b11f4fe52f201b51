import ForecacheModel
import Foundation

/// The body of `POST /v3/auth/tokens`.
enum AuthRequest {
    static func body(_ credentials: Credentials) -> [UInt8] {
        var auth: [String: JSON] = ["identity": .object(identity(credentials.identity))]
        switch credentials.scope {
        case .project(let project): auth["scope"] = .object(["project": .object(named(project))])
        case .domain(let domain): auth["scope"] = .object(["domain": .object(named(domain))])
        case .system: auth["scope"] = .object(["system": .object(["all": .flag(true)])])
        case .ofIdentity: break
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        // Encoding texts and flags cannot fail; an empty body would be Keystone's 400, not a crash.
        return (try? encoder.encode(JSON.object(["auth": .object(auth)]))).map { Array($0) } ?? []
    }

    private static func identity(_ identity: Credentials.Identity) -> [String: JSON] {
        switch identity {
        case .password(let user, let password):
            var fields = named(user)
            fields["password"] = .text(password.reveal())
            return ["methods": .list([.text("password")]), "password": .object(["user": .object(fields)])]
        case .applicationCredential(let id, let secret):
            let fields: [String: JSON] = ["id": .text(id), "secret": .text(secret.reveal())]
            return ["methods": .list([.text("application_credential")]), "application_credential": .object(fields)]
        case .namedApplicationCredential(let name, let user, let secret):
            let fields: [String: JSON] = ["name": .text(name), "secret": .text(secret.reveal()), "user": .object(named(user))]
            return ["methods": .list([.text("application_credential")]), "application_credential": .object(fields)]
        }
    }

    private static func named(_ named: Credentials.Named) -> [String: JSON] {
        switch named {
        case .id(let id): ["id": .text(id)]
        case .name(let name, nil): ["name": .text(name)]
        case .name(let name, .id(let id)?): ["name": .text(name), "domain": .object(["id": .text(id)])]
        case .name(let name, .name(let domain)?): ["name": .text(name), "domain": .object(["name": .text(domain)])]
        }
    }

    private indirect enum JSON: Encodable {
        case text(String)
        case flag(Bool)
        case list([JSON])
        case object([String: JSON])

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .text(let text): try container.encode(text)
            case .flag(let flag): try container.encode(flag)
            case .list(let list): try container.encode(list)
            case .object(let fields): try container.encode(fields)
            }
        }
    }
}
