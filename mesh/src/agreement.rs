//! What the two ends of a connection agreed on beyond plain AMP.

use std::fmt;

use amp_proto::Limits;

use crate::commands::Terms;

/// The version of the extensions that this crate speaks.
pub const EXTENSIONS_VERSION: u16 = 1;

/// Extensions of AMP that both ends have to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    bits: u32,
}

impl Features {
    /// A call that nobody waits for any more is stopped at the peer.
    pub const CANCEL: Self = Self { bits: 1 };
    /// The time that is left for a call goes along with it, over every hop.
    pub const DEADLINE: Self = Self { bits: 1 << 1 };
    /// The trace that a call belongs to goes along with it.
    pub const TRACE: Self = Self { bits: 1 << 2 };
    /// Items flow beside a call.
    pub const STREAM: Self = Self { bits: 1 << 3 };
    /// Large asks and answers go in pieces.
    pub const LARGE: Self = Self { bits: 1 << 4 };
    /// Calls that are carried out once, however often they are tried.
    pub const ONCE: Self = Self { bits: 1 << 5 };

    const NAMES: [(Self, &'static str); 6] = [
        (Self::CANCEL, "cancel"),
        (Self::DEADLINE, "deadline"),
        (Self::TRACE, "trace"),
        (Self::STREAM, "stream"),
        (Self::LARGE, "large"),
        (Self::ONCE, "once"),
    ];

    /// Every feature of this crate.
    #[must_use]
    pub fn all() -> Self {
        Self::NAMES.into_iter().fold(Self::default(), |all, (feature, _)| all.with(feature))
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits }
    }

    /// These but not those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self { bits: self.bits & !other.bits }
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.bits & other.bits == other.bits
    }

    /// Their names on the wire.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let known = Self::NAMES.into_iter();
        known.filter(move |(feature, _)| self.contains(*feature)).map(|(_, name)| name)
    }

    /// The features of these names. Unknown ones are for peers to come, and ignored.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let feature = |name| Self::NAMES.into_iter().find(|(_, known)| *known == name);
        let known = names.into_iter().filter_map(feature);
        known.fold(Self::default(), |all, (feature, _)| all.with(feature))
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names().enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// What a connection may use, because both ends said so. Without one it is plain AMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The lower of both versions of the extensions.
    pub version: u16,
    /// The features that both ends know.
    pub features: Features,
    /// The largest box that both ends take, in bytes.
    pub box_bytes_max: usize,
    /// How many asks of ours the peer works on at once.
    pub asks_in_flight_max: usize,
    /// How many asks of the peer we work on at once, as we told it.
    pub asks_answered_max: usize,
    /// How much the peer takes ahead on each stream, in bytes.
    pub stream_window_bytes: usize,
    /// How much we take ahead on each stream, as we told the peer, in bytes.
    pub own_window_bytes: usize,
    /// The largest ask or answer in pieces that both ends take, in bytes.
    pub large_bytes_max: usize,
}

impl Agreement {
    /// What follows from our limits and the terms of the peer.
    pub(crate) fn of(limits: &Limits, peer: &Terms) -> Self {
        let theirs = Features::from_names(peer.features.iter().map(String::as_str));
        let box_bytes_max = usize::try_from(peer.box_bytes_max).unwrap_or(usize::MAX);
        let asks_max = usize::try_from(peer.asks_in_flight_max).unwrap_or(usize::MAX);
        let box_bytes_max = box_bytes_max.max(Limits::BOX_BYTES_LEAST).min(limits.box_bytes_max);
        let large_bytes_max = usize::try_from(peer.large_bytes_max).unwrap_or(usize::MAX);
        let large_bytes_max = large_bytes_max.min(limits.large_bytes_max);
        let mut features = Features { bits: theirs.bits & Features::all().bits };
        if large_bytes_max < box_bytes_max {
            // In one box there is room for more.
            features = features.without(Features::LARGE);
        }
        Self {
            version: peer.version.min(EXTENSIONS_VERSION),
            features,
            box_bytes_max,
            asks_in_flight_max: asks_max.clamp(1, limits.asks_in_flight_max),
            large_bytes_max,
            stream_window_bytes: usize::try_from(peer.stream_window_bytes).unwrap_or(usize::MAX),
            asks_answered_max: limits.responders_running_max,
            own_window_bytes: limits.stream_window_bytes,
        }
    }
}

/// What we tell a peer.
pub(crate) fn terms_of(limits: &Limits) -> Terms {
    Terms {
        version: EXTENSIONS_VERSION,
        features: Features::all().names().map(str::to_owned).collect(),
        box_bytes_max: u64::try_from(limits.box_bytes_max).unwrap_or(u64::MAX),
        asks_in_flight_max: u64::try_from(limits.responders_running_max).unwrap_or(u64::MAX),
        large_bytes_max: u64::try_from(limits.large_bytes_max).unwrap_or(u64::MAX),
        stream_window_bytes: u64::try_from(limits.stream_window_bytes).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        terms_of(&Limits::default())
    }

    #[test]
    fn two_of_us_agree_on_everything() {
        let agreed = Agreement::of(&Limits::default(), &terms());
        assert_eq!((agreed.version, agreed.features), (EXTENSIONS_VERSION, Features::all()));
        assert_eq!(agreed.box_bytes_max, Limits::default().box_bytes_max);
    }

    #[test]
    fn the_smaller_limit_and_the_common_features_count() {
        let peer = Terms {
            version: 7,
            features: vec!["deadline".to_owned(), "teleport".to_owned()],
            box_bytes_max: 100_000,
            asks_in_flight_max: 3,
            ..terms()
        };
        let agreed = Agreement::of(&Limits::default(), &peer);
        assert_eq!((agreed.version, agreed.features), (EXTENSIONS_VERSION, Features::DEADLINE));
        assert_eq!((agreed.box_bytes_max, agreed.asks_in_flight_max), (100_000, 3));
    }

    #[test]
    fn nothing_goes_in_pieces_where_one_box_may_be_larger() {
        let features = |limits: &Limits, peer: Terms| Agreement::of(limits, &peer).features;
        let usual = Limits::default();
        let small = Limits { large_bytes_max: usual.box_bytes_max - 1, ..usual.clone() };
        let none = Features::all().without(Features::LARGE);
        assert_eq!(features(&small, terms()), none);
        assert_eq!(features(&usual, Terms { large_bytes_max: 0, ..terms() }), none);
        let as_large = Limits { large_bytes_max: usual.box_bytes_max, ..usual };
        assert_eq!(features(&as_large, terms()), Features::all());
    }

    #[test]
    fn nobody_is_talked_into_uselessness() {
        let peer = Terms { box_bytes_max: 0, asks_in_flight_max: 0, ..terms() };
        let agreed = Agreement::of(&Limits::default(), &peer);
        let least = Limits::BOX_BYTES_LEAST;
        assert_eq!((agreed.box_bytes_max, agreed.asks_in_flight_max), (least, 1));
        let small = Limits { box_bytes_max: 2000, ..Limits::default() };
        assert_eq!(Agreement::of(&small, &terms()).box_bytes_max, 2000);
    }
}
