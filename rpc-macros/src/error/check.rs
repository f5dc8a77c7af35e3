//! Which enums can be declared errors.

use syn::{Fields, Type};

use super::parse::{Code, ErrorEnum, Variant};
use crate::errors::Errors;
use crate::wire_name;

/// Finds everything that keeps the enum from being `CommandError`.
pub(super) fn check(input: &ErrorEnum<'_>, errors: &mut Errors) {
    for param in &input.generics.params {
        errors.at(
            param,
            "only a code and a description cross the wire, so declared errors have no parameters",
        );
    }
    for (index, variant) in input.variants.iter().enumerate() {
        check_code(variant, input.variants.get(..index).unwrap_or_default(), errors);
        check_payload(variant, errors);
    }
}

fn check_code(variant: &Variant<'_>, earlier: &[Variant<'_>], errors: &mut Errors) {
    let Variant { ident, code, .. } = variant;
    let code = match code {
        Code::Given { code, .. } => code,
        Code::Unreadable => return,
        Code::Missing => {
            let guess = wire_name::words(ident, "_").to_uppercase();
            errors.at(
                ident,
                format_args!(
                    "`{ident}` needs the code that it has on the wire, such as \
                     `#[code(\"{guess}\")]`"
                ),
            );
            return;
        }
    };
    let text = code.value();
    let double = earlier.iter().find(|earlier| earlier.text().as_ref() == Some(&text));
    let double =
        double.map(|earlier| format!("the code `{text}` belongs to `{}` already", earlier.ident));
    if let Some(mistake) = wire_name::code_mistake(&text).or(double) {
        errors.at(code, mistake);
    }
}

impl Variant<'_> {
    fn text(&self) -> Option<String> {
        match &self.code {
            Code::Given { code, .. } => Some(code.value()),
            Code::Missing | Code::Unreadable => None,
        }
    }
}

fn check_payload(variant: &Variant<'_>, errors: &mut Errors) {
    const CARRIES: &str = "only a code and a description cross the wire, \
                           so a declared error holds nothing or one `String`";
    match variant.fields {
        Fields::Unit => {}
        Fields::Named(fields) => errors.at(fields, CARRIES),
        Fields::Unnamed(fields) => {
            let mut types = fields.unnamed.iter().map(|field| &field.ty);
            match (types.next(), types.next()) {
                (Some(ty), None) if is_string(ty) => {}
                (Some(ty), None) => errors.at(ty, CARRIES),
                _ => errors.at(fields, CARRIES),
            }
        }
    }
}

/// Whether it is called `String`. If it is another type of that name, the compiler says so.
fn is_string(ty: &Type) -> bool {
    match ty {
        Type::Path(ty) => ty.path.segments.last().is_some_and(|last| last.ident == "String"),
        Type::Group(group) => is_string(&group.elem),
        _ => false,
    }
}
