import ForecacheModel
import OpenStackAPI
import Testing

@Suite struct CredentialsTests {
    private let overcloudrc = [
        "OS_AUTH_URL": "http://10.0.0.5:5000", "OS_USERNAME": "admin", "OS_PASSWORD": "s3cret", "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default", "OS_REGION_NAME": "regionOne",
    ]

    private func load(_ environment: [String: String], cloud: String? = nil, files: [String: String] = [:]) throws(Failure) -> Credentials {
        try Credentials.load(cloud: cloud, environment: environment, readFile: { files[$0] })
    }

    private func failure(_ environment: [String: String], cloud: String? = nil, files: [String: String] = [:]) -> String {
        do throws(Failure) {
            return "loaded: \(try load(environment, cloud: cloud, files: files))"
        } catch {
            #expect(error.kind == .permanent)
            return error.description
        }
    }

    @Test func overcloudrcIsRead() throws {
        let credentials = try load(overcloudrc)
        #expect(credentials.authURL == "http://10.0.0.5:5000/v3")
        #expect(credentials.identity == .password(user: .name("admin", domain: .name("Default")), password: Secret("s3cret")))
        #expect(credentials.scope == .project(.name("admin", domain: .name("Default"))))
        #expect(credentials.region == "regionOne")
        #expect(credentials.interface == .public)
        #expect(!credentials.isInsecure)
    }

    @Test func printingShowsNoSecret() throws {
        let credentials = try load(overcloudrc)
        var dumped = ""
        dump(credentials, to: &dumped)
        #expect(!"\(credentials)".contains("s3cret"))
        #expect(!dumped.contains("s3cret"))
    }

    @Test(arguments: [
        ("http://h:5000", "http://h:5000/v3"), ("http://h:5000/", "http://h:5000/v3"), ("http://h:5000/v2.0", "http://h:5000/v3"),
        ("http://h:5000/v2.0/", "http://h:5000/v3"), ("https://h/identity", "https://h/identity/v3"),
        ("https://h/identity/v3/", "https://h/identity/v3"),
        ("http://[fd00::5]:5000", "http://[fd00::5]:5000/v3"),
    ])
    func authURLsAreNormalised(given: String, expected: String) throws {
        #expect(try load(overcloudrc.merging(["OS_AUTH_URL": given]) { $1 }).authURL == expected)
    }

    @Test(arguments: ["ftp://h/", "h:5000", "http://", "http://user:pw@h/", "http://h/ x", "http://h/\r\nX: y", "file:///etc/passwd"])
    func otherURLsAreRefusedWithoutTheirSecrets(given: String) {
        let text = failure(overcloudrc.merging(["OS_AUTH_URL": given]) { $1 })
        #expect(text.contains("OS_AUTH_URL of the OS_* environment is not an http or https URL"))
        #expect(!text.contains("pw@"))
    }

    @Test func everythingThatLacksIsNamedAtOnce() {
        let text = failure(["OS_USERNAME": "admin"])
        for name in ["OS_AUTH_URL", "OS_PASSWORD", "OS_USER_DOMAIN_NAME (or OS_USER_DOMAIN_ID)", "OS_PROJECT_NAME (or OS_PROJECT_ID)"] {
            #expect(text.contains(name), "\(text)")
        }
        #expect(text.contains("source an overcloudrc"))
        #expect(text.contains("clouds.yaml"))
    }

    @Test func emptyVariablesCountAsNotSet() {
        #expect(failure(overcloudrc.merging(["OS_PASSWORD": ""]) { $1 }).contains("lacks OS_PASSWORD;"))
    }

    @Test func idsNeedNoDomain() throws {
        let credentials = try load(["OS_AUTH_URL": "http://h", "OS_USER_ID": "u1", "OS_PASSWORD": "p", "OS_PROJECT_ID": "p1"])
        #expect(credentials.identity == .password(user: .id("u1"), password: Secret("p")))
        #expect(credentials.scope == .project(.id("p1")))
    }

    @Test func oldSpellingsAreUnderstood() throws {
        let credentials = try load([
            "OS_AUTH_URL": "http://h", "OS_USERNAME": "u", "OS_PASSWORD": "p", "OS_TENANT_NAME": "t", "OS_DEFAULT_DOMAIN": "Default",
            "OS_ENDPOINT_TYPE": "internalURL", "OS_INSECURE": "True", "OS_CACERT": "/ca.pem", "OS_CERT": "/c.pem", "OS_KEY": "/k.pem",
        ])
        #expect(credentials.scope == .project(.name("t", domain: .name("Default"))))
        #expect(credentials.interface == .internal)
        #expect(credentials.isInsecure)
        #expect([credentials.caFile, credentials.certificateFile, credentials.keyFile] == ["/ca.pem", "/c.pem", "/k.pem"])
    }

    @Test func applicationCredentials() throws {
        let base = ["OS_AUTH_URL": "http://h", "OS_AUTH_TYPE": "v3applicationcredential", "OS_APPLICATION_CREDENTIAL_SECRET": "x"]
        let byID = try load(base.merging(["OS_APPLICATION_CREDENTIAL_ID": "a"]) { $1 })
        #expect(byID.identity == .applicationCredential(id: "a", secret: Secret("x")))
        #expect(byID.scope == .ofIdentity)
        let byName = try load(base.merging(["OS_APPLICATION_CREDENTIAL_NAME": "n", "OS_USER_ID": "u"]) { $1 })
        #expect(byName.identity == .namedApplicationCredential(name: "n", user: .id("u"), secret: Secret("x")))
        #expect(failure(base).contains("lacks OS_APPLICATION_CREDENTIAL_ID (or OS_APPLICATION_CREDENTIAL_NAME);"))
        let withoutSecret = base.merging(["OS_APPLICATION_CREDENTIAL_ID": "a", "OS_APPLICATION_CREDENTIAL_SECRET": ""]) { $1 }
        #expect(failure(withoutSecret).contains("lacks OS_APPLICATION_CREDENTIAL_SECRET;"))
    }

    @Test func systemScope() throws {
        var environment = overcloudrc
        environment["OS_PROJECT_NAME"] = nil
        environment["OS_SYSTEM_SCOPE"] = "all"
        #expect(try load(environment).scope == .system)
    }

    @Test(arguments: [
        ("OS_AUTH_TYPE", "v3oidcpassword", "not supported"), ("OS_INTERFACE", "outer", "must be public"),
        ("OS_INSECURE", "maybe", "true or false"),
    ])
    func unknownWordsAreNamed(variable: String, value: String, expected: String) {
        let text = failure(overcloudrc.merging([variable: value]) { $1 })
        #expect(text.contains(variable) && text.contains(expected), "\(text)")
    }

    // MARK: - clouds.yaml

    private func load(
        _ environment: [String: String] = [:], files: [String: String] = [:], unreadable: [String]
    ) throws(Failure) -> Credentials {
        try Credentials.load(cloud: "lab", environment: environment) { name throws(Failure) in
            if unreadable.contains(name) { throw Failure(.permanent, "cannot read \(name): permission denied") }
            return files[name]
        }
    }

    @Test(arguments: ["/c.yaml", "/s.yaml"]) func aFileThatIsNamedMustBeReadable(path: String) {
        let environment = ["OS_CLIENT_CONFIG_FILE": "/c.yaml", "OS_CLIENT_SECURE_FILE": "/s.yaml"]
        let files = ["/c.yaml": clouds, "./secure.yaml": secure]
        #expect(throws: Failure(.permanent, "cannot read \(path): permission denied")) {
            try load(environment, files: files, unreadable: [path])
        }
    }

    @Test func whatCannotBeReadIsPassedOverWhereAnotherFileDoes() throws {
        let etc = "/etc/openstack/clouds.yaml"
        let files = [etc: clouds, "/etc/openstack/secure.yaml": secure]
        let credentials = try load(files: files, unreadable: ["./clouds.yaml", "./secure.yaml"])
        #expect(credentials.identity == .password(user: .name("admin", domain: .name("Default")), password: Secret("s3cret")))
        let whole = clouds.replacing("username: admin", with: "username: admin\n      password: own")
        let own = try load(files: [etc: whole], unreadable: ["./secure.yaml"])
        #expect(own.identity == .password(user: .name("admin", domain: .name("Default")), password: Secret("own")))
    }

    @Test func whatCannotBeReadIsToldWhereItMayBeWhatIsMissing() {
        #expect(throws: Failure(.permanent, "cannot read ./clouds.yaml: permission denied")) {
            try load(unreadable: ["./clouds.yaml", "/etc/openstack/clouds.yaml"])
        }
        let etc = "/etc/openstack/clouds.yaml"
        let error = #expect(throws: Failure.self) { try load(files: [etc: clouds], unreadable: ["/etc/openstack/secure.yaml"]) }
        let unread = "cannot read /etc/openstack/secure.yaml: permission denied"
        #expect(
            error?.description.hasPrefix("cloud 'lab' of \(etc) (\(unread)) lacks auth.password;") == true, "\(error?.description ?? "")")
    }

    private let clouds = """
        clouds:
          lab:
            profile: none
            auth:
              auth_url: https://cloud/identity/v2.0
              username: admin
              project_name: admin
              user_domain_name: Default
              project_domain_id: default
            region_name: R1
            endpoint_type: internal
            verify: false
            cacert: ~/ca.pem
            compute_api_version: 2.1
            networks: [{name: a}]
          other: {auth: {}}
        """
    private let secure = "clouds: {lab: {auth: {password: s3cret}}}"

    @Test func cloudsFileWithSecureFileOverIt() throws {
        let files = ["/home/u/.config/openstack/clouds.yaml": clouds, "/etc/openstack/secure.yaml": secure]
        let credentials = try load(["HOME": "/home/u", "OS_AUTH_URL": "http://elsewhere"], cloud: "lab", files: files)
        #expect(credentials.authURL == "https://cloud/identity/v3")
        #expect(credentials.identity == .password(user: .name("admin", domain: .name("Default")), password: Secret("s3cret")))
        #expect(credentials.scope == .project(.name("admin", domain: .id("default"))))
        #expect(credentials.region == "R1")
        #expect(credentials.interface == .internal)
        #expect(credentials.isInsecure)
        #expect(credentials.caFile == "/home/u/ca.pem")
        #expect(credentials.source == "cloud 'lab' of /home/u/.config/openstack/clouds.yaml")
    }

    @Test func theNearestFileWinsAndOSCloudNamesTheEntry() throws {
        let near = clouds.replacing("https://cloud/", with: "https://near/")
        let files = ["./clouds.yaml": near, "/etc/openstack/clouds.yaml": clouds, "./secure.yaml": secure]
        #expect(try load(["OS_CLOUD": "lab"], files: files).authURL == "https://near/identity/v3")
        let named = ["OS_CLIENT_CONFIG_FILE": "/x/my.yaml", "OS_CLOUD": "lab"]
        #expect(try load(named, files: ["/x/my.yaml": clouds, "./secure.yaml": secure]).authURL == "https://cloud/identity/v3")
        #expect(try load(overcloudrc.merging(["OS_CLOUD": "envvars"]) { $1 }, files: files).authURL == "http://10.0.0.5:5000/v3")
    }

    @Test func cloudsFileFailuresNameThePlace() {
        let etc = "/etc/openstack/clouds.yaml"
        #expect(failure([:], cloud: "lab").contains("no clouds.yaml for cloud 'lab'; looked for ./clouds.yaml"))
        #expect(failure([:], cloud: "lap", files: [etc: clouds]).contains("\(etc) has no cloud 'lap'; did you mean 'lab'?"))
        #expect(failure([:], cloud: "zzzzz", files: [etc: clouds]).contains("it has lab, other"))
        #expect(failure([:], cloud: "lab", files: [etc: clouds]).contains("cloud 'lab' of \(etc) lacks auth.password;"))
        #expect(
            failure([:], cloud: "other", files: [etc: clouds]).contains("auth.auth_url, auth.username (or auth.user_id), auth.password"))
        #expect(failure([:], cloud: "lab", files: [etc: "clouds: ["]).contains("\(etc):"))
        #expect(failure([:], cloud: "lab", files: [etc: "clouds: {lab: {region_name: [a]}}"]).contains("'region_name' must be text"))
        let misspelt = clouds.replacing("username: admin", with: "username: admin\n      pasword: x")
        #expect(failure([:], cloud: "lab", files: [etc: misspelt]).contains("lacks auth.password (not understood there: pasword)"))
    }

    @Test(arguments: [
        "", "null", "[]", "3", "clouds: 3", "clouds: {lab: 3}", "clouds: {lab: {auth: [1]}}", "{{{{", "clouds: {lab: {regions: [{}]}}",
    ])
    func oddFilesAreFailures(text: String) {
        #expect(!failure([:], cloud: "lab", files: ["./clouds.yaml": text]).hasPrefix("loaded"))
    }
}
