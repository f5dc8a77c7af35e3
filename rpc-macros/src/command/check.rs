//! What a command has to say, and may not say.

use syn::GenericParam;

use super::parse::{Declaration, Name};
use crate::arguments::{Shape, Struct};
use crate::errors::Errors;
use crate::wire_name;

/// Finds everything that keeps a struct of arguments from being a command.
pub(super) fn check(input: &Struct<'_>, declaration: &Declaration, errors: &mut Errors) {
    check_name(&declaration.name, errors);
    check_roles(input, declaration, errors);
    if let (Some(()), Some(ty)) =
        (declaration.no_answer, declaration.takes.as_ref().or(declaration.gives.as_ref()))
    {
        errors.at(ty, "a stream ends with the answer, so a command that has one wants an answer");
    }
    for param in &input.generics.params {
        if matches!(param, GenericParam::Type(_) | GenericParam::Const(_)) {
            errors.at(
                param,
                "a command's name stands for one set of arguments, so it has no parameters; \
                 a struct inside it may have them",
            );
        }
    }
}

fn check_name(name: &Name, errors: &mut Errors) {
    let Some(mistake) = wire_name::command_mistake(&name.text()) else {
        return;
    };
    match name {
        Name::Given(literal) => errors.at(literal, mistake),
        Name::OfType(ident) => errors
            .at(ident, format_args!("{mistake}; give it another with `#[command(name = \"…\")]`")),
    }
}

fn check_roles(input: &Struct<'_>, declaration: &Declaration, errors: &mut Errors) {
    let Some(roles) = &declaration.answered_by else {
        if let Shape::Enum(_) | Shape::Union(_) = input.shape {
            // Then it is no command at all, which was said before.
            return;
        }
        errors.at(
            input.ident,
            "who answers this command? say `#[command(answered_by = …)]` \
             with `Region`, `Cluster` or `any`",
        );
        return;
    };
    for (index, later) in roles.iter().enumerate() {
        if roles.iter().take(index).any(|earlier| earlier.role == later.role) {
            errors.at(&later.written, format_args!("`{}` is named twice", later.role.as_str()));
            // `any` names two roles, and is one mistake.
            return;
        }
    }
}
