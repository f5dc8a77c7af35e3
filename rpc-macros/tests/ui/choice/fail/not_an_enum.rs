use amp_proto::{Arguments, Choice};

#[derive(Choice)]
struct Power;

#[derive(Choice)]
enum Nothing {}

#[derive(Choice)]
enum Generic<T> {
    #[wire("on")]
    On,
    #[wire("off")]
    Off(T),
}

// They are arguments all the same, as far as this struct is concerned.
#[derive(Arguments)]
struct Machine {
    power: Power,
    nothing: Option<Nothing>,
}

fn main() {}
