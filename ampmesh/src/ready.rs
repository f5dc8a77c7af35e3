//! What a process says on stdout when it is up: a sentence, or a line of JSON for programs.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    },
    /// A cluster process.
    Cluster {
        /// Its name.
        name: String,
        /// Its identity.
        uuid: String,
    },
}

impl Ready {
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
            Self::Region { name, address, operator_socket, .. } => {
                let socket = operator_socket.display();
                writeln!(out, "region {name} listens on {address}; operators: {socket}")?;
            }
            Self::Cluster { name, uuid } => {
                writeln!(out, "cluster {name} ({uuid}) is up and looks for its regions")?;
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
        let ready = Ready::Cluster { name: "rack-7".to_owned(), uuid: "5f0d".to_owned() };
        let mut line = Vec::new();
        ready.write(&mut line, true).unwrap();
        assert_eq!(line, b"{\"role\":\"cluster\",\"name\":\"rack-7\",\"uuid\":\"5f0d\"}\n");
        assert_eq!(serde_json::from_slice::<Ready>(&line).unwrap(), ready);
    }
}
