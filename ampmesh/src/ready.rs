//! What a process says on stdout when it is up: a sentence, or a line of JSON for programs.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

/// Who is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "kebab-case")]
pub(crate) enum Ready {
    /// A region process.
    Region {
        /// Its name.
        name: String,
        /// Its identity.
        id: String,
        /// Where it listens.
        address: String,
        /// Where operators reach it.
        operator_socket: PathBuf,
        /// How many threads carry its connections.
        threads: usize,
    },
    /// A cluster process.
    Cluster {
        /// Its name.
        name: String,
        /// Its identity.
        uuid: String,
        /// How many threads carry its connections.
        threads: usize,
    },
}

impl Ready {
    /// How many threads there are to carry connections: those of the runtime that this runs on.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(crate) fn threads() -> usize {
        Handle::current().metrics().num_workers()
    }

    /// Says it.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn write(&self, out: &mut dyn Write, json: bool) -> io::Result<()> {
        match self {
            _ if json => {
                serde_json::to_writer(&mut *out, self)?;
                writeln!(out)?;
            }
            Self::Region { name, address, operator_socket, threads, .. } => {
                let socket = operator_socket.display();
                writeln!(
                    out,
                    "region {name} listens on {address}; threads: {threads}; operators: {socket}"
                )?;
            }
            Self::Cluster { name, uuid, threads } => {
                writeln!(
                    out,
                    "cluster {name} ({uuid}) is up and looks for its regions; threads: {threads}"
                )?;
            }
        }
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_for_programs_can_be_read_again() {
        let ready =
            Ready::Cluster { name: "rack-7".to_owned(), uuid: "5f0d".to_owned(), threads: 2 };
        let mut line = Vec::new();
        ready.write(&mut line, true).unwrap();
        let text = r#"{"role":"cluster","name":"rack-7","uuid":"5f0d","threads":2}"#;
        assert_eq!(line, format!("{text}\n").as_bytes());
        assert_eq!(serde_json::from_slice::<Ready>(&line).unwrap(), ready);
    }
}
