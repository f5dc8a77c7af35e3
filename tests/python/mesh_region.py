"""A Twisted region that knows of others, as ours do: it answers ListRegions, pushes RegionsChanged.

Only `selftest.py` runs it, to see `twisted_cluster.py` find its way without one of our regions.
`--knows` are the addresses it lists from the start, `--learns` those it pushes to a cluster that
is in.
"""
import commands
import twisted_region


def listing(addresses):
    return [{"uuid": f"region-{at}", "name": f"region {at}", "addresses": [at]} for at in addresses]


class Connection(twisted_region.Connection):
    @commands.ListRegions.responder
    def list_regions(self):
        own = commands.address(self.transport.getHost())
        return {"regions": listing([own, *self.factory.knows])}

    async def admit(self):
        await super().admit()
        if self.factory.learns:
            learnt = listing([*self.factory.knows, *self.factory.learns])
            await self.ask(commands.RegionsChanged, regions=learnt)


def main():
    parser = twisted_region.options()
    parser.add_argument("--knows", nargs="*", default=[])
    parser.add_argument("--learns", nargs="*", default=[])
    options = parser.parse_args()
    region = twisted_region.Region(options)
    region.protocol, region.knows, region.learns = Connection, options.knows, options.learns
    twisted_region.listen(region)


if __name__ == "__main__":
    main()
