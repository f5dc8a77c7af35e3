use amp_proto::Arguments;

#[derive(Arguments)]
struct Unsendable {
    #[amp(key = "")]
    nameless: String,
    käse: String,
}

fn main() {}
