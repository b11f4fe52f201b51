import Engine
import ForecacheModel
import Planning

/// One host, by its survey.
struct HostExamination: Sendable {
    let setup: Setup

    /// A clock that is further off is no matter of network time; ages do not hang on it, but logs and tokens do.
    private static let mostSkewSeconds = 30.0

    func findings(_ host: Host, _ observation: HostObservation) -> [DoctorReport.Finding] {
        switch observation {
        case .unreachable(let reason):
            [.fail("host", reason, "the message names what is missing; try 'ssh -p \(host.ssh.port) \(host.ssh.user)@\(host.address)'")]
        case .told: [.ok("host", "left to Nova, so it is not logged in to")]
        case .surveyed(let survey): findings(host, survey)
        }
    }

    private func findings(_ host: Host, _ survey: HostSurvey) -> [DoctorReport.Finding] {
        let node = setup.configuration.node
        var findings = tools(survey)
        if let container = node.container, !survey.tools.contains("container") {
            findings.append(
                .fail(
                    "container", "no command runs in container '\(container)'",
                    "start Nova there, or correct node.container (`none` where Nova is not in a container) and node.container_cli"))
        }
        if !survey.hasCacheDirectory {
            findings.append(
                .warn(
                    "cache", "\(node.cacheDirectory) does not exist yet",
                    "right where no instance was ever started there; else correct node.cache_dir"))
        }
        findings += room(host, survey)
        if abs(survey.clockSkewSeconds) > Self.mostSkewSeconds {
            findings.append(
                .warn("clock", "its clock is \(Int(survey.clockSkewSeconds.rounded())) s off ours", "let chrony set both clocks"))
        }
        if survey.ttlSeconds == nil {
            let ttl = setup.configuration.ttl.roles[host.role] ?? setup.configuration.ttl.seconds
            findings.append(
                .warn(
                    "ttl", "its nova.conf does not tell the TTL; \(ttl) s counts, by our configuration or Nova's default",
                    "right where nova.conf has no remove_unused_original_minimum_age_seconds; else let us read it, or set `ttl:`"))
        }
        if survey.imagesType == "rbd" {
            findings.append(
                .warn("cache", "images_type is rbd, which does not use the image cache", "leave such hosts out with a rule's targets"))
        }
        guard findings.allSatisfy({ $0.level == .ok }) else { return findings }
        let ttl = survey.ttlSeconds.map { "TTL \($0) s, " } ?? ""
        return [.ok("host", "reached, \(ttl)\(survey.baseFiles.count) base files, \(ByteText.of(survey.freeBytes)) free")]
    }

    private func tools(_ survey: HostSurvey) -> [DoctorReport.Finding] {
        var findings: [DoctorReport.Finding] = []
        var needed = [("curl", "it fetches images with it"), ("sha512sum", "it checks images with it")]
        let makesRaw = setup.configuration.node.format.isRaw(forcesRawImages: survey.forcesRawImages)
        if makesRaw { needed.append(("qemu-img", "it makes raw base files with it")) }
        for (tool, why) in needed where !survey.tools.contains(tool) {
            findings.append(.fail("tools", "\(tool) is missing; \(why)", "install \(tool) there, or correct node.container"))
        }
        if !survey.tools.contains("sftp"), !survey.tools.contains("scp") {
            findings.append(
                .warn(
                    "tools", "neither sftp nor scp is there: it cannot copy from other hosts",
                    "install openssh-clients, or use `via: direct`"))
        }
        return findings
    }

    private func room(_ host: Host, _ survey: HostSurvey) -> [DoctorReport.Finding] {
        let keepFree = setup.fleet.site(host.site)?.settings.keepFreeBytes ?? setup.policy.defaults.keepFreeBytes
        if survey.freeBytes <= keepFree {
            return [
                .fail(
                    "room", "\(survey.freeBytes >> 20) MiB are free, and keep_free is \(keepFree >> 20) MiB: nothing can be cached",
                    "free space below \(setup.configuration.node.cacheDirectory), or lower keep_free")
            ]
        }
        guard survey.totalBytes > 0, survey.freeBytes < survey.totalBytes / 20 else { return [] }
        return [
            .warn(
                "room", "only \(survey.freeBytes >> 20) MiB of \(survey.totalBytes >> 20) MiB are free",
                "free space below \(setup.configuration.node.cacheDirectory)")
        ]
    }
}
