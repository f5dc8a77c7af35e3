//! What `--json` writes when there is nothing else to write: that the subcommand failed, and how.

use std::io;

use serde::Serialize;

use crate::exit::Exit;
use crate::terminal::Terminal;

/// The shape of a failure: that of a failed call, without its target.
#[derive(Debug, Serialize)]
struct Failure<'a> {
    error: Mistake<'a>,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct Mistake<'a> {
    kind: &'static str,
    code: Option<&'a str>,
    description: &'a str,
    maybe_done: bool,
}

/// Writes the failure as JSON. Nothing was sent that could have changed anything.
///
/// # Errors
/// Those of stdout.
pub(crate) fn write(exit: Exit, description: &str, terminal: &mut Terminal<'_>) -> io::Result<()> {
    let error = Mistake { kind: exit.kind(), code: None, description, maybe_done: false };
    terminal.json(&Failure { error, exit_code: exit.code() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::terminal::Style;

    #[test]
    fn a_failure_is_one_document_with_its_kind_and_exit_code() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (style, err_style) = (Style::plain(), Style::plain());
        let mut terminal = Terminal { out: &mut out, err: &mut err, style, err_style };
        write(Exit::NoTarget, "no cluster is connected", &mut terminal).unwrap();
        let document: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            document,
            json!({
                "error": {
                    "kind": "no-target", "code": null,
                    "description": "no cluster is connected", "maybe_done": false,
                },
                "exit_code": 4,
            })
        );
    }
}
