//! What a row of the table is.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How much of a row is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// What every change has to pass.
    Short,
    /// What a release has to pass.
    Long,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "short",
            Self::Long => "long",
        })
    }
}

/// What a run is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Which targets hold.
    pub(crate) form: Form,
    /// Decides everything that is left to chance. Printed, so that it can be given again.
    pub(crate) seed: u64,
    /// How long the load lasts, if not as long as the form says. Targets that are counts for the
    /// whole time hold as they are; the row is of a form of its own then.
    pub(crate) minutes: Option<f64>,
}

impl Run {
    /// How long the load lasts, where the form would have it last so long.
    pub(crate) fn lasts(&self, short: Duration, long: Duration) -> Duration {
        let usual = match self.form {
            Form::Short => short,
            Form::Long => long,
        };
        self.minutes.map_or(usual, |minutes| Duration::from_secs_f64(minutes * 60.0))
    }
}

/// What was measured, and which of it misses the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// What was measured, in words: `"112 kills"`.
    pub(crate) measured: Vec<String>,
    /// What misses the target, and by how much. None: the row is ok.
    pub(crate) missed: Vec<String>,
}

impl Figures {
    /// A figure that is told, and judged by nobody.
    pub(crate) fn say(&mut self, what: impl Into<String>) {
        self.measured.push(what.into());
    }

    /// A figure that has to hold.
    pub(crate) fn check(&mut self, holds: bool, what: impl Into<String>) {
        let what = what.into();
        if !holds {
            self.missed.push(what.clone());
        }
        self.measured.push(what);
    }
}

/// One property of the mesh, and how it is shown.
#[async_trait]
pub(crate) trait Row: Send + Sync {
    /// `"R4"`.
    fn number(&self) -> &'static str;

    /// What is shown, in a few words.
    fn property(&self) -> &'static str;

    /// What has to be measured for the row to be ok.
    fn target(&self, form: Form) -> &'static str;

    /// How long the row may take altogether, beyond which it is killed and has failed.
    fn time_limit(&self, form: Form) -> Duration;

    /// Whether the row has a network namespace to itself, with nothing but loopback in it. It can
    /// make others then, and drop what goes between them.
    fn has_own_network(&self) -> bool {
        true
    }

    /// Runs it, in a process of its own that does nothing else, on a runtime of one thread.
    ///
    /// # Errors
    /// What kept it from being run or measured to its end. The row has failed then.
    ///
    /// # Cancellation
    /// The process is killed; processes that were started by [`crate::processes`] end with it.
    async fn run(&self, run: Run) -> anyhow::Result<Figures>;
}
