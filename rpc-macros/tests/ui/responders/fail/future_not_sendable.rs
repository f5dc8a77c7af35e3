use amp_proto::{Command, Never, responders};

#[derive(Command)]
#[command(answered_by = Cluster)]
struct EatCheez;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never> {
        let crumbs = std::rc::Rc::new(3);
        std::future::ready(()).await;
        drop(crumbs);
        Ok(())
    }
}

fn main() {}
