//! R0: whether the machine has what the other rows need. It says what is missing.

use std::time::Duration;

use anyhow::ensure;
use async_trait::async_trait;

use crate::processes::{Process, Signal, output};
use crate::row::{Figures, Form, Row, Run};

pub(crate) struct Kit;

#[async_trait]
impl Row for Kit {
    fn number(&self) -> &'static str {
        "R0"
    }

    fn property(&self) -> &'static str {
        "the machine has what the rows need"
    }

    fn target(&self, _: Form) -> &'static str {
        "namespaces, packet filter, processes that end"
    }

    fn time_limit(&self, _: Form) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self, _: Run) -> anyhow::Result<Figures> {
        let mut figures = Figures::default();
        output("ip", &["link", "set", "lo", "up"]).await?;
        output("nft", &["add", "table", "inet", "kit"]).await?;
        figures.say("own network");
        let mut sleeper = Process::command("sleep", &["infinity"]).start()?;
        ensure!(sleeper.resident_bytes()? > 0, "a process without memory");
        sleeper.signal(Signal::KILL)?;
        let ended = sleeper.ended(Duration::from_secs(10)).await?;
        figures.check(!ended.success(), "a killed process is gone");
        Ok(figures)
    }
}
