//! How each profile answers: `tests/python/PROFILES.md`, in Rust.

use std::sync::Arc;

use amp_proto::{Failure, Never, PassedError, ResponderTable, Responders, responders};
use tokio::sync::watch;

use crate::commands::*;
use crate::mirror;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    SimpleSymmetricProtocol,
    SimpleSymmetricCommandProtocol,
    DeferredSymmetricCommandProtocol,
    NoAnswerCommandProtocol,
    BadNoAnswerCommandProtocol,
    NormalCommandProtocol,
    InheritedCommandProtocol,
    AddedCommandProtocol,
    SecurableProto,
    Types,
}

impl Profile {
    pub(crate) const ALL: [Self; 10] = [
        Self::SimpleSymmetricProtocol,
        Self::SimpleSymmetricCommandProtocol,
        Self::DeferredSymmetricCommandProtocol,
        Self::NoAnswerCommandProtocol,
        Self::BadNoAnswerCommandProtocol,
        Self::NormalCommandProtocol,
        Self::InheritedCommandProtocol,
        Self::AddedCommandProtocol,
        Self::SecurableProto,
        Self::Types,
    ];

    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn responders(self) -> Responders {
        let mut all = Responders::new();
        match self {
            Self::SimpleSymmetricProtocol => add(&mut all, ByString),
            Self::SimpleSymmetricCommandProtocol => {
                add(&mut all, Greeter);
                add(&mut all, Symmetric::new(false));
            }
            Self::DeferredSymmetricCommandProtocol => {
                add(&mut all, Greeter);
                add(&mut all, Symmetric::new(true));
            }
            Self::NoAnswerCommandProtocol => {
                add(&mut all, CurtGreeter);
                add(&mut all, Symmetric::new(false));
            }
            Self::BadNoAnswerCommandProtocol => {
                add(&mut all, BrokenGreeter);
                add(&mut all, Symmetric::new(false));
            }
            Self::NormalCommandProtocol => add(&mut all, Normal),
            Self::InheritedCommandProtocol => add(&mut all, Inherited),
            Self::AddedCommandProtocol => add(&mut all, Added),
            Self::SecurableProto => add(&mut all, Securable),
            Self::Types => add(&mut all, mirror::Mirror),
        }
        all
    }
}

fn add<S: ResponderTable>(all: &mut Responders, responder: S) {
    if let Err(error) = all.add(Arc::new(responder)) {
        unreachable!("a profile of this file has two responders for one command: {error}");
    }
}

struct ByString;

#[responders]
impl ByString {
    #[responder]
    async fn lower(&self, it: EchoLower) -> Result<Echo, Never> {
        Ok(Echo { hello: it.hello })
    }

    #[responder]
    async fn upper(&self, it: EchoUpper) -> Result<Echo, Never> {
        Ok(Echo { hello: it.hello })
    }

    #[responder]
    async fn title(&self, it: EchoTitle) -> Result<Echo, Never> {
        Ok(Echo { hello: it.hello })
    }
}

struct Greeter;

#[responders]
impl Greeter {
    #[responder]
    async fn hello(&self, it: Hello) -> Result<Greeting, Failure<GreetingError>> {
        match &it.hello[..] {
            b"gwebol nargo" => Err(Failure::undeclared("I do not understand this")),
            [0x66, 0x75, 0x63, 0x6b, ..] => Err(GreetingError::Unfriendly.into()),
            b"die" => Err(GreetingError::Dead.into()),
            _ => Ok(Greeting { hello: it.hello, print: it.print }),
        }
    }
}

struct CurtGreeter;

#[responders]
impl CurtGreeter {
    #[responder]
    async fn hello(&self, it: Hello) -> Result<Greeting, GreetingError> {
        let hello = [&it.hello[..], b"-noanswer"].concat().into();
        Ok(Greeting { hello, print: None })
    }
}

struct BrokenGreeter;

#[responders]
impl BrokenGreeter {
    #[responder]
    async fn hello(&self, _: Hello) -> Result<Greeting, Failure<GreetingError>> {
        Err(Failure::undeclared("this responder has no response"))
    }
}

/// The rest of `SimpleSymmetricCommandProtocol`.
struct Symmetric {
    deferred: bool,
    switched: watch::Sender<bool>,
}

impl Symmetric {
    fn new(deferred: bool) -> Self {
        Self { deferred, switched: watch::Sender::new(false) }
    }
}

#[responders]
impl Symmetric {
    #[responder]
    async fn get_list(&self, it: GetList) -> Result<Rows, Never> {
        let length = usize::try_from(it.length).unwrap_or(0).min(100_000);
        Ok(Rows { body: vec![Row { x: 1 }; length] })
    }

    #[responder]
    async fn dont_reject_me(&self, it: DontRejectMe) -> Result<Accepted, Failure<Never>> {
        let response = match it.list.as_deref() {
            None => "list omitted".to_owned(),
            Some([first, ..]) => format!("{} accepted", first.name),
            Some([]) => return Err(Failure::undeclared("there is no first row")),
        };
        Ok(Accepted { response })
    }

    #[responder]
    async fn wait_forever(&self, _: WaitForever) -> Result<(), Failure<Never>> {
        let mut switched = self.switched.subscribe();
        switched.wait_for(|switched| *switched).await.map(drop).map_err(Failure::undeclared)
    }

    #[responder]
    async fn goodbye(&self, _: Goodbye) -> Result<Farewell, Never> {
        Ok(Farewell { goodbye: "everyone".to_owned() })
    }

    #[responder]
    async fn broken_return(&self, _: BrokenReturn) -> Result<(), Failure<Never>> {
        Err(Failure::undeclared("this responder has no response"))
    }

    #[responder]
    async fn secured_ping(&self, _: SecuredPing) -> Result<Pinged, Failure<Never>> {
        Err(Failure::undeclared("this connection is not secured"))
    }

    #[responder]
    async fn switch(&self, it: SwitchProto) -> Result<(), Failure<Never>> {
        let SwitchProto { name } = it;
        if name != "test-proto" {
            let description = format!("b'{name}'");
            let code = "UNKNOWN".to_owned();
            return Err(Failure::Passed(PassedError { code, description, fatal: false }));
        }
        if self.deferred {
            tokio::task::yield_now().await;
        }
        self.switched.send_replace(true);
        Ok(())
    }
}

struct Normal;

#[responders]
impl Normal {
    #[responder]
    async fn base(&self, _: BaseCommand) -> Result<(), InheritedError> {
        Err(InheritedError::Inherited)
    }
}

struct Inherited;

#[responders]
impl Inherited {
    #[responder]
    async fn inherited(&self, _: InheritedCommand) -> Result<(), InheritedError> {
        Err(InheritedError::Inherited)
    }
}

struct Added;

#[responders]
impl Added {
    #[responder]
    async fn added(&self, it: AddErrorsCommand) -> Result<(), InheritedError> {
        Err(if it.other { InheritedError::OtherInherited } else { InheritedError::Inherited })
    }
}

struct Securable;

#[responders]
impl Securable {
    #[responder]
    async fn secured_ping(&self, _: SecuredPing) -> Result<Pinged, Failure<Never>> {
        Err(Failure::undeclared("this connection is not secured"))
    }

    #[responder]
    async fn start_tls(&self, _: StartTLS) -> Result<(), Failure<Never>> {
        let (code, description) = ("TLS_ERROR".to_owned(), "TLS not available".to_owned());
        Err(Failure::Passed(PassedError { code, description, fatal: false }))
    }
}
