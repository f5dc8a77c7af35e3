use amp_proto::Arguments;

#[derive(Arguments)]
struct Page<T> {
    items: Vec<T>,
}

struct Opaque;

fn sent<A: Arguments>() {}

fn main() {
    sent::<Page<String>>();
    sent::<Page<Opaque>>();
}
