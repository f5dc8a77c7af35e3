//! Nothing that is written needs the standard library, or anything in scope.
#![no_std]
#![no_implicit_prelude]
#![deny(warnings, missing_docs, unused_qualifications)]

extern crate alloc;
extern crate std;

/// A command.
#[derive(::amp_proto::Command)]
#[command(answered_by = any, response = Rating, errors = Mistake, no_answer)]
pub struct Rate {
    /// What is rated.
    pub name: ::alloc::string::String,
    /// How it is rated.
    pub with: ::core::option::Option<Stars>,
}

/// A response.
#[derive(::amp_proto::Arguments)]
pub struct Rating {
    /// How good it is.
    pub stars: u8,
}

/// The errors.
#[derive(::core::fmt::Debug, ::amp_proto::CommandError)]
pub enum Mistake {
    /// Nobody is there.
    #[code("CLOSED")]
    Closed,
    /// It is not known.
    #[code("NO_SUCH_NAME")]
    NoSuchName(::alloc::string::String),
}

impl ::core::fmt::Display for Mistake {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.write_str("mistake")
    }
}

impl ::core::error::Error for Mistake {}

/// A choice.
#[derive(::amp_proto::Choice)]
pub enum Stars {
    /// Few.
    #[wire("few")]
    Few,
    /// Many.
    #[wire("many")]
    Many,
}

/// Who answers.
pub struct Critic;

#[::amp_proto::responders]
impl Critic {
    #[responder]
    async fn rate(&self, rate: Rate) -> ::core::result::Result<Rating, Mistake> {
        if rate.name.is_empty() {
            ::core::result::Result::Err(Mistake::NoSuchName(rate.name))
        } else {
            ::core::result::Result::Ok(Rating { stars: 5 })
        }
    }
}

::amp_proto::assert_answers!(Critic: Rate);

fn main() {}
