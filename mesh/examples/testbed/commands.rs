//! The vocabulary of `twisted.test.test_amp`.

use amp_proto::{Arguments, Command, CommandError};
use bytes::Bytes;

#[derive(Debug, Command)]
#[command(name = "hello", answered_by = any, response = Greeting, errors = GreetingError)]
pub(crate) struct Hello {
    pub(crate) hello: Bytes,
    pub(crate) optional: Option<bool>,
    pub(crate) print: Option<String>,
    #[amp(key = "mixedCase")]
    pub(crate) mixed_case: Option<Bytes>,
    #[amp(key = "dash-arg")]
    pub(crate) dash_arg: Option<Bytes>,
    pub(crate) underscore_arg: Option<Bytes>,
}

#[derive(Debug, Arguments)]
pub(crate) struct Greeting {
    pub(crate) hello: Bytes,
    pub(crate) print: Option<String>,
}

#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
pub(crate) enum GreetingError {
    #[error("Don't be a dick.")]
    #[code("UNFRIENDLY")]
    Unfriendly,
    #[error("aieeeeeeeee")]
    #[code("DEAD", fatal)]
    Dead,
}

/// The same by string, in the cases that the tests use.
#[derive(Debug, Command)]
#[command(name = "hello", answered_by = any, response = Echo)]
pub(crate) struct EchoLower {
    pub(crate) hello: Bytes,
}

#[derive(Debug, Command)]
#[command(name = "HELLO", answered_by = any, response = Echo)]
pub(crate) struct EchoUpper {
    pub(crate) hello: Bytes,
}

#[derive(Debug, Command)]
#[command(name = "Hello", answered_by = any, response = Echo)]
pub(crate) struct EchoTitle {
    pub(crate) hello: Bytes,
}

#[derive(Debug, Arguments)]
pub(crate) struct Echo {
    pub(crate) hello: Bytes,
}

#[derive(Debug, Command)]
#[command(name = "getlist", answered_by = any, response = Rows)]
pub(crate) struct GetList {
    pub(crate) length: i64,
}

#[derive(Debug, Arguments)]
pub(crate) struct Rows {
    pub(crate) body: Vec<Row>,
}

#[derive(Clone, Debug, Arguments)]
pub(crate) struct Row {
    pub(crate) x: i64,
}

#[derive(Debug, Command)]
#[command(name = "dontrejectme", answered_by = any, response = Accepted)]
pub(crate) struct DontRejectMe {
    #[amp(key = "magicWord")]
    pub(crate) magic_word: String,
    pub(crate) list: Option<Vec<Name>>,
}

#[derive(Debug, Arguments)]
pub(crate) struct Name {
    pub(crate) name: String,
}

#[derive(Debug, Arguments)]
pub(crate) struct Accepted {
    pub(crate) response: String,
}

#[derive(Debug, Command)]
#[command(name = "wait_forever", answered_by = any)]
pub(crate) struct WaitForever;

#[derive(Debug, Command)]
#[command(name = "broken_return", answered_by = any)]
pub(crate) struct BrokenReturn;

#[derive(Debug, Command)]
#[command(answered_by = any, response = Pinged)]
pub(crate) struct SecuredPing;

#[derive(Debug, Arguments)]
pub(crate) struct Pinged {
    pub(crate) pinged: bool,
}

#[derive(Debug, Command)]
#[command(answered_by = any, errors = InheritedError)]
pub(crate) struct BaseCommand;

#[derive(Debug, Command)]
#[command(answered_by = any, errors = InheritedError)]
pub(crate) struct InheritedCommand;

#[derive(Debug, Command)]
#[command(answered_by = any, errors = InheritedError)]
pub(crate) struct AddErrorsCommand {
    pub(crate) other: bool,
}

#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
pub(crate) enum InheritedError {
    #[error("")]
    #[code("INHERITED_ERROR")]
    Inherited,
    #[error("")]
    #[code("OTHER_INHERITED_ERROR")]
    OtherInherited,
}

#[derive(Debug, Command)]
#[command(answered_by = any)]
pub(crate) struct StartTLS;

/// The connection is closed once this is answered.
#[derive(Debug, Command)]
#[command(answered_by = any, response = Farewell, afterwards = Close)]
pub(crate) struct Goodbye;

#[derive(Debug, Arguments)]
pub(crate) struct Farewell {
    pub(crate) goodbye: String,
}

/// The connection is no longer AMP once this is answered.
#[derive(Debug, Command)]
#[command(name = "Switch-Proto", answered_by = any, afterwards = HandOver)]
pub(crate) struct SwitchProto {
    pub(crate) name: String,
}
