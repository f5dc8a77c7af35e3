//! Choices as fields, in lists, and with one word only.

use amp_proto::{Argument, ArgumentType, Arguments, Choice};

#[derive(Clone, Copy, Choice)]
#[non_exhaustive]
enum Power {
    #[wire("on")]
    On,
    #[wire("off")]
    Off = 7,
    #[wire("weiß nicht")]
    Unknown,
}

#[derive(Choice)]
enum Only {
    #[wire("only")]
    Only,
}

#[derive(Arguments)]
struct Machine {
    power: Power,
    wanted: Option<Power>,
    history: Vec<Power>,
    only: Only,
}

fn main() {
    assert_eq!(Power::TYPE, ArgumentType::Choice(&["on", "off", "weiß nicht"]));
    assert_eq!(Machine::FIELDS[2].kind, ArgumentType::List(&Power::TYPE));
    let machine = Machine {
        power: Power::On,
        wanted: Some(Power::Off),
        history: vec![Power::Unknown],
        only: Only::Only,
    };
    let mut word = Vec::new();
    machine.power.encode(&mut word).unwrap();
    machine.history[0].encode(&mut word).unwrap();
    machine.only.encode(&mut word).unwrap();
    machine.wanted.unwrap().encode(&mut word).unwrap();
    assert_eq!(word, "onweiß nichtonlyoff".as_bytes());
}
