import ForecacheModel
import Inventory
import StrictYAML
import Testing

@Suite struct StackTests {
    @Test func aSingleStackFileNamesItsSite() throws {
        let reading = read([try Fixtures.file("cell1_static.yaml")])
        #expect(reading.said.isEmpty)
        #expect(reading.noted.isEmpty)
        let host = try #require(reading.fleet.host("cell1-compute-0"))
        #expect(reading.fleet.hosts.count == 1)
        #expect(host.site == "cell1")
        #expect(host.role == "Compute")
        #expect(host.address == "192.168.24.10")
        #expect(host.peerAddress == "172.16.2.18")
        #expect(host.ssh.user == "heat-admin")
        #expect(host.file == "cell1_static.yaml")
    }

    @Test func twoStacksOfADirectoryStayTwoSitesThoughTheyShareTheirGroups() throws {
        let reading = read([try Fixtures.file("cell1_static.yaml"), try Fixtures.file("overcloud_static.yaml")])
        #expect(reading.said.isEmpty)
        #expect(reading.layout == ["cell1: cell1-compute-0", "overcloud: overcloud-novacompute-0"])
    }

    @Test func aMultiStackFileIsReadByItsPrefixes() throws {
        let reading = read([try Fixtures.file("multistack.yaml")])
        #expect(reading.said.isEmpty)
        #expect(reading.noted.isEmpty)
        #expect(reading.layout == ["central: central-compute-0", "dcn1: dcn1-compute-1 dcn1-compute-0"])
        #expect(reading.fleet.host("dcn1-compute-0")?.role == "Compute")
        #expect(reading.fleet.host("dcn1-compute-0")?.ssh.user == "heat-admin")
    }

    @Test func upToUssuriTheStackStandsAboveAllovercloud() {
        let reading = read(
            """
            Compute: {hosts: {c0: }, vars: {tripleo_role_name: Compute}}
            allovercloud: {children: {Compute: }}
            cell1: {children: {allovercloud: }}
            overcloud: {children: {allovercloud: }, deprecated: by allovercloud}
            nova_compute: {children: {Compute: }}
            """)
        #expect(reading.said.isEmpty)
        #expect(reading.layout == ["cell1: c0"])
        #expect(reading.noted.count == 1)
    }

    @Test func prefixedComputeGroupsCountWithoutAParent() {
        let reading = read(
            "dcn1_nova_compute: {children: {dcn1_Compute: }}\ndcn1_Compute: {hosts: {a: }}\ndcn2_nova_compute: {hosts: {b: }}\n")
        #expect(reading.said.isEmpty)
        #expect(reading.layout == ["dcn1: a", "dcn2: b"])
        #expect(reading.fleet.host("a")?.role == "Compute")
        #expect(reading.fleet.host("b")?.role == "nova_compute")
    }

    @Test func aPlainInventoryIsASiteOfItsFilesName() {
        let reading = read("nova_compute: {hosts: {'compute-[0:2]': }}")
        #expect(reading.layout == ["dcn1: compute-0 compute-1 compute-2"])
        #expect(reading.fleet.hosts.map(\.role) == ["nova_compute", "nova_compute", "nova_compute"])
    }

    @Test func aFileOfOverridesMovesNoHost() throws {
        let override = InventoryFile(path: "zz.yaml", text: "nova_compute: {hosts: {cell1-compute-0: {ansible_port: 2222}}}")
        for files in [[try Fixtures.file("cell1_static.yaml"), override], [override, try Fixtures.file("cell1_static.yaml")]] {
            let reading = read(files)
            #expect(reading.said.isEmpty)
            #expect(reading.layout == ["cell1: cell1-compute-0"])
            #expect(reading.fleet.host("cell1-compute-0")?.ssh.port == 2222)
            #expect(reading.fleet.host("cell1-compute-0")?.file == "cell1_static.yaml")
        }
    }

    @Test func aHostOfTwoStacksIsAProblemUnlessItsSiteIsConfigured() throws {
        let cell = try Fixtures.file("cell1_static.yaml")
        let text = cell.text.replacing("cell1:", with: "cell2:").replacing("plan: cell1", with: "plan: cell2")
        let copy = InventoryFile(path: "cell2.yaml", text: text)
        let both = read([cell, copy])
        #expect(both.said.count == 1)
        #expect(both.said.first?.hasPrefix("cell2.yaml:") == true)
        #expect(both.said.first?.contains("'cell1-compute-0' is in two sites, 'cell1' (there at cell1_static.yaml:") == true)
        let configured = read([cell, copy]) { $0.sites = ["edge": SiteSettings(group: "Compute")] }
        #expect(configured.said.isEmpty)
        #expect(configured.layout == ["edge: cell1-compute-0"])
    }

    @Test func configuredGroupsAreSites() throws {
        let file = try Fixtures.file("multistack.yaml")
        let reading = read([file]) {
            $0.sites = ["east": SiteSettings(group: "dcn1_nova_compute", forks: 3), "central": SiteSettings(seed: "central-compute-0")]
        }
        #expect(reading.said.isEmpty)
        #expect(reading.layout == ["central: central-compute-0", "east: dcn1-compute-1 dcn1-compute-0"])
        #expect(reading.fleet.site("east")?.settings.forks == 3)
    }

    @Test func configuredSitesThatDoNotFitAreProblems() throws {
        let file = try Fixtures.file("multistack.yaml")
        let missing = read([file]) { $0.sites = ["east": SiteSettings(group: "dcn1_nova_computes")] }
        #expect(missing.said.count == 1)
        #expect(
            missing.said.first?.hasPrefix("multistack.yaml:1:1: sites.east.group: no group 'dcn1_nova_computes' in the inventory") == true)
        #expect(missing.said.first?.hasSuffix("did you mean 'dcn1_nova_compute'?") == true)
        let twice = read([file]) { $0.sites = ["east": SiteSettings(group: "dcn1"), "west": SiteSettings(group: "dcn1_Compute")] }
        #expect(twice.said.count == 2)
        #expect(twice.said.first?.contains("is in two sites' groups, 'east' and 'west'") == true)
        let seed = read([file]) { $0.sites = ["dcn1": SiteSettings(seed: "central-compute-0")] }
        #expect(seed.said.count == 1)
        #expect(seed.said.first?.hasPrefix("multistack.yaml:1:1: sites.dcn1.seed: 'central-compute-0' is no host of that site") == true)
    }

    @Test func aSiteThatNoStackIsCalledIsAProblemWhereTheConfigurationSaysIt() throws {
        let file = try Fixtures.file("multistack.yaml")
        let unused = read([file]) {
            $0.sites = ["dcn2": SiteSettings(forks: 3)]
            $0.sitePlaces = ["dcn2": Place(file: "forecache.yaml", line: 3, column: 5)]
        }
        #expect(unused.said == ["forecache.yaml:3:5: sites.dcn2: no stack is called so; did you mean 'dcn1'?"])
        let other = read([file]) {
            $0.sites = ["dcn2": SiteSettings(forks: 3)]
            $0.hasAllSites = false
        }
        #expect(other.said.isEmpty)
        #expect(other.noted == ["multistack.yaml:1:1: sites.dcn2: no stack is called so; did you mean 'dcn1'?"])
    }

    @Test(arguments: ["dcn2_nova_compute", "Undercloud"])
    func aGroupThatOtherInventoriesLackIsANotice(group: String) throws {
        let file = try Fixtures.file("multistack.yaml")
        let own = read([file]) { $0.sites = ["east": SiteSettings(group: group)] }
        let other = read([file]) {
            $0.sites = ["east": SiteSettings(group: group)]
            $0.hasAllSites = false
        }
        #expect(other.said.isEmpty)
        #expect(other.noted == own.said)
        #expect(other.layout == read([file]).layout)
    }

    @Test func aSeedThatOtherInventoriesLackIsANotice() throws {
        let other = read([try Fixtures.file("multistack.yaml")]) {
            $0.sites = ["dcn1": SiteSettings(seed: "dcn1-compute-9")]
            $0.hasAllSites = false
        }
        #expect(other.said.isEmpty)
        #expect(other.noted.count == 1 && other.noted[0].contains("sites.dcn1.seed: 'dcn1-compute-9' is no host of that site"))
    }

    @Test func noHostToCacheOnIsAProblem() throws {
        #expect(read([]).said.count == 1)
        let missing = read([try Fixtures.file("cell1_static.yaml")]) { $0.hostsGroup = "nova_computes" }
        #expect(missing.said.count == 1)
        #expect(missing.said.first?.contains("there is no group 'nova_computes'") == true)
        #expect(missing.said.first?.contains("did you mean 'nova_compute'?") == true)
        #expect(
            read("nova_compute: {hosts: }").said == [
                "inventory/dcn1.yaml:1:1: no host is in group 'nova_compute', the hosts to cache on; set hosts_group to the compute nodes' group"
            ])
    }

    @Test func aMisspeltSectionOfAGroupIsNamedWithTheOneMeant() {
        #expect(
            read("nova_compute: {hosts: {a: }, hostz: {b: }, other: }").noted == [
                "inventory/dcn1.yaml:1:30: key 'hostz' of a group has no effect; did you mean 'hosts'?",
                "inventory/dcn1.yaml:1:44: key 'other' of a group has no effect; a group has hosts, children and vars",
            ])
    }

    @Test func theRoleIsTheVariableElseTheDefiningGroup() {
        let reading = read(
            """
            allovercloud: {children: {dcn1: }}
            dcn1: {children: {ComputeSite1: , ComputeHCI: }}
            ComputeSite1: {hosts: {a: }}
            ComputeHCI: {hosts: {b: , c: {tripleo_role_name: '{{ x }}'}}, vars: {tripleo_role_name: ComputeHCI2}}
            nova_compute: {children: {ComputeSite1: , ComputeHCI: }, hosts: {a: }}
            """)
        #expect(reading.said.isEmpty)
        #expect(reading.fleet.host("a")?.role == "ComputeSite1")
        #expect(reading.fleet.host("b")?.role == "ComputeHCI2")
        #expect(reading.fleet.host("c")?.role == "ComputeHCI")
        #expect(reading.noted.count == 1)
    }
}
