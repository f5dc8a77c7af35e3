//! What compiles, and what the compiler says of what does not.
//!
//! `TRYBUILD=overwrite cargo test -p rpc-macros --test ui` writes the messages anew.

#[test]
fn mistakes_are_explained_where_they_were_made() {
    let cases = trybuild::TestCases::new();
    for subject in ["command", "arguments", "error", "choice", "responders"] {
        cases.pass(format!("tests/ui/{subject}/pass/*.rs"));
        cases.compile_fail(format!("tests/ui/{subject}/fail/*.rs"));
    }
}
