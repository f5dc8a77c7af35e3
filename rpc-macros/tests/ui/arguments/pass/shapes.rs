//! Structs of every shape, and keys from everywhere.

use amp_proto::{Argument, ArgumentType, Arguments, ListItem};

#[derive(Arguments)]
struct Unit;

#[derive(Arguments)]
struct Empty {}

#[derive(Arguments)]
struct Keys {
    plain: u8,
    r#type: String,
    #[amp(key = "wire-name")]
    renamed: Option<String>,
    #[amp(key = "loop",)]
    _ignored: Vec<u8>,
}

#[derive(Arguments)]
struct Page<T, const SIZE: usize>
where
    T: Clone,
{
    items: Vec<T>,
    next: Option<[u8; SIZE]>,
}

#[derive(Arguments)]
struct Book {
    pages: Vec<Keys>,
}

macro_rules! rating {
    ($name:ident: $ty:ty) => {
        #[derive(Arguments)]
        struct $name {
            stars: $ty,
        }
    };
}

rating!(Stars: u8);

fn main() {
    assert!(Unit::FIELDS.is_empty());
    assert!(Empty::FIELDS.is_empty());
    let keys = Keys::FIELDS.iter().map(|field| field.name).collect::<Vec<_>>();
    assert_eq!(keys, ["plain", "type", "wire-name", "loop"]);
    assert_eq!(Page::<String, 3>::FIELDS[0].kind, <Vec<String> as Argument>::TYPE);
    assert_eq!(Book::FIELDS[0].kind, ArgumentType::Boxes(Keys::FIELDS));
    assert_eq!(<Book as ListItem>::LIST_TYPE, ArgumentType::Boxes(Book::FIELDS));
    assert_eq!(Stars::FIELDS[0].kind, <u8 as Argument>::TYPE);
}
