//! Every argument type in one command: the peer of `tests/python/twisted_types.py`.

use amp_proto::{
    AbsolutePath, Arguments, Choice, Command, CommandError, Compressed, DateTime, Decimal, Json,
};
use bytes::Bytes;
use ipnet::IpNet;
use num_bigint::BigInt;
use url::Url;

/// Answered with its own arguments.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, response = Values)]
pub(crate) struct Types {
    pub(crate) integer: BigInt,
    pub(crate) big: BigInt,
    pub(crate) data: Bytes,
    pub(crate) text: String,
    pub(crate) flag: bool,
    pub(crate) ratio: f64,
    pub(crate) price: Decimal,
    pub(crate) at: DateTime,
    pub(crate) numbers: Vec<BigInt>,
    pub(crate) nested: Vec<Vec<BigInt>>,
    pub(crate) names: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) path: AbsolutePath,
    pub(crate) maybe: Option<String>,
    pub(crate) structure: Json<serde_json::Value>,
    pub(crate) address: std::net::IpAddr,
    pub(crate) network: IpNet,
    pub(crate) link: Url,
    pub(crate) state: State,
    pub(crate) table: Compressed<Vec<Line>>,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Arguments)]
pub(crate) struct Values {
    pub(crate) integer: BigInt,
    pub(crate) big: BigInt,
    pub(crate) data: Bytes,
    pub(crate) text: String,
    pub(crate) flag: bool,
    pub(crate) ratio: f64,
    pub(crate) price: Decimal,
    pub(crate) at: DateTime,
    pub(crate) numbers: Vec<BigInt>,
    pub(crate) nested: Vec<Vec<BigInt>>,
    pub(crate) names: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) path: AbsolutePath,
    pub(crate) maybe: Option<String>,
    pub(crate) structure: Json<serde_json::Value>,
    pub(crate) address: std::net::IpAddr,
    pub(crate) network: IpNet,
    pub(crate) link: Url,
    pub(crate) state: State,
    pub(crate) table: Compressed<Vec<Line>>,
}

/// A row of an AmpList.
#[derive(Clone, Debug, PartialEq, Arguments)]
pub(crate) struct Row {
    pub(crate) a: i64,
    pub(crate) b: Option<String>,
}

/// A row of a compressed AmpList.
#[derive(Clone, Debug, PartialEq, Arguments)]
pub(crate) struct Line {
    pub(crate) ip: String,
}

/// One of two words.
#[derive(Clone, Copy, Debug, PartialEq, Choice)]
pub(crate) enum State {
    #[wire("on")]
    On,
    #[wire("off")]
    Off,
}

/// Answered with an error of the `kind`: declared, fatal or undeclared.
#[derive(Debug, Command)]
#[command(answered_by = any, errors = FailError)]
pub(crate) struct Fail {
    pub(crate) kind: String,
}

#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
pub(crate) enum FailError {
    #[error("declared")]
    #[code("DECLARED")]
    Declared,
    #[error("fatal")]
    #[code("FATAL", fatal)]
    Fatal,
}

impl From<Types> for Values {
    fn from(it: Types) -> Self {
        Self {
            integer: it.integer,
            big: it.big,
            data: it.data,
            text: it.text,
            flag: it.flag,
            ratio: it.ratio,
            price: it.price,
            at: it.at,
            numbers: it.numbers,
            nested: it.nested,
            names: it.names,
            rows: it.rows,
            path: it.path,
            maybe: it.maybe,
            structure: it.structure,
            address: it.address,
            network: it.network,
            link: it.link,
            state: it.state,
            table: it.table,
        }
    }
}
