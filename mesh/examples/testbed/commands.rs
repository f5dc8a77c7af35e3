//! The vocabulary of `twisted.test.test_amp`.

use amp_proto::{Arguments, Command, CommandError};
use bytes::Bytes;

#[derive(Debug, Command)]
#[command(name = "hello", answered_by = any, response = Greeting, errors = GreetingError)]
pub struct Hello {
    pub hello: Bytes,
    pub optional: Option<bool>,
    pub print: Option<String>,
    #[amp(key = "mixedCase")]
    pub mixed_case: Option<Bytes>,
    #[amp(key = "dash-arg")]
    pub dash_arg: Option<Bytes>,
    pub underscore_arg: Option<Bytes>,
}

#[derive(Debug, Arguments)]
pub struct Greeting {
    pub hello: Bytes,
    pub print: Option<String>,
}

#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
pub enum GreetingError {
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
pub struct EchoLower {
    pub hello: Bytes,
}

#[derive(Debug, Command)]
#[command(name = "HELLO", answered_by = any, response = Echo)]
pub struct EchoUpper {
    pub hello: Bytes,
}

#[derive(Debug, Command)]
#[command(name = "Hello", answered_by = any, response = Echo)]
pub struct EchoTitle {
    pub hello: Bytes,
}

#[derive(Debug, Arguments)]
pub struct Echo {
    pub hello: Bytes,
}

#[derive(Debug, Command)]
#[command(name = "getlist", answered_by = any, response = Rows)]
pub struct GetList {
    pub length: i64,
}

#[derive(Debug, Arguments)]
pub struct Rows {
    pub body: Vec<Row>,
}

#[derive(Clone, Debug, Arguments)]
pub struct Row {
    pub x: i64,
}

#[derive(Debug, Command)]
#[command(name = "dontrejectme", answered_by = any, response = Accepted)]
pub struct DontRejectMe {
    #[amp(key = "magicWord")]
    pub magic_word: String,
    pub list: Option<Vec<Name>>,
}

#[derive(Debug, Arguments)]
pub struct Name {
    pub name: String,
}

#[derive(Debug, Arguments)]
pub struct Accepted {
    pub response: String,
}

#[derive(Debug, Command)]
#[command(name = "wait_forever", answered_by = any)]
pub struct WaitForever;

#[derive(Debug, Command)]
#[command(name = "broken_return", answered_by = any)]
pub struct BrokenReturn;

#[derive(Debug, Command)]
#[command(answered_by = any, response = Pinged)]
pub struct SecuredPing;

#[derive(Debug, Arguments)]
pub struct Pinged {
    pub pinged: bool,
}

#[derive(Debug, Command)]
#[command(answered_by = any, errors = InheritedError)]
pub struct BaseCommand;

#[derive(Debug, Command)]
#[command(answered_by = any, errors = InheritedError)]
pub struct InheritedCommand;

#[derive(Debug, Command)]
#[command(answered_by = any, errors = InheritedError)]
pub struct AddErrorsCommand {
    pub other: bool,
}

#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
pub enum InheritedError {
    #[error("")]
    #[code("INHERITED_ERROR")]
    Inherited,
    #[error("")]
    #[code("OTHER_INHERITED_ERROR")]
    OtherInherited,
}

#[derive(Debug, Command)]
#[command(answered_by = any)]
pub struct StartTLS;

/// The connection is closed once this is answered.
#[derive(Debug, Command)]
#[command(answered_by = any, response = Farewell, afterwards = Close)]
pub struct Goodbye;

#[derive(Debug, Arguments)]
pub struct Farewell {
    pub goodbye: String,
}

/// The connection is no longer AMP once this is answered.
#[derive(Debug, Command)]
#[command(name = "Switch-Proto", answered_by = any, afterwards = HandOver)]
pub struct SwitchProto {
    pub name: String,
}
