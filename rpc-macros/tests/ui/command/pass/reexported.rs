//! For a crate that hands `amp-proto` on under another name.

mod vendored {
    pub use amp_proto as amp;
}

use vendored::amp;

#[derive(amp::Command)]
#[command(answered_by = any, response = Rating, errors = Mistake, no_answer)]
#[amp(crate = crate::vendored::amp)]
struct Rate {
    stars: Stars,
}

#[derive(amp::Arguments)]
#[amp(crate = amp)]
struct Rating {
    #[amp(key = "stars-given")]
    stars: u8,
}

#[derive(Debug, thiserror::Error, amp::CommandError)]
#[amp(crate = amp)]
enum Mistake {
    #[error("closed")]
    #[code("CLOSED")]
    Closed,
}

#[derive(amp::Choice)]
#[amp(crate = amp)]
enum Stars {
    #[wire("many")]
    Many,
}

struct Critic;

#[amp::responders(crate = amp)]
impl Critic {
    #[amp::responder]
    async fn rate(&self, Rate { stars: Stars::Many }: Rate) -> Result<Rating, Mistake> {
        if std::env::args().count() == 0 {
            return Err(Mistake::Closed);
        }
        Ok(Rating { stars: 5 })
    }
}

amp::assert_answers!(Critic: Rate);

fn main() {}
