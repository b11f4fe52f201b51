import Engine
import ForecacheModel
import Foundation

/// The plain page of placements. Everything that came from outside (image names are chosen by tenants) goes through `escaped`, and the page's policy runs no
/// script but its own.
struct Page {
    /// About so many rows a page: a browser shows a thousand rows at once without pause.
    static let rows = 1000

    var rows: (images: [StatusImage], hasMore: Bool)
    var filter: StatusFilter
    var counts: PlacementCounts.Counts
    var queue: Int
    var counters: StatusCounters
    var notReady: [String]
    var now: Date
    var nonce: String

    var html: String {
        """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>forecache</title>
        <style nonce="\(nonce)">\(Self.style)</style>
        </head>
        <body>
        <main id="main">
        <h1>forecache</h1>
        \(summary)
        \(form)
        \(table)
        \(more)
        </main>
        <script nonce="\(nonce)">\(Self.script)</script>
        </body>
        </html>

        """
    }

    private var summary: String {
        let states = PlacementState.allCases.filter { counts.states[$0] ?? 0 > 0 }.map {
            "<li class=\"\($0.rawValue)\">\(counts.states[$0] ?? 0) \($0.rawValue)</li>"
        }
        let atRisk = counts.atRisk > 0 ? ["<li class=\"failed\">\(counts.atRisk) at risk</li>"] : []
        let problems = notReady.map { "<li class=\"failed\">not ready: \(Self.escaped($0))</li>" }
        let reload = counters.reload.flatMap { report in
            report.state == .applied ? nil : "<p class=\"failed\">\(Self.escaped(StatusPolicy(report).sentence))</p>"
        }
        let last =
            counters.lastEventAt.map { "last notification \(RFC3339.text($0))" } ?? "no notification yet"
        return """
            <ul class="summary">\((problems + atRisk + states).joined())</ul>\(reload ?? "")
            <p>\(queue) images wait · \(counters.isSubscribed ? "subscribed" : "not subscribed") · \(last) · as of \(RFC3339.text(now))</p>
            """
    }

    private var form: String {
        """
        <form action="/" method="get">
        <label>site <input name="site" value="\(Self.escaped(filter.site?.rawValue ?? ""))"></label>
        <label>image <input name="image" size="36" value="\(Self.escaped(filter.image?.text ?? ""))"></label>
        <button>show</button>
        </form>
        """
    }

    private var table: String {
        guard !rows.images.isEmpty else { return "<p>No placements.</p>" }
        let head = [
            "image", "site", "role", "host", "state", "age", "TTL", "expires", "refresh", "rule", "error",
        ]
        let body = rows.images.flatMap { image in image.placements.map { Self.row(image, $0) } }
        return """
            <table>
            <thead><tr>\(head.map { "<th scope=\"col\">\($0)</th>" }.joined())</tr></thead>
            <tbody>
            \(body.joined(separator: "\n"))
            </tbody>
            </table>
            """
    }

    private var more: String {
        guard rows.hasMore, let last = rows.images.last else { return "" }
        var link = URLComponents()
        link.path = "/"
        link.queryItems = [URLQueryItem(name: "after", value: last.id.text)]
        if let site = filter.site {
            link.queryItems?.append(URLQueryItem(name: "site", value: site.rawValue))
        }
        return "<p><a href=\"\(Self.escaped(link.string ?? "/"))\">more</a></p>"
    }

    private static func row(_ image: StatusImage, _ placement: StatusPlacement) -> String {
        let cells: [String] = [
            "<td title=\"\(image.id.text)\">\(escaped(image.name.isEmpty ? image.id.text : image.name))</td>",
            cell(placement.site.rawValue), cell(placement.role.rawValue), cell(placement.host.rawValue),
            "<td class=\"\(placement.state.rawValue)\">\(escaped(placement.stateText))</td>",
            cell(placement.ageSeconds.map(duration) ?? ""), cell(duration(placement.ttlSeconds)),
            cell(placement.expiresAt.map(RFC3339.text) ?? ""),
            cell(placement.refreshAt.map(RFC3339.text) ?? ""), cell(placement.rule),
            cell(placement.error ?? ""),
        ]
        return "<tr>\(cells.joined())</tr>"
    }

    private static func cell(_ text: String) -> String { "<td>\(escaped(text))</td>" }

    /// The two largest units: `29d 4h`.
    static func duration(_ seconds: Int) -> String {
        let units = [(86400, "d"), (3600, "h"), (60, "m"), (1, "s")]
        var (rest, parts) = (seconds, [String]())
        for (size, unit) in units where rest >= size && parts.count < 2 {
            parts.append("\(rest / size)\(unit)")
            rest %= size
        }
        return parts.isEmpty ? "0s" : parts.joined(separator: " ")
    }

    /// Safe as text and in a quoted attribute. What is not printable is shown as a mark.
    static func escaped(_ text: String) -> String {
        var escaped = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(character.isPrintable ? character : "\u{FFFD}")
            }
        }
        return escaped
    }

    private static let style = """
        :root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif }
        body { margin: 1.5rem }
        table { border-collapse: collapse; width: 100% }
        th, td { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #8884; vertical-align: top }
        td { overflow-wrap: anywhere }
        .summary { display: flex; flex-wrap: wrap; gap: 1rem; list-style: none; padding: 0 }
        label { margin-right: 1rem }
        .failed, .expired { color: #c22; font-weight: 600 }
        .due, .caching { color: #a60 }
        .fresh { color: #282 }
        .unwanted, .unsupported { opacity: .6 }
        """

    /// Fetches the page anew after something happened, at most every five seconds, and puts its rows in place of these.
    private static let script = """

        (() => {
          let timer = null;
          const refresh = async () => {
            timer = null;
            if (document.activeElement instanceof HTMLInputElement) return schedule();
            const answer = await fetch(location.href, { cache: "no-store" });
            if (!answer.ok) return;
            const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
            if (next) document.getElementById("main").replaceWith(next);
          };
          const schedule = () => { if (timer === null) timer = setTimeout(() => refresh().catch(() => {}), 5000); };
          const feed = new EventSource("/api/v1/events");
          for (const kind of ["started", "progress", "ended", "refreshed"]) feed.addEventListener(kind, schedule);
          feed.addEventListener("open", schedule);
        })();

        """
}
