//! IP addresses and networks in binary, as MAAS sends them.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Argument;
use crate::error::{EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::Value;

const ADDRESS_EXPECTED: &str = "an IP address in 4 or 16 bytes";
const NETWORK_EXPECTED: &str = "an IP network in 5 or 17 bytes";

/// What a type of one IP version says, in terms of the type of both.
macro_rules! one_version {
    ($one:ty, $both:ident, $version:ident, $kind:ident, $expected:literal) => {
        impl Argument for $one {
            const TYPE: ArgumentType = ArgumentType::$kind;

            fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                $both::from(*self).encode(out)
            }

            fn decode(value: Value<'_>) -> Result<Self, ValueError> {
                match $both::decode(value)? {
                    $both::$version(it) => Ok(it),
                    _ => Err(ValueError::malformed($expected, value.bytes())),
                }
            }
        }
    };
}

impl Argument for IpAddr {
    const TYPE: ArgumentType = ArgumentType::IpAddress;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::V4(address) => out.extend_from_slice(&address.octets()),
            Self::V6(address) => out.extend_from_slice(&address.octets()),
        }
        Ok(())
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        let bytes = value.bytes();
        address(bytes).ok_or_else(|| ValueError::malformed(ADDRESS_EXPECTED, bytes))
    }
}

one_version!(Ipv4Addr, IpAddr, V4, IpAddress, "an IPv4 address");
one_version!(Ipv6Addr, IpAddr, V6, IpAddress, "an IPv6 address");

/// The network's address and one byte for the prefix length. Bits beyond the prefix are cleared
/// on both ways, so `192.168.1.5/24` arrives as `192.168.1.0/24`.
impl Argument for IpNet {
    const TYPE: ArgumentType = ArgumentType::IpNetwork;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.network().encode(out)?;
        out.push(self.prefix_len());
        Ok(())
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        let bytes = value.bytes();
        let network = bytes.split_last().and_then(|(prefix_bits, octets)| {
            let network = Self::new(address(octets)?, *prefix_bits).ok()?;
            Some(network.trunc())
        });
        network.ok_or_else(|| ValueError::malformed(NETWORK_EXPECTED, bytes))
    }
}

one_version!(Ipv4Net, IpNet, V4, IpNetwork, "an IPv4 network");
one_version!(Ipv6Net, IpNet, V6, IpNetwork, "an IPv6 network");

fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::properties::{decode, encode};
    use super::*;

    #[test]
    fn bits_beyond_the_prefix_are_cleared_on_both_ways() {
        let network: IpNet = "2001:db8::1/32".parse().unwrap();
        let bytes = encode(&network).unwrap();
        assert_eq!(bytes.len(), 17);
        assert_eq!(decode::<IpNet>(&bytes), Ok(network.trunc()));
        assert_eq!(decode::<IpNet>(&[10, 1, 2, 3, 8]), Ok("10.0.0.0/8".parse().unwrap()));
    }

    #[test]
    fn a_wrong_length_prefix_or_version_is_refused() {
        assert!(decode::<IpAddr>(&[1, 2, 3]).is_err());
        assert!(decode::<IpNet>(&[]).is_err());
        assert!(decode::<IpNet>(&[10, 0, 0, 0, 33]).is_err());
        assert!(decode::<Ipv6Addr>(&[10, 0, 0, 1]).is_err());
        assert_eq!(decode::<Ipv4Addr>(&[10, 0, 0, 1]), Ok(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(encode(&Ipv4Addr::LOCALHOST), Ok(vec![127, 0, 0, 1]));
    }
}
