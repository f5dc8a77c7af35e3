//! Which structs can travel in a box.

use syn::{FieldsUnnamed, GenericParam};

use super::parse::{Field, Shape, Struct};
use crate::errors::Errors;
use crate::wire_name;

/// Finds everything that keeps the struct from being `Arguments`.
pub(crate) fn check(input: &Struct<'_>, errors: &mut Errors) {
    match &input.shape {
        Shape::Fields(fields) => check_keys(fields, errors),
        Shape::Tuple(fields) => check_tuple(input, fields, errors),
        Shape::Enum(token) => errors.at(
            token,
            "arguments travel as keys and values, which an enum has not; \
             make it a struct, or derive `Choice` for one of a few words",
        ),
        Shape::Union(token) => {
            errors.at(token, "arguments travel as keys and values, which a union has not");
        }
    }
    for param in &input.generics.params {
        if let GenericParam::Lifetime(param) = param {
            errors.at(
                param,
                "arguments outlive the box they came in, so they own what they hold: \
                 `String` in place of `&str`",
            );
        }
    }
}

fn check_tuple(input: &Struct<'_>, fields: &FieldsUnnamed, errors: &mut Errors) {
    if fields.unnamed.is_empty() {
        let name = input.ident;
        errors.at(fields, format_args!("without fields there are no brackets: `struct {name};`"));
    } else {
        errors.at(fields, "these fields need names, for the names are the keys on the wire");
    }
}

fn check_keys(fields: &[Field<'_>], errors: &mut Errors) {
    for (index, field) in fields.iter().enumerate() {
        let key = field.key();
        let double = fields.iter().take(index).find(|earlier| earlier.key() == key);
        let double = double.map(|earlier| {
            format!("the key `{key}` belongs to the field `{}` already", earlier.ident)
        });
        let first = fields.iter().find(|other| wire_name::is_part_of(&key, &other.key()));
        let part = first.map(|first| {
            format!("a long value of `{}` goes on under the key `{key}`", first.ident)
        });
        let Some(mistake) = wire_name::key_mistake(&key).or(double).or(part) else {
            continue;
        };
        match &field.renamed {
            Some(renamed) => errors.at(renamed, mistake),
            None => errors.at(
                field.ident,
                format_args!("{mistake}; give it another with `#[amp(key = \"…\")]`"),
            ),
        }
    }
}
