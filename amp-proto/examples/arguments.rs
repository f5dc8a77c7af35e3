//! One command with an argument of every type, and the box that it becomes.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::net::IpAddr;

use amp_proto::{
    AbsolutePath, AmpBox, Arguments, Choice, Command, DateTime, Decimal, Limits, write_box,
};
use bytes::Bytes;

// ANCHOR: command
/// Put a cheez on the list.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Region)]
struct ListCheez {
    name: String,
    wheels: u16,
    fat_percent: f64,
    price: Decimal,
    ripe: bool,
    sealed: DateTime,
    photo: Bytes,
    /// Absent: nobody has asked yet.
    lactose_free: Option<bool>,
    awards: Vec<String>,
    milk: Milk,
    makers: Vec<Maker>,
    recipe: AbsolutePath,
    thermometer: IpAddr,
    cellar_network: ipnet::IpNet,
    #[amp(key = "type")]
    family: String,
}

/// One of a few words.
#[derive(Clone, Debug, PartialEq, Choice)]
enum Milk {
    #[wire("cow")]
    Cow,
    #[wire("sheep")]
    Sheep,
}

/// A row of a list.
#[derive(Clone, Debug, PartialEq, Arguments)]
struct Maker {
    name: String,
    since: Option<u16>,
}
// ANCHOR_END: command

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let idiazabal = ListCheez {
        name: "Idiazabal".into(),
        wheels: 120,
        fat_percent: 48.5,
        price: "12.50".parse()?,
        ripe: true,
        sealed: "2026-01-23T12:34:56+01:00".parse()?,
        photo: Bytes::from_static(b"\xff\xd8\xff"),
        lactose_free: None,
        awards: vec!["gold".into(), "best of show".into()],
        milk: Milk::Sheep,
        makers: vec![Maker { name: "Aitor".into(), since: Some(1987) }],
        recipe: AbsolutePath::new("/srv/recipes/idiazabal")?,
        thermometer: "192.0.2.7".parse()?,
        cellar_network: "192.0.2.0/24".parse()?,
        family: "hard".into(),
    };
    let (limits, mut wire) = (Limits::default(), Vec::new());
    let reserved = [(&b"_ask"[..], &b"1"[..]), (b"_command", ListCheez::NAME.as_bytes())];
    write_box(&mut wire, &reserved, &limits, |out| idiazabal.encode(out))?;

    let (on_the_wire, _) = AmpBox::decode(&wire.into(), &limits)?.ok_or("half a box")?;
    for (key, value) in on_the_wire.iter() {
        println!("{:15} {}", key.escape_ascii().to_string(), value.escape_ascii());
    }
    Ok(())
}
