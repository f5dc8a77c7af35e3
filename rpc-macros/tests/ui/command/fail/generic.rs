use amp_proto::Command;

#[derive(Command)]
#[command(answered_by = any)]
struct Store<'a, T: Clone, const SIZE: usize> {
    name: &'a str,
    items: Vec<T>,
    fixed: [u8; SIZE],
}

fn main() {}
