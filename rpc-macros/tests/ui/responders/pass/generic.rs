//! Responders of a type with parameters, and of a type from a macro.

use amp_proto::{Command, Never, ResponderTable, assert_answers, responders};

#[derive(Command)]
#[command(answered_by = Cluster)]
struct EatCheez {
    name: String,
}

trait Store: Send + Sync + 'static {
    fn take(&self, name: &str);
}

struct Shelf;

impl Store for Shelf {
    fn take(&self, _: &str) {}
}

struct Cellar<S, const SHELVES: usize> {
    shelves: [S; SHELVES],
}

#[responders]
impl<S, const SHELVES: usize> Cellar<S, SHELVES>
where
    S: Store,
{
    #[responder]
    async fn eat_cheez(&self, cheez: EatCheez) -> Result<(), Never> {
        for shelf in &self.shelves {
            shelf.take(&cheez.name);
        }
        Ok(())
    }
}

assert_answers!(Cellar<Shelf, 3>: EatCheez);

macro_rules! tower {
    ($name:ident: $command:ty) => {
        struct $name;

        #[responders]
        impl $name {
            #[responder]
            async fn answer(&self, _: $command) -> Result<(), Never> {
                Ok(())
            }
        }
    };
}

tower!(Tower: EatCheez);

fn main() {
    assert_eq!(Cellar::<Shelf, 3>::TABLE.len(), 1);
    assert_eq!(Tower::TABLE.len(), 1);
    let _ = Cellar { shelves: [Shelf] };
}
