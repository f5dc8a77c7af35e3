//! Commands as people read them.

use std::io::{self, Write};

use amp_proto::dynamic::FieldDescription;
use mesh::CommandDescription;

use super::is_of_the_mesh;
use crate::operator::Target;
use crate::table::Table;
use crate::terminal::Style;
use crate::text::harmless;

/// Writes the application's commands, each with a few lines, and the names of the mesh's own.
///
/// # Errors
/// Those of `out`.
pub(super) fn all(
    target: &Target,
    known: &[&CommandDescription],
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    writeln!(out, "{}\n", style.faint(&title(target)))?;
    let mut own = Vec::new();
    for command in known {
        if is_of_the_mesh(command) {
            own.push(harmless(&command.name));
        } else {
            brief(command, out, style)?;
        }
    }
    if own.len() == known.len() {
        writeln!(out, "It answers no command of an application.\n")?;
    }
    if !own.is_empty() {
        writeln!(out, "{}\n    {}\n", style.faint("The mesh's own commands:"), own.join(", "))?;
    }
    Ok(())
}

fn title(target: &Target) -> String {
    let Target { role, name, id } = target;
    format!("{role} {} ({})", harmless(name), harmless(id))
}

fn brief(command: &CommandDescription, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let arguments = signature(&command.arguments);
    let response = match command.response.as_slice() {
        _ if !command.requires_answer => " (no answer)".to_owned(),
        [] => String::new(),
        fields => format!(" -> {}", signature(fields)),
    };
    let name = style.strong(&harmless(&command.name));
    writeln!(out, "{name}({arguments}){response}")?;
    if !command.doc.is_empty() {
        writeln!(out, "    {}", harmless(&command.doc))?;
    }
    for field in command.arguments.iter().chain(&command.response) {
        if !field.doc.is_empty() {
            let text = format!("{}: {}", harmless(&field.name), harmless(&field.doc));
            writeln!(out, "      {}", style.faint(&text))?;
        }
    }
    if !command.errors.is_empty() {
        let codes: Vec<_> = command.errors.iter().map(|(code, _)| harmless(code)).collect();
        writeln!(out, "    errors: {}", codes.join(", "))?;
    }
    writeln!(out)
}

fn signature(fields: &[FieldDescription]) -> String {
    fields.iter().map(|field| harmless(&format!("{field:#}"))).collect::<Vec<_>>().join(", ")
}

/// Writes all there is to say of one command, and how to call it.
///
/// # Errors
/// Those of `out`.
pub(super) fn one(
    target: &Target,
    command: &CommandDescription,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    let name = harmless(&command.name);
    writeln!(out, "{}, {}", style.strong(&name), style.faint(&title(target)))?;
    if !command.doc.is_empty() {
        writeln!(out, "\n    {}", harmless(&command.doc))?;
    }
    writeln!(out)?;
    table("ARGUMENT", &command.arguments).write(out, style)?;
    writeln!(out)?;
    if command.requires_answer {
        table("RESPONSE", &command.response).write(out, style)?;
    } else {
        writeln!(out, "Its callers usually wait for no answer.")?;
    }
    writeln!(out)?;
    if !command.errors.is_empty() {
        let mut errors = Table::new(["ERROR", ""]);
        for (code, fatal) in &command.errors {
            errors.push([harmless(code).as_str(), if *fatal { "ends the connection" } else { "" }]);
        }
        errors.write(out, style)?;
        writeln!(out)?;
    }
    let required = command.arguments.iter().filter(|field| !field.optional);
    let arguments: String = required.map(|field| format!(" {}=…", harmless(&field.name))).collect();
    let call = format!("ampmesh call {} {name}{arguments}", harmless(&target.name));
    writeln!(out, "{}\n", style.strong(&call))
}

fn table(what: &str, fields: &[FieldDescription]) -> Table {
    let mut table = Table::new([what, "TYPE", ""]);
    for FieldDescription { name, kind, optional, doc } in fields {
        let kind = format!("{kind:#}{}", if *optional { "?" } else { "" });
        table.push([harmless(name), harmless(&kind), harmless(doc)]);
    }
    if fields.is_empty() {
        table.push(["none", "", ""]);
    }
    table
}

#[cfg(test)]
mod tests {
    use amp_proto::RoleName;

    use super::*;

    fn eat() -> CommandDescription {
        let field = |text: &str, doc: &str| FieldDescription {
            doc: doc.to_owned(),
            ..text.parse().unwrap()
        };
        CommandDescription {
            name: "EatCheez".to_owned(),
            doc: "Taste a cheez.".to_owned(),
            answered_by: vec![RoleName::Cluster],
            arguments: vec![field("name: text", ""), field("age: integer(0..=255)?", "In months.")],
            response: vec![field("eaten: integer(0..=18446744073709551615)", "")],
            errors: vec![("CELLAR_LOCKED".to_owned(), false), ("CELLAR_GONE".to_owned(), true)],
            requires_answer: true,
        }
    }

    fn target() -> Target {
        Target { role: RoleName::Cluster, name: "rack-7".into(), id: "5f".into() }
    }

    #[test]
    fn the_applications_commands_come_first_and_of_the_others_the_names() {
        let ping = CommandDescription { name: "Ping".to_owned(), ..eat() };
        let leave = CommandDescription { name: "Leave".to_owned(), ..eat() };
        let mut out = Vec::new();
        all(&target(), &[&leave, &ping, &eat()], &mut out, Style::plain()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "cluster rack-7 (5f)\n\n\
             EatCheez(name: text, age: integer(0..=255)?) -> eaten: integer(u64)\n    \
             Taste a cheez.\n      age: In months.\n    errors: CELLAR_LOCKED, CELLAR_GONE\n\n\
             The mesh's own commands:\n    Leave, Ping\n\n"
        );
        let mut out = Vec::new();
        all(&target(), &[&ping], &mut out, Style::plain()).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("no command of an application"));
    }

    #[test]
    fn one_command_is_shown_in_full_with_the_call() {
        let mut out = Vec::new();
        one(&target(), &eat(), &mut out, Style::plain()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "EatCheez, cluster rack-7 (5f)\n\n    Taste a cheez.\n\n\
             ARGUMENT  TYPE\n\
             name      text\n\
             age       integer(0..=255)?  In months.\n\n\
             RESPONSE  TYPE\n\
             eaten     integer(u64)\n\n\
             ERROR\n\
             CELLAR_LOCKED\n\
             CELLAR_GONE    ends the connection\n\n\
             ampmesh call rack-7 EatCheez name=…\n\n"
        );
    }
}
