//! A network of the row's own: places, each with a network namespace and an address, and this
//! process as the router between them, which can drop what goes from one to another.
//!
//! Nothing of it has a name outside: it is gone when the last process in it has ended.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;

use crate::processes::{Process, Starting, output};

/// How long making a namespace may take.
const MADE_WITHIN: Duration = Duration::from_secs(20);

/// What drops packets: pairs of addresses, source first.
const RULES: &str = "
table inet chaos {
    set cut { type ipv4_addr . ipv4_addr; }
    chain arriving {
        type filter hook prerouting priority 0;
        ip saddr . ip daddr @cut drop
    }
    chain leaving {
        type filter hook output priority 0;
        ip saddr . ip daddr @cut drop
    }
}
";

/// The router.
#[derive(Debug)]
pub(crate) struct Network {
    places: u8,
}

/// A machine, as far as the network is concerned.
#[derive(Debug)]
pub(crate) struct Place {
    number: u8,
    holder: Process,
}

/// Which way nothing gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ways {
    There,
    Back,
    Both,
}

impl Network {
    /// Makes the router. The process has to be alone in its network namespace.
    ///
    /// # Errors
    /// A program is missing, or the permission.
    pub(crate) async fn new() -> anyhow::Result<Self> {
        output("ip", &["link", "set", "lo", "up"]).await?;
        // Without it nobody would be reached through this process.
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot forward packets")?;
        let rules = tempfile::NamedTempFile::new()?;
        std::fs::write(rules.path(), RULES)?;
        output("nft", &["-f", rules.path().to_str().context("a path that is no text")?]).await?;
        Ok(Self { places: 0 })
    }

    /// Another place, with nothing in it.
    ///
    /// # Errors
    /// A program is missing, or the permission.
    pub(crate) async fn place(&mut self) -> anyhow::Result<Place> {
        self.places = self.places.checked_add(1).context("too many places")?;
        let number = self.places;
        let waits = ["--net", "sh", "-c", "echo made; exec sleep infinity"];
        let mut holder = Process::command("unshare", &waits).start()?;
        holder.line("made", MADE_WITHIN).await?;
        let (ours, pid) = (format!("v{number}"), holder.id().to_string());
        let pair = ["link", "add", &ours, "type", "veth", "peer", "name", "eth0", "netns", &pid];
        output("ip", &pair).await?;
        let place = Place { number, holder };
        let router = place.router();
        output("ip", &["address", "add", &format!("{router}/24"), "dev", &ours]).await?;
        output("ip", &["link", "set", &ours, "up"]).await?;
        // Where proxies listen, apart from what they connect from.
        output("ip", &["address", "add", &format!("{}/32", place.front()), "dev", "lo"]).await?;
        let address = place.address();
        let inside = format!(
            "ip link set lo up && ip address add {address}/24 dev eth0 && ip link set eth0 up &&
             ip route add default via {router}"
        );
        let [nsenter, net, dashes] = place.entrance();
        output(&nsenter, &[&net, &dashes, "sh", "-c", &inside]).await?;
        Ok(place)
    }

    /// Drops everything from one address to the other from now on.
    ///
    /// # Errors
    /// It is so already.
    pub(crate) async fn cut(&self, from: Ipv4Addr, to: Ipv4Addr, ways: Ways) -> anyhow::Result<()> {
        self.change("add", from, to, ways).await
    }

    /// Ends [`Network::cut`].
    ///
    /// # Errors
    /// It is not so.
    pub(crate) async fn heal(
        &self,
        from: Ipv4Addr,
        to: Ipv4Addr,
        ways: Ways,
    ) -> anyhow::Result<()> {
        self.change("delete", from, to, ways).await
    }

    async fn change(
        &self,
        what: &str,
        from: Ipv4Addr,
        to: Ipv4Addr,
        ways: Ways,
    ) -> anyhow::Result<()> {
        let (there, back) = (format!("{from} . {to}"), format!("{to} . {from}"));
        let pairs = match ways {
            Ways::There => there,
            Ways::Back => back,
            Ways::Both => format!("{there}, {back}"),
        };
        let elements = format!("{{ {pairs} }}");
        output("nft", &[what, "element", "inet", "chaos", "cut", &elements]).await.map(drop)
    }
}

impl Place {
    /// Where it is.
    pub(crate) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number, 2)
    }

    /// The router's end of its wire.
    pub(crate) fn router(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number, 1)
    }

    /// An address of the router's that may stand for the place, for a proxy.
    pub(crate) fn front(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 78, self.number, 1)
    }

    /// Has a process start here.
    pub(crate) fn hold(&self, starting: Starting) -> Starting {
        let [nsenter, net, dashes] = self.entrance();
        starting.through(&[&nsenter, &net, &dashes])
    }

    fn entrance(&self) -> [String; 3] {
        let net = format!("--net=/proc/{}/ns/net", self.holder.id());
        ["nsenter".to_owned(), net, "--".to_owned()]
    }
}
