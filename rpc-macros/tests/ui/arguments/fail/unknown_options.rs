use amp_proto::Arguments;

#[derive(Arguments)]
#[amp(key = "cheez")]
struct Misspelt {
    #[amp(name = "wire-name")]
    renamed: u8,
    #[amp(key = "one", key = "two")]
    twice: u8,
    #[amp(key = 3)]
    number: u8,
    #[amp]
    bare: u8,
}

fn main() {}
